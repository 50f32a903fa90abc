/**
 * The one long-lived Copy stream to a worker. Sessions are answered in any order; when the stream ends, every session
 * that was not answered fails, and whether its copies landed is to be found out elsewhere.
 * Source: protos/palimpsest/worker/v1/worker.proto (Copy).
 */
import {
  type CopyReceipt,
  type CopyRequest,
  type CopyResponse,
  isErrorCode,
  PalimpsestError,
} from '../../sdk/rpc/index.ts'
import type { WorkerPort } from './ports.ts'
import { Deferred, Mailbox } from './waiting.ts'

/** A session to run. */
export type CopySession = Omit<CopyRequest, 'session'>

type Result = NonNullable<CopyResponse['result']>

/** A Copy stream and the sessions that wait on it. */
export class CopyStream {
  readonly #requests = new Mailbox<CopyRequest>()
  readonly #waiting = new Map<bigint, Deferred<Result>>()
  #next = 1n
  #ended: PalimpsestError | undefined

  /** Opens the stream. `onEnd` is called once when it has ended, for whatever reason. */
  constructor(worker: Pick<WorkerPort, 'copy'>, onEnd: (error: PalimpsestError) => void) {
    void this.#read(worker).then((error) => {
      this.#finish(error)
      onEnd(error)
    })
  }

  /** Copies blocks into their second blocks. @throws PalimpsestError with the worker's code; nothing was stored then. */
  async store(session: Omit<CopySession, 'mode'>): Promise<CopyReceipt> {
    const result = await this.#run({ ...session, mode: 'store' })
    if (result.case === 'receipt') return result.value
    throw unexpected('a receipt', result)
  }

  /** Re-encrypts blocks for a read; nothing is stored. @returns 4096 bytes per block. */
  async transient(session: Omit<CopySession, 'mode'>): Promise<Uint8Array> {
    const result = await this.#run({ ...session, mode: 'transient' })
    if (result.case === 'data') return result.value.ciphertext
    throw unexpected('ciphertext', result)
  }

  /** Why the stream has ended, if it has. */
  get ended(): PalimpsestError | undefined {
    return this.#ended
  }

  /** Ends the stream. */
  close(): void {
    this.#finish(unavailable('the connection to it was closed'))
  }

  async #run(session: CopySession): Promise<Result> {
    if (this.#ended) throw this.#ended
    const id = this.#next++
    const waiting = new Deferred<Result>()
    this.#waiting.set(id, waiting)
    this.#requests.put({ ...session, session: id })
    const result = await waiting.promise
    if (result.case !== 'error') return result
    const { code, message } = result.value
    if (isErrorCode(code)) throw new PalimpsestError(code, message)
    throw new PalimpsestError('INTERNAL', message, { metadata: { workerCode: code } })
  }

  async #read(worker: Pick<WorkerPort, 'copy'>): Promise<PalimpsestError> {
    try {
      for await (const response of worker.copy(this.#requests)) {
        const waiting = this.#waiting.get(response.session)
        if (waiting === undefined || response.result === undefined) continue
        this.#waiting.delete(response.session)
        waiting.resolve(response.result)
      }
      return unavailable('it ended the copy stream')
    } catch (error) {
      return unavailable('the copy stream broke', error)
    }
  }

  #finish(error: PalimpsestError): void {
    this.#ended ??= error
    this.#requests.close()
    for (const waiting of this.#waiting.values()) waiting.reject(this.#ended)
    this.#waiting.clear()
  }
}

function unexpected(what: string, found: Result): PalimpsestError {
  return new PalimpsestError('INTERNAL', `expected ${what} from the worker, found ${found.case}`)
}

/** The error for whatever needs a worker that is not there. */
export function unavailable(why: string, cause?: unknown): PalimpsestError {
  const message = `expected a running worker, but ${why}: it is started again, or start one`
  return new PalimpsestError('WORKER_UNAVAILABLE', message, { cause })
}
