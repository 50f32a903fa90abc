/**
 * RelayService: plugins attach for their VM and answer requests. Carries messages between the stream and the
 * attachment.
 */
import {
  type AttachRequest,
  type AttachResponse,
  type CallContext,
  type Endorsement,
  type Hello,
  implement,
  invalidField,
  type PalimpsestError,
  type Role,
  RelayService,
  type ServiceImplementation,
} from '../../sdk/rpc/index.ts'
import { requireOwner } from './access.ts'

/** An attached plugin, as the service needs it. */
export interface AttachedPlugin {
  readonly hello: Hello
  readonly outgoing: AsyncIterable<AttachResponse> & { put(message: AttachResponse): void; close(): void }
  receive(message: AttachRequest): void
  /** What the plugin is told at the end of its stream, if anything. */
  readonly notice: PalimpsestError | undefined
}

/** What the service needs of the host. */
export interface RelayDomain<A extends AttachedPlugin = AttachedPlugin> {
  readonly platform: {
    getEndorsement(request: Record<string, never>): Promise<{ endorsement?: Endorsement | undefined }>
  }
  readonly vms: { get(vm: string): { readonly vm: string; readonly owner: Uint8Array } }
  readonly relay: {
    attach(hello: Hello): A
    announce(attachment: A): void
    detach(attachment: A): void
  }
}

const roles: readonly Role[] = ['source', 'destination']

/** The relay of a host. */
export function relayService<A extends AttachedPlugin>(host: RelayDomain<A>): ServiceImplementation {
  return implement(RelayService, {
    async *attach(requests, context) {
      const incoming = requests[Symbol.asyncIterator]()
      const hello = await readHello(incoming)
      requireOwner(context.peer, host.vms.get(hello.vm))
      const { endorsement } = await host.platform.getEndorsement({})
      const attachment = host.relay.attach(hello)
      try {
        attachment.outgoing.put({ request: 0n, message: { case: 'welcome', value: { endorsement } } })
        host.relay.announce(attachment)
        const reading = readAnswers(incoming, attachment, context)
        yield* attachment.outgoing
        // Either side may have ended the attachment; only an answer that made no sense is an error.
        if (reading.failure) throw reading.failure.error
        if (attachment.notice) throw attachment.notice
      } finally {
        host.relay.detach(attachment)
      }
    },
  })
}

async function readHello(incoming: AsyncIterator<AttachRequest>): Promise<Hello> {
  const first = await incoming.next()
  const message = first.done === true ? undefined : first.value.message
  if (message?.case !== 'hello')
    throw invalidField('message', `expected hello first, found ${message?.case ?? 'none'}`)
  if (!roles.includes(message.value.role)) throw invalidField('hello.role', 'expected source or destination')
  return message.value
}

/** Hands the plugin's answers to the attachment until either side ends; an answer that makes no sense ends it too. */
function readAnswers(
  incoming: AsyncIterator<AttachRequest>,
  attachment: AttachedPlugin,
  { signal }: CallContext,
): { failure?: { readonly error: unknown } } {
  const outcome: { failure?: { readonly error: unknown } } = {}
  const end = (): void => {
    attachment.outgoing.close()
  }
  const read = async (): Promise<void> => {
    for (let next = await incoming.next(); next.done !== true; next = await incoming.next()) {
      attachment.receive(next.value)
    }
  }
  signal.addEventListener('abort', end, { once: true })
  read()
    .catch((error: unknown) => {
      outcome.failure = { error }
    })
    .finally(end)
  return outcome
}
