/** What a service's author writes: one async function or async generator per rpc. */
import type { ServiceDescriptor, ServiceMethods } from '../service.ts'
import type { CallContext } from './context.ts'

/** The handler of one rpc, by its kind. */
export type Handler<M extends ServiceMethods[string]> = M['kind'] extends 'unary'
  ? (request: M['request'], context: CallContext) => Promise<M['response']> | M['response']
  : M['kind'] extends 'server-stream'
    ? (request: M['request'], context: CallContext) => AsyncIterable<M['response']>
    : M['kind'] extends 'client-stream'
      ? (requests: AsyncIterable<M['request']>, context: CallContext) => Promise<M['response']>
      : (requests: AsyncIterable<M['request']>, context: CallContext) => AsyncIterable<M['response']>

/** Handlers of a service; an rpc without one is answered with UNIMPLEMENTED. */
export type Handlers<M extends ServiceMethods> = { readonly [K in keyof M]?: Handler<M[K]> }

/** Handlers of a service, by its descriptor: `HandlersOf<typeof WorkerService>`. */
export type HandlersOf<S> = S extends ServiceDescriptor<infer M> ? Handlers<M> : never

/** Any handler, once its types have been checked by `implement`. */
export type AnyHandler = (input: unknown, context: CallContext) => unknown

/** A service and its handlers, ready for `createServer`. */
export interface ServiceImplementation {
  readonly service: ServiceDescriptor<ServiceMethods>
  readonly handlers: ReadonlyMap<string, AnyHandler>
}

/**
 * Binds handlers to a service. Methods of an object of a class keep their `this`.
 * @throws TypeError when a property of a plain object is no rpc of the service.
 */
export function implement<M extends ServiceMethods>(
  service: ServiceDescriptor<M>,
  handlers: Handlers<M>,
): ServiceImplementation {
  const { methods } = service.schema
  const plain = Object.getPrototypeOf(handlers) === Object.prototype
  const unknown = plain ? Object.keys(handlers).find((name) => !methods.has(name)) : undefined
  if (unknown !== undefined) {
    throw new TypeError(
      `expected an rpc of ${service.typeName} (${[...methods.keys()].join(', ')}), found ${unknown}`,
    )
  }
  const bound = new Map<string, AnyHandler>()
  for (const name of methods.keys()) {
    const handler: unknown = handlers[name]
    if (typeof handler === 'function') bound.set(name, handler.bind(handlers) as AnyHandler)
  }
  return { service, handlers: bound }
}
