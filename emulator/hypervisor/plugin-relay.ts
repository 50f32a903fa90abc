/**
 * The plugins that speak for VMs: who is attached for which VM and side, requests to them and their answers. What they
 * sign and seal passes through here as opaque bytes.
 * Source: protos/palimpsest/hypervisor/v1/relay.proto; design.md sections 5 and 10.
 */
import {
  type AttachRequest,
  type AttachResponse,
  type Hello,
  isErrorCode,
  type Logger,
  PalimpsestError,
  type Refusal,
  type Role,
} from '../../sdk/rpc/index.ts'
import { Deferred, Mailbox } from './waiting.ts'

type Request = NonNullable<AttachResponse['message']>
type Answer = NonNullable<AttachRequest['message']>

/** Requests that need an answer, and the case that answers each. */
export interface Exchanges {
  copyRequested: 'approval'
  openOffer: 'challenge'
  evidence: 'grants'
  refill: 'grants'
}

type RequestValue<C extends keyof Exchanges> = Extract<Request, { case: C }>['value']
type AnswerValue<C extends keyof Exchanges> = Extract<Answer, { case: Exchanges[C] }>['value']

const answers: Exchanges = {
  copyRequested: 'approval',
  openOffer: 'challenge',
  evidence: 'grants',
  refill: 'grants',
}

/**
 * What a lying host changes of the exchanges that it relays: sees the request, may pass on another one, none or several,
 * and answers what it likes. The emulator's hosts are malicious on purpose when a test asks for it.
 * Source: threats.md 10.2.
 */
export type RelayTampering = {
  readonly [C in keyof Exchanges]?: (
    side: { readonly vm: string; readonly role: Role },
    value: RequestValue<C>,
    pass: (value: RequestValue<C>) => Promise<AnswerValue<C>>,
  ) => Promise<AnswerValue<C>>
}

/** Time that a plugin has for one answer, in milliseconds; it may have to ask a key store or a person's policy. */
const answerTimeoutMs = 30_000

interface Pending {
  readonly expects: Answer['case']
  readonly answer: Deferred<Answer>
}

/** One attached plugin. `outgoing` is what its stream sends. */
class Attachment {
  readonly hello: Hello
  readonly outgoing = new Mailbox<AttachResponse>()
  readonly #pending = new Map<bigint, Pending>()
  #next = 1n
  #ended = false
  #replaced = false

  constructor(hello: Hello) {
    this.hello = hello
  }

