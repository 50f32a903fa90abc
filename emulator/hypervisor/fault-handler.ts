/**
 * Nested page faults. Each is answered by a retry, a copy or an error; many faults on one page are one copy. The event
 * carries no store data, so that nothing of a guest's store ever passes through the host.
 * Source: design.md section 6; systems.md 2.6 (phase D) and 2.8.
 */
import { type Fault, type FailedFault, PalimpsestError, type Role } from '../../sdk/rpc/index.ts'
import { asError } from './clone-storage.ts'
import type { MemoryHost } from './memory-host.ts'
import type { SharedPages } from './memory-shares.ts'
import { Mailbox } from './waiting.ts'

/** A clone as faults see it. */
export interface FaultingClone extends SharedPages {
  /** Resolves when the page of that side has a frame of its own. */
  request(role: Role, index: bigint): Promise<void>
  /** A page of one side has a frame of its own now, without a copy by the worker. */
  owned(role: Role, index: bigint, frame: bigint): Promise<void>
  /** The error for an access that waited too long. */
  stalled(): PalimpsestError
}

/** More faults than that were never on their way for one page. */
const mostKeyRetries = 1024
/** Faults that a watcher has not taken yet. */
const watchBacklog = 10_000

/** Decides what becomes of faults. */
export class FaultHandler {
  readonly #host: MemoryHost<FaultingClone>
  /** By frame, since a page was last mapped to it: a frame gets faults of this kind only while it is new. */
  readonly #keyRetries = new Map<bigint, number>()
  readonly #watchers = new Set<Mailbox<Fault>>()

  constructor(host: MemoryHost<FaultingClone>) {
    this.#host = host
    host.maps.onBound((frame) => this.#keyRetries.delete(frame))
  }

  /** Faults as they come, until `signal` is aborted. A reader that is too slow misses the oldest. */
  async *watch(signal: AbortSignal): AsyncGenerator<Fault, void, undefined> {
    const faults = new Mailbox<Fault>(watchBacklog)
    const end = (): void => {
      faults.close()
    }
    this.#watchers.add(faults)
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
    try {
      for await (const fault of faults) {
        if (signal.aborted) return
        yield fault
      }
    } finally {
      this.#watchers.delete(faults)
      signal.removeEventListener('abort', end)
    }
  }

  /** Takes a fault from the platform. Never throws; what goes wrong reaches the guest as the fault's error. */
  handle(fault: Fault): void {
    if (!this.#host.faults.add(fault)) return
    for (const watcher of this.#watchers) watcher.put(fault)
    this.#resolve(fault).catch((error: unknown) => {
      this.#host.log.warn(
        { vm: fault.vm, index: String(fault.index), err: error },
        'a fault could not be resolved',
      )
      this.#fail(fault, asError(error))
    })
  }

  /** A fault has waited too long. Its page may still be copied later; only this access ends. */
  expired(fault: Fault): void {
    const { shares } = this.#host
    const clone = shares.ofDestination(fault.vm, fault.index) ?? shares.ofSource(fault.vm, fault.index)[0]
    const error =
      clone?.stalled() ?? new PalimpsestError('STALLED', 'the access could not be resolved in time')
    this.#end([{ id: fault.id, code: error.code, message: error.message }])
  }

  async #resolve(fault: Fault): Promise<void> {
    const { vm, index } = fault
    const { maps, shares, gates } = this.#host
    const page = maps.get(vm, index)
    // The key check comes before the write check: the frame's key has been found to be right.
    if (page && fault.reason === 'write-protected') this.#keyRetries.delete(page.frame)
    const asDestination = shares.ofDestination(vm, index)
    if (asDestination) {
      await this.#resolveDestination(fault, asDestination)
    } else if (page === undefined && (await this.#touch(fault))) {
      // Faults that came while the page was being mapped.
      await this.#retry(fault)
    } else if (page === undefined) {
      throw new PalimpsestError(
        'OUT_OF_RANGE',
        `expected memory at guest page ${String(index)} of ${vm}, found none`,
      )
    } else if (fault.reason === 'key') {
      await this.#retryKey(fault, page.frame)
    } else if (fault.access === 'write' && (!page.writable || shares.ofSource(vm, index).length > 0)) {
      await this.#resolveSource(fault)
    } else if (page.writable && fault.reason === 'write-protected') {
      // The page is just being shared, or just got a frame of its own: look again when that is done.
      await gates.shared(vm, () => Promise.resolve())
      if (shares.ofSource(vm, index).length > 0) await this.#resolveSource(fault)
      else await this.#retry(fault)
    } else {
      await this.#retry(fault)
    }
  }

