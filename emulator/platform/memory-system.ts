// The memory of the machine as one object: DRAM, ownership table, controller, write log and faults change together, in
// synchronous steps, so no caller ever sees half of a move. Host, guest and worker ports reach memory through this.

import type { KeyMode, PublicKey, Secret } from '../../sdk/crypto/index.ts'
import { PalimpsestError, type ErrorCode } from '../../sdk/rpc/index.ts'
import { Guest } from './guest.ts'
import { MemoryAccess } from './memory/access.ts'
import { MemoryController, NO_KEY, opens, type PageKey } from './memory/controller.ts'
import { Dram, FRAME_BYTES } from './memory/dram.ts'
import { FaultQueue, type FaultQueueOptions } from './memory/faults.ts'
import { FrameStore } from './memory/frame-store.ts'
import { FrameTags } from './memory/frame-tags.ts'
import { PLATFORM_WRITER, WriteLog, type LoggedWrite } from './memory/write-log.ts'
import type { CopyBetweenFrames, FrameDescription, Pair, Run } from './ownership-rows.ts'
import { OwnershipTable } from './ownership.ts'
import { invalid } from './refusals.ts'

/** Most frames that one ReadFrames returns or one WriteFrames takes. */
const MAX_CONTENT_FRAMES = 4096
/** Most rows that one DescribeFrames returns. */
const MAX_DESCRIBED_FRAMES = 65536
/** Most copies of one BeginCopies or CommitCopies. */
const MAX_COPIES = 1024
/** Longest name of a registration. */
const MAX_REGISTRATION = 128
const DEFAULT_LOG_ENTRIES = 1000
/** Most write log entries in one answer. */
const MAX_LOG_ENTRIES = 100_000

/** A nested mapping to set; without a frame it is removed. */
export interface MappingChange {
  readonly index: number
  readonly frame: number | undefined
  readonly writable: boolean
}

/** How the memory is made. */
export interface MemoryOptions extends FaultQueueOptions {
  readonly memoryBytes: number
  /** Whether what the host changes in DRAM is noticed; default false. */
  readonly integrity?: boolean
}

/** What a worker re-encrypts; one entry per copy. */
interface BegunCopies {
  /** Of the first frames. */
  readonly generations: number[]
  readonly ciphertext: Uint8Array
  readonly firstModes: KeyMode[]
  readonly secondModes: KeyMode[]
}

/** The memory and who is in it. */
export class MemorySystem {
  readonly access: MemoryAccess
  readonly faults: FaultQueue
  readonly #dram: Dram
  readonly #table: OwnershipTable<PageKey>
  readonly #controller = new MemoryController()
  readonly #writeLog = new WriteLog()
  readonly #store: FrameStore
  readonly #guests = new Map<string, Guest>()