  /** Sends a request and waits for its answer. */
  async ask<C extends keyof Exchanges>(
    kind: C,
    value: RequestValue<C>,
    signal?: AbortSignal,
  ): Promise<AnswerValue<C>> {
    if (this.#ended) throw gone(this.hello, 'it went away')
    const request = this.#next++
    const answer = new Deferred<Answer>()
    this.#pending.set(request, { expects: answers[kind], answer })
    const { vm, role } = this.hello
    const timer = setTimeout(() => {
      answer.reject(gone({ vm, role }, `it did not answer ${kind} within ${answerTimeoutMs / 1000} s`))
    }, answerTimeoutMs)
    const abort = (): void => {
      answer.reject(signal?.reason)
    }
    signal?.addEventListener('abort', abort, { once: true })
    try {
      signal?.throwIfAborted()
      this.outgoing.put({ request, message: { case: kind, value } as Request })
      return (await answer.promise).value as AnswerValue<C>
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      this.#pending.delete(request)
    }
  }

  /** Sends a notice that needs no answer. */
  tell(message: Request): void {
    this.outgoing.put({ request: 0n, message })
  }

  /** Takes what the plugin sent. @throws PalimpsestError INVALID_ARGUMENT for an answer of the wrong kind. */
  receive(message: AttachRequest): void {
    const { request, message: answer } = message
    if (answer === undefined) throw invalid('message', 'expected an answer, found none')
    const pending = this.#pending.get(request)
    // An answer that comes after its deadline is nobody's any more.
    if (pending === undefined) return
    if (answer.case === 'refusal') pending.answer.reject(refusal(this.hello, answer.value))
    else if (answer.case === pending.expects) pending.answer.resolve(answer)
    else throw invalid('message', `expected ${pending.expects} or refusal, found ${answer.case}`)
  }

  /** What the plugin is told when its stream ends although it did nothing wrong. */
  get notice(): PalimpsestError | undefined {
    if (!this.#replaced) return undefined
    const { vm, role } = this.hello
    const message = `another ${role} plugin of VM ${vm} took the place of this one: only the newest is asked`
    return new PalimpsestError('ABORTED', message, { metadata: { vm, role } })
  }

  /** Ends the attachment, because the same VM's owner attached another plugin. */
  replace(): void {
    this.#replaced = true
    this.end('another plugin took its place')
  }

  /** Ends the attachment; whoever waits for an answer learns why. */
  end(why: string): void {
    if (this.#ended) return
    this.#ended = true
    for (const { answer } of this.#pending.values()) answer.reject(gone(this.hello, why))
    this.outgoing.close()
  }
}

/** All attached plugins. */
export class PluginRelay {
  readonly #attached = new Map<string, Attachment>()
  readonly #listeners: ((vm: string, role: Role) => void)[] = []
  readonly #log: Logger
  readonly #tampering: RelayTampering

  constructor(log: Logger, tampering: RelayTampering = {}) {
    this.#log = log
    this.#tampering = tampering
  }

  /** Attaches a plugin; one that was there before for the same VM and side is replaced. */
  attach(hello: Hello): Attachment {
    const key = keyOf(hello.vm, hello.role)
    this.#attached.get(key)?.replace()
    const attachment = new Attachment(hello)
    this.#attached.set(key, attachment)
    this.#log.info({ vm: hello.vm, role: hello.role, plugin: hello.plugin }, 'plugin attached')
    return attachment
  }

  /** Tells the listeners that a plugin is ready for requests: its Welcome is on the way. */
  announce(attachment: Attachment): void {
    for (const listener of this.#listeners) listener(attachment.hello.vm, attachment.hello.role)
  }

  /** Removes an attachment whose stream has ended. */
  detach(attachment: Attachment): void {
    const { vm, role } = attachment.hello
    attachment.end('it went away')
    if (this.#attached.get(keyOf(vm, role)) === attachment) {
      this.#attached.delete(keyOf(vm, role))
      this.#log.info({ vm, role }, 'plugin went away')
    }
  }

  /** The attachment of a VM and side: another object after the plugin attached anew, which forgets what it agreed to. */
  attachment(side: { readonly vm: string; readonly role: Role }): object | undefined {
    return this.#attached.get(keyOf(side.vm, side.role))
  }

  /** Calls `listener` whenever a plugin has attached. */
  onAttach(listener: (vm: string, role: Role) => void): void {
    this.#listeners.push(listener)
  }

  /** Sides of a VM for which a plugin is attached. */
  attachedRoles(vm: string): Role[] {
    const roles: readonly Role[] = ['source', 'destination']
    return roles.filter((role) => this.#attached.has(keyOf(vm, role)))
  }

  /**
   * Asks the plugin of a VM and side.
   * @throws PalimpsestError PLUGIN_UNAVAILABLE when none is attached, it goes away or does not answer; the plugin's own
   * code when it refuses.
   */
  async ask<C extends keyof Exchanges>(
    side: { readonly vm: string; readonly role: Role },
    kind: C,
    value: RequestValue<C>,
    signal?: AbortSignal,
  ): Promise<AnswerValue<C>> {
    const attachment = this.#attached.get(keyOf(side.vm, side.role))
    if (attachment === undefined) throw gone(side, 'none is attached')
    const pass = (passed: RequestValue<C>): Promise<AnswerValue<C>> => attachment.ask(kind, passed, signal)
    return this.#tampering[kind]?.(side, value, pass) ?? pass(value)
  }

  /** Tells the plugin of a VM and side that a registration ended, if one is attached. */
  notifyEnded(vm: string, role: Role, registration: string, reason: string): void {
    this.#attached.get(keyOf(vm, role))?.tell({ case: 'ended', value: { registration, reason } })
  }

  /** Ends the attachments of a VM. */
  dropVm(vm: string): void {
    for (const role of this.attachedRoles(vm))
      this.#attached.get(keyOf(vm, role))?.end(`VM ${vm} was deleted`)
  }
}

function keyOf(vm: string, role: Role): string {
  return `${vm}/${role}`
}

function gone(side: { readonly vm: string; readonly role: Role }, why: string): PalimpsestError {
  const { vm, role } = side
  const message = `expected the ${role} plugin of VM ${vm} to answer, but ${why}: attach it, then try again`
  return new PalimpsestError('PLUGIN_UNAVAILABLE', message, { metadata: { vm, role } })
}

/** A plugin's refusal under its own code. A code that the table does not know travels as metadata. */
function refusal(side: Hello, { code, message }: Refusal): PalimpsestError {
  const metadata = { vm: side.vm, role: side.role, refusedBy: 'plugin' }
  if (isErrorCode(code)) return new PalimpsestError(code, message, { metadata })
  return new PalimpsestError('PERMISSION_DENIED', message, { metadata: { ...metadata, pluginCode: code } })
}

function invalid(field: string, description: string): PalimpsestError {
  return new PalimpsestError('INVALID_ARGUMENT', `${field}: ${description}`, {
    violations: [{ field, description }],
  })
}
