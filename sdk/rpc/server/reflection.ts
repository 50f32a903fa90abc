/**
 * gRPC server reflection, so that grpcurl and others can list and call the services without proto files.
 * The packages read proto files of their own from disk: in a single-file image there are none, and there is no
 * reflection.
 */
import type { Server } from '@grpc/grpc-js'
import type { Registry } from '../codec/schema.ts'
import type { Logger } from '../log.ts'

/** Adds grpc.reflection.v1 and v1alpha for these services. */
export async function addReflection(
  server: Server,
  registry: Registry,
  services: readonly string[],
  log: Logger,
): Promise<void> {
  try {
    const { ReflectionService } = await import('@grpc/reflection')
    const { fromJSON } = await import('@grpc/proto-loader')
    // proto-loader only reads the JSON.
    const definition = fromJSON(registry.json as Parameters<typeof fromJSON>[0], { keepCase: true })
    new ReflectionService(definition, { services: [...services] }).addToServer(server)
  } catch (error) {
    log.debug({ err: error }, 'no reflection: its proto files cannot be read here')
  }
}
