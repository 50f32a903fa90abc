/**
 * grpc.health.v1: whether the server and each of its services take calls. Implemented on this runtime rather than by
 * a package that reads its proto file from disk, so that it also works in a single-file image.
 * Source: gRPC Health Checking Protocol (github.com/grpc/grpc, doc/health-checking.md).
 */
import { EventEmitter, once } from 'node:events'
import { Health, type HealthCheckResponseServingStatus as Status } from '../contract/grpc/health/v1/health.ts'
import { PalimpsestError } from '../errors.ts'
import { type ServiceImplementation, implement } from './handlers.ts'

/** The serving state of one server. The empty service name stands for the server as a whole. */
export class HealthState {
  private readonly services: ReadonlySet<string>
  private current: Status = 'serving'
  private readonly changes = new EventEmitter().setMaxListeners(0)

  constructor(services: readonly string[]) {
    this.services = new Set(['', ...services])
  }

  /** Says of every service that it serves no more; watchers learn of it. */
  stop(): void {
    this.current = 'not-serving'
    this.changes.emit('change')
  }

  /** The health service of this state. */
  implementation(): ServiceImplementation {
    return implement(Health, {
      check: ({ service }) => {
        if (this.services.has(service)) return { status: this.current }
        throw new PalimpsestError('NOT_FOUND', `expected a service of this server, found "${service}"`)
      },
      watch: ({ service }, { signal }) => this.watch(service, signal),
      list: () => ({
        statuses: Object.fromEntries([...this.services].map((name) => [name, { status: this.current }])),
      }),
    })
  }

  private async *watch(service: string, signal: AbortSignal): AsyncGenerator<{ status: Status }> {
    for (;;) {
      // Subscribed before the state is read, so that no change falls in between.
      const changed = once(this.changes, 'change', { signal })
      yield { status: this.services.has(service) ? this.current : 'service-unknown' }
      await changed
    }
  }
}