  async #resolveDestination(fault: Fault, clone: FaultingClone): Promise<void> {
    const first = clone.firstOf(fault.index)
    const frame = first === undefined ? undefined : clone.frameOf(first)
    const opens = fault.reason === 'write-protected'
    const alone =
      first !== undefined && frame !== undefined && this.#host.shares.names(clone.source, first, frame) === 1
    if (opens && alone && (await this.#upgrade(fault))) await clone.owned('destination', fault.index, frame)
    else await clone.request('destination', fault.index)
  }

  async #resolveSource(fault: Fault): Promise<void> {
    const { vm, index } = fault
    const clones = this.#host.shares.ofSource(vm, index)
    const [clone] = clones
    const frame = clone?.frameOf(index)
    if (clone === undefined || frame === undefined) {
      if (this.#host.maps.get(vm, index)?.writable !== true) throw foreign(fault)
      await this.#retry(fault)
      return
    }
    if (this.#host.shares.names(vm, index, frame) === 1) {
      if (await this.#upgrade(fault)) {
        await clone.owned('source', index, frame)
        return
      }
    }
    const copier = clones.find((candidate) => !candidate.abandoned)
    if (copier === undefined) {
      const message = `guest page ${String(index)} of ${vm} is shared by a clone that was deleted: delete ${clone.destination}`
      throw new PalimpsestError('STALLED', message)
    }
    await copier.request('source', index)
  }

  #touch({ vm, index }: Fault): Promise<boolean> {
    const { faults, guests } = this.#host
    return guests.touch(vm, index, () => faults.take(vm, index))
  }

  /** Lets the last sharer have its frame again. False when the platform says that a copy is needed. */
  async #upgrade(fault: Fault): Promise<boolean> {
    try {
      await this.#host.platform.upgradeFrames({ vm: fault.vm, indexes: [fault.index] })
      return true
    } catch (error) {
      if (error instanceof PalimpsestError && error.code === 'OWNERSHIP_FAULT') return false
      throw error
    }
  }

  /**
   * A page that is the VM's own and yet under a key that it does not have. The fault was raised before the page got its
   * frame, if it is honest; a platform that insists is not obeyed for ever.
   */
  async #retryKey(fault: Fault, frame: bigint): Promise<void> {
    const retries = (this.#keyRetries.get(frame) ?? 0) + 1
    this.#keyRetries.set(frame, retries)
    if (retries > mostKeyRetries) throw foreign(fault)
    await this.#retry(fault)
  }

  async #retry(fault: Fault): Promise<void> {
    const retry = this.#host.faults.take(fault.vm, fault.index)
    if (retry.length > 0) await this.#host.platform.resolveFaults({ retry, fail: [] })
  }

  #fail(fault: Fault, error: PalimpsestError): void {
    const ids = this.#host.faults.take(fault.vm, fault.index)
    this.#end(ids.map((id) => ({ id, code: error.code, message: error.message })))
  }

  #end(fail: readonly FailedFault[]): void {
    if (fail.length === 0) return
    this.#host.platform.resolveFaults({ retry: [], fail }).catch((error: unknown) => {
      this.#host.log.warn({ err: error }, 'could not tell the platform that faults have ended')
    })
  }
}

function foreign({ vm, index }: Fault): PalimpsestError {
  return new PalimpsestError('OWNERSHIP_FAULT', `expected guest page ${String(index)} of ${vm} to be its own`)
}
