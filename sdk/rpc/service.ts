/**
 * Typed handles to the services of a contract. Generated files make one per service; servers implement them and
 * clients call through them. The type parameter lists the rpcs, the registry knows how they look on the wire.
 */
import type { MethodKind, Registry, ServiceSchema } from './codec/schema.ts'

/** The types of one rpc. */
export interface MethodTypes {
  readonly kind: MethodKind
  readonly request: unknown
  readonly response: unknown
}

/** The rpcs of a service, by lowerCamelCase name. */
export type ServiceMethods = Readonly<Record<string, MethodTypes>>

/** A service of a contract. `methods` exists for the type checker only and is never set. */
export interface ServiceDescriptor<M extends ServiceMethods> {
  /** Full name, for example `palimpsest.hypervisor.v1.HypervisorService`. */
  readonly typeName: string
  /** The contract that the service belongs to. */
  readonly registry: Registry
  /** The service on the wire; resolved at first use. */
  readonly schema: ServiceSchema
  readonly methods?: M
}

/** Makes the handle of the service `typeName` of a contract. @throws TypeError at first use of an unknown service. */
export function service<M extends ServiceMethods>(
  registry: Registry,
  typeName: string,
): ServiceDescriptor<M> {
  let schema: ServiceSchema | undefined
  return {
    typeName,
    registry,
    get schema() {
      schema ??= registry.service(typeName)
      return schema
    },
  }
}