  constructor(options: MemoryOptions) {
    this.#dram = new Dram(options.memoryBytes)
    const tags = options.integrity === true ? new FrameTags() : undefined
    this.#store = new FrameStore({ dram: this.#dram, writeLog: this.#writeLog, tags })
    this.faults = new FaultQueue(options)
    this.#table = new OwnershipTable(this.#dram.frames, {
      scrub: (frame, generation) => {
        this.#store.scrub(frame, generation)
      },
    })
    this.access = new MemoryAccess({
      store: this.#store,
      table: this.#table,
      controller: this.#controller,
      faults: this.faults,
    })
  }

  /** Number of DRAM frames. */
  get frames(): number {
    return this.#dram.frames
  }

  /** Frames that hold something. */
  get writtenFrames(): number {
    return this.#dram.writtenFrames
  }

  /** Bytes that the ownership table takes, without sharers' names. */
  get tableBytes(): number {
    return this.#table.bytes
  }

  /** Number of frames in each state. */
  get totals(): OwnershipTable<PageKey>['totals'] {
    return this.#table.totals
  }

  // --- Guests ---

  /** Adds a guest without frames and keys. @throws RESOURCE_EXHAUSTED when there is no key slot */
  addGuest(name: string, pages: number, identity: PublicKey): Guest {
    const guest = new Guest(this.#table.addVm(name, pages), identity)
    this.#guests.set(name, guest)
    return guest
  }

  /** Ends a guest: its accesses fail, its frames are scrubbed, its slot is empty. */
  removeGuest(guest: Guest): void {
    guest.ended = true
    this.#guests.delete(guest.name)
    this.#table.removeVm(guest.owner)
    guest.nested.clear()
    const slot = guest.takeSlot()
    if (slot !== undefined) this.#controller.release(slot)
    this.faults.failVm(guest.name)
  }

  /** A running guest. @throws UNKNOWN_VM */
  guest(name: string): Guest {
    const guest = this.#guests.get(name)
    if (guest !== undefined) return guest
    throw new PalimpsestError('UNKNOWN_VM', `expected a running guest, found "${name}": launch it first`, {
      metadata: { vm: name },
    })
  }

  /** Whether a guest of that name runs. */
  hasGuest(name: string): boolean {
    return this.#guests.has(name)
  }

  /** Fills a guest's slot; the caller wipes the keys. @throws STATE when it is full, INVALID_ARGUMENT */
  installKeys(guest: Guest, root: Secret, mode: KeyMode, group: Secret | undefined): void {
    if (guest.installedSlot !== undefined) {
      throw new PalimpsestError(
        'STATE',
        `expected an empty key slot of "${guest.name}", found keys in it: launch the VM again`,
        { metadata: { vm: guest.name, expected: 'no keys', found: 'keys installed' } },
      )
    }
    guest.fillSlot(this.#controller.install(root, mode, group))
  }

  /** How a guest keys the frames that it writes; undefined while its slot is empty. @throws UNKNOWN_VM */
  keyMode(vm: string): KeyMode | undefined {
    return this.guest(vm).installedSlot?.mode
  }

  // --- Moves of the host ---

  /** FREE -> PRIVATE. @throws OWNERSHIP_FAULT, OUT_OF_RANGE, INVALID_ARGUMENT, UNKNOWN_VM */
  assign(vm: string, runs: readonly Run[]): void {
    this.#table.assign(this.guest(vm).owner, runs, NO_KEY)
  }

  /** FREE -> RESERVED. @throws OWNERSHIP_FAULT, INVALID_ARGUMENT, UNKNOWN_VM */
  reserve(registration: string, vm: string, frames: readonly number[]): void {
    if (registration.length < 1 || registration.length > MAX_REGISTRATION) {
      throw invalid(
        'registration',
        `expected 1 to ${MAX_REGISTRATION} characters, found ${registration.length}`,
      )
    }
    this.#table.reserve(registration, this.guest(vm).owner, frames, NO_KEY)
  }

  /** RESERVED -> FREE; no frames means all of the registration. Returns how many. @throws OWNERSHIP_FAULT */
  release(registration: string, frames: readonly number[]): number {
    return this.#table.release(registration, frames)
  }

  /**
   * PRIVATE or SHARED_RO -> SHARED_RO with another name; the owner's consent has been checked. Whatever a frame is
   * shared with lies under the key that its owner writes with, since that is what the owner's plugin grants: frames that
   * it never wrote are filled with encrypted zeros first, and frames that it took over from a sharer are re-encrypted.
   * @throws OWNERSHIP_FAULT, OUT_OF_RANGE, STATE when the owner has no keys, INTEGRITY_FAULT
   */
  share(owner: Guest, peer: Guest, pairs: readonly Pair[]): Run[] {
    const { writeKey } = owner.slot
    const content = (frame: number) => this.#store.read(frame, () => `frame ${frame}`)
    const seal = (frame: number, key: PageKey) => {
      if (key === writeKey) return key
      const fresh = key === NO_KEY
      const page = fresh ? new Uint8Array(FRAME_BYTES) : this.#controller.decrypt(frame, key, content(frame))
      const generation = this.#table.generation(frame) + 1
      const note = { writer: PLATFORM_WRITER, cause: fresh ? 'scrub' : 'rekey', generation } as const
      this.#store.write(frame, this.#controller.encrypt(frame, writeKey, page), note)
      page.fill(0)
      return writeKey
    }
    // Before anything is shared, what must be read for that is as it was written.
    return this.#table.share(owner.owner, peer.owner, pairs, seal, (frame, key) => {
      if (key !== writeKey && key !== NO_KEY) content(frame)
    })
  }

  /** SHARED_RO with one name -> PRIVATE. @throws OWNERSHIP_FAULT, OUT_OF_RANGE, UNKNOWN_VM, STATE */
  upgrade(vm: string, indexes: readonly number[]): void {
    const { owner, slot } = this.guest(vm)
    this.#table.upgrade(owner, indexes, (key) => opens(slot, key))
  }

  /** Rows of the ownership table. @throws INVALID_ARGUMENT */
  describe(frames: readonly number[]): FrameDescription[] {
    expectAtMost('frames', frames.length, MAX_DESCRIBED_FRAMES)
    return frames.map((frame) => this.#table.describe(frame))
  }

  /** Content of frames as it lies in DRAM, one after the other. @throws INVALID_ARGUMENT */
  read(frames: readonly number[]): Uint8Array {
    expectAtMost('frames', frames.length, MAX_CONTENT_FRAMES)
    for (const frame of frames) this.#table.describe(frame)
    return gather(frames, (frame) => this.#store.readByHost(frame))
  }

  /** Puts bytes into DRAM past controller and ownership table, as a host can. All or none. @throws INVALID_ARGUMENT */
  overwrite(frames: readonly number[], content: Uint8Array): void {
    expectAtMost('frames', frames.length, MAX_CONTENT_FRAMES)
    expectContent(content, frames.length)
    for (const frame of frames) this.#table.describe(frame)
    frames.forEach((frame, position) => {
      this.#store.writeByHost(frame, pageOf(content, position), this.#table.generation(frame))
    })
  }

  /** Sets nested mappings, then lets faults run again. @throws OUT_OF_RANGE, INVALID_ARGUMENT, UNKNOWN_VM */
  setMappings(vm: string, changes: readonly MappingChange[], retry: readonly number[]): void {
    const { nested, owner } = this.guest(vm)
    for (const { index, frame } of changes) {
      if (index >= owner.pages) {
        throw new PalimpsestError(
          'OUT_OF_RANGE',
          `expected a guest page below ${owner.pages}, found ${index}`,
          {
            metadata: { vm, expected: String(owner.pages), found: String(index) },
          },
        )
      }
      if (frame !== undefined && frame >= this.frames) {
        throw invalid('mappings', `expected frames 0..${this.frames - 1}, found ${frame}`)
      }
    }
    for (const { index, frame, writable } of changes) {
      if (frame === undefined) nested.remove(index)
      else nested.set(index, frame, writable)
    }
    this.faults.retry(retry)
  }

  /** Ends faults. */
  resolveFaults(
    retry: readonly number[],
    fail: readonly { readonly id: number; readonly code: ErrorCode; readonly message: string }[],
  ): void {
    for (const { id, code, message } of fail) this.faults.fail(id, code, message)
    this.faults.retry(retry)
  }

  /** Entries of the write log; a limit of 0 means 1000. */
  readWriteLog(query: {
    readonly since: number
    readonly frame?: number | undefined
    readonly limit: number
  }): {
    readonly entries: LoggedWrite[]
    readonly next: number
  } {
    const limit = Math.min(query.limit === 0 ? DEFAULT_LOG_ENTRIES : query.limit, MAX_LOG_ENTRIES)
    return this.#writeLog.read({ ...query, limit })
  }

  // --- Copies of a worker ---

  /**
   * Checks copies; returns the first frames' generations and ciphertext, and how both frames of each are keyed.
   * @throws as OwnershipTable.checkCopies, STATE when a second VM has no keys, INTEGRITY_FAULT
   */
  beginCopies(registration: string, copies: readonly CopyBetweenFrames[]): BegunCopies {
    expectAtMost('copies', copies.length, MAX_COPIES)
    const generations = this.#table.checkCopies(registration, copies)
    const firsts = copies.map(({ firstFrame }) => firstFrame)
    return {
      generations,
      ciphertext: gather(firsts, (frame) => this.#store.read(frame, () => `frame ${frame}`)),
      firstModes: firsts.map((frame) => this.#modeOf(frame)),
      secondModes: copies.map(({ second }) => this.guest(second.vm).slot.mode),
    }
  }

  /**
   * Stores re-encrypted frames, all or none; returns the second frames' generations. The second VM's mapping of that
   * page goes away if it still leads to the first frame: it is not that VM's any more, and its next access shall wait
   * for the host's new mapping instead of being taken for an attack.
   * @throws as OwnershipTable.commitCopies, STATE when the second VM has no keys, INVALID_ARGUMENT
   */
  commitCopies(
    worker: string,
    registration: string,
    copies: readonly CopyBetweenFrames[],
    generations: readonly number[],
    ciphertext: Uint8Array,
  ): number[] {
    expectAtMost('copies', copies.length, MAX_COPIES)
    if (generations.length !== copies.length) {
      throw invalid('generations', `expected ${copies.length}, one per copy, found ${generations.length}`)
    }
    expectContent(ciphertext, copies.length)
    const guests = copies.map(({ second }) => this.guest(second.vm))
    const keys = guests.map(({ slot }) => slot.writeKey)
    return this.#table.commitCopies(registration, copies, generations, (position, generation) => {
      const copy = copies[position]
      const guest = guests[position]
      const key = keys[position]
      if (copy === undefined || guest === undefined || key === undefined)
        throw new RangeError('"position" expected one of the copies')
      const { secondFrame, firstFrame, second } = copy
      this.#store.write(secondFrame, pageOf(ciphertext, position), {
        writer: worker,
        cause: 'copy',
        generation,
      })
      if (guest.nested.frame(second.index) === firstFrame) guest.nested.remove(second.index)
      return key
    })
  }

  /** How a SHARED_RO frame is keyed. */
  #modeOf(frame: number): KeyMode {
    const mode = this.#table.keyOf(frame)?.mode
    if (mode === undefined || mode === 'none') throw new RangeError('"frame" expected one that is shared')
    return mode
  }
}

function expectAtMost(field: string, count: number, limit: number): void {
  if (count > limit) throw invalid(field, `expected at most ${limit}, found ${count}`)
}

function expectContent(ciphertext: Uint8Array, frames: number): void {
  const expected = frames * FRAME_BYTES
  if (ciphertext.length === expected) return
  throw invalid('ciphertext', `expected ${expected} bytes, found ${ciphertext.length}`)
}

function pageOf(content: Uint8Array, position: number): Uint8Array {
  return content.subarray(position * FRAME_BYTES, (position + 1) * FRAME_BYTES)
}

/** The content of frames, one after the other. */
function gather(frames: readonly number[], read: (frame: number) => Uint8Array): Uint8Array {
  const out = new Uint8Array(frames.length * FRAME_BYTES)
  frames.forEach((frame, position) => {
    out.set(read(frame), position * FRAME_BYTES)
  })
  return out
}
