// A vCPU's loads and stores (systems, 2.6 B, D and H). Page by page: nested mapping -> ownership -> key -> write bit ->
// the cipher. A page's part either happens whole in one synchronous step or, when the host has work to do, waits as a
// fault and is tried again from the start; so whatever is retried, an access takes effect exactly once (feature C-12).

import { PalimpsestError, type Access, type FaultReason } from '../../../sdk/rpc/index.ts'
import type { Guest } from '../guest.ts'
import type { OwnershipTable } from '../ownership.ts'
import { invalid, ownershipFault } from '../refusals.ts'
import { NO_KEY, opens, type MemoryController, type PageKey } from './controller.ts'
import { FRAME_BYTES, FRAME_SHIFT } from './dram.ts'
import { ended, type FaultQueue } from './faults.ts'
import type { FrameStore } from './frame-store.ts'

/** Most bytes of one load or store: 4 MiB. */
const MAX_ACCESS_BYTES = 4 << 20
const COUNTER_BYTES = 8

/** What an access works on; all of it belongs to the platform. */
export interface AccessParts {
  readonly store: FrameStore
  readonly table: OwnershipTable<PageKey>
  readonly controller: MemoryController
  readonly faults: FaultQueue
}

/** The part of an access that lies in one page. */
interface PagePart {
  readonly index: number
  /** Offset in the page. */
  readonly offset: number
  readonly length: number
  /** Offset in the access's data. */
  readonly at: number
}

/** Loads, stores and atomic additions of guests. */
export class MemoryAccess {
  readonly #parts: AccessParts

  constructor(parts: AccessParts) {
    this.#parts = parts
  }

  /** The plaintext at guest physical address `gpa`. @throws as GuestPortService.Load */
  async load(guest: Guest, gpa: bigint, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const data = new Uint8Array(checkLength(length))
    await this.#eachPage(
      guest,
      pageParts(guest, gpa, length),
      'read',
      signal,
      (frame, { index, offset, length, at }) => {
        const page = this.#plaintext(guest, index, frame)
        data.set(page.subarray(offset, offset + length), at)
        page.fill(0)
      },
    )
    return data
  }

  /** Stores plaintext at guest physical address `gpa`, in address order. @throws as GuestPortService.Store */
  async store(guest: Guest, gpa: bigint, data: Uint8Array, signal?: AbortSignal): Promise<void> {
    const parts = pageParts(guest, gpa, checkLength(data.length))
    await this.#eachPage(guest, parts, 'write', signal, (frame, { index, offset, length, at }) => {
      const piece = data.subarray(at, at + length)
      if (length === FRAME_BYTES) this.#writePage(guest, frame, piece)
      else
        this.#modifyPage(guest, index, frame, (page) => {
          page.set(piece, offset)
        })
    })
  }

  /** Adds to a little-endian 64-bit counter and returns the sum modulo 2^64. @throws as GuestPortService.FetchAdd */
  async fetchAdd(guest: Guest, gpa: bigint, addend: bigint, signal?: AbortSignal): Promise<bigint> {
    if (gpa % BigInt(COUNTER_BYTES) !== 0n) {
      throw invalid('gpa', `expected a multiple of ${COUNTER_BYTES}, found one that is not`)
    }
    let sum = 0n
    await this.#eachPage(
      guest,
      pageParts(guest, gpa, COUNTER_BYTES),
      'write',
      signal,
      (frame, { index, offset }) => {
        this.#modifyPage(guest, index, frame, (page) => {
          const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
          sum = BigInt.asUintN(64, view.getBigUint64(offset, true) + addend)
          view.setBigUint64(offset, sum, true)
        })
      },
    )
    return sum
  }

  /**
   * Calls `act` once for each page, in order, when the access can be done there. Between the check and `act` there is
   * no `await`: nothing can change in between.
   */
  async #eachPage(
    guest: Guest,
    parts: readonly PagePart[],
    access: Access,
    signal: AbortSignal | undefined,
    act: (frame: number, part: PagePart) => void,
  ): Promise<void> {
    for (const part of parts) {
      while (true) {
        const frame = guest.nested.frame(part.index)
        const reason = this.#check(guest, part.index, frame, access)
        if (reason === undefined) {
          act(frame, part)
          break
        }
        await this.#parts.faults.raise({ vm: guest.name, index: part.index, access, reason }, signal)
      }
    }
  }

  /** Whether an access can be done now: undefined, or why the host has work to do. @throws OWNERSHIP_FAULT, STATE */
  #check(guest: Guest, index: number, frame: number, access: Access): FaultReason | undefined {
    if (guest.ended) throw ended(guest.name)
    const { slot } = guest
    if (frame < 0) return 'not-present'
    const { table } = this.#parts
    if (table.frameAt(guest.owner, index) !== frame) {
      throw ownershipFault(
        pageText(guest, index),
        'the frame that the ownership table records for it',
        `a mapping to frame ${frame}`,
      )
    }
    const key = table.keyOf(frame)
    if (key === undefined || !opens(slot, key)) return 'key'
    if (access === 'read') return undefined
    return guest.nested.writable(index) && table.state(frame) === 'private' ? undefined : 'write-protected'
  }

  /** A new array with the plaintext of a page; whoever takes it wipes it. @throws INTEGRITY_FAULT */
  #plaintext(guest: Guest, index: number, frame: number): Uint8Array {
    const { controller, store, table } = this.#parts
    const key = table.keyOf(frame)
    if (key === undefined) throw new RangeError('"frame" expected one that a VM owns')
    if (key === NO_KEY) return new Uint8Array(FRAME_BYTES)
    return controller.decrypt(
      frame,
      key,
      store.read(frame, () => pageText(guest, index)),
    )
  }

  #modifyPage(guest: Guest, index: number, frame: number, change: (page: Uint8Array) => void): void {
    const page = this.#plaintext(guest, index, frame)
    change(page)
    this.#writePage(guest, frame, page)
    page.fill(0)
  }

  #writePage(guest: Guest, frame: number, plaintext: Uint8Array): void {
    const { controller, store, table } = this.#parts
    const key = guest.slot.writeKey
    const ciphertext = controller.encrypt(frame, key, plaintext)
    const generation = table.noteStore(guest.owner, frame, key)
    store.write(frame, ciphertext, { writer: guest.name, cause: 'store', generation })
  }
}

function pageText(guest: Guest, index: number): string {
  return `guest page ${index} of "${guest.name}"`
}

function checkLength(length: number): number {
  if (length >= 1 && length <= MAX_ACCESS_BYTES) return length
  throw invalid('length', `expected 1..${MAX_ACCESS_BYTES} bytes, found ${length}`)
}

function pageParts(guest: Guest, gpa: bigint, length: number): PagePart[] {
  const size = BigInt(guest.owner.pages) << BigInt(FRAME_SHIFT)
  if (gpa < 0n || gpa + BigInt(length) > size) {
    const found = `${length} bytes at 0x${gpa.toString(16)}`
    throw new PalimpsestError(
      'OUT_OF_RANGE',
      `expected an access below 0x${size.toString(16)}, found ${found}`,
      {
        metadata: { vm: guest.name, expected: size.toString(), found: gpa.toString() },
      },
    )
  }
  const parts: PagePart[] = []
  let index = Number(gpa >> BigInt(FRAME_SHIFT))
  let offset = Number(gpa & BigInt(FRAME_BYTES - 1))
  for (let at = 0; at < length; index++, offset = 0) {
    const size = Math.min(FRAME_BYTES - offset, length - at)
    parts.push({ index, offset, length: size, at })
    at += size
  }
  return parts
}
