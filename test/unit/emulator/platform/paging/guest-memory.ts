// Guest-physical memory for tests of the page walk: an array of bytes with a nested translation that tests script, and
// the masks of which rows of accesses are made.

import type {
  AccessKind,
  AddressSpace,
  GuestAccess,
  GuestPhysical,
} from '../../../../../emulator/platform/paging/index.ts'

/** A nested page's word on an access; undefined lets it happen. */
export type NestedPolicy = (page: number, kind: AccessKind, encrypted: boolean) => Refused | undefined

type Refused = NonNullable<ReturnType<GuestPhysical['refusal']>>

/** One question to the nested translation. */
export interface Asked {
  readonly gpa: number
  readonly kind: AccessKind
  readonly encrypted: boolean
}

/** Memory from `base` on; outside of it there are zeros to read, and nothing to write. */
export class GuestMemory implements GuestPhysical {
  readonly bytes: Uint8Array
  /** All questions to the nested translation, when a test sets an array. */
  asked: Asked[] | undefined
  nested: NestedPolicy = () => undefined
  /** Called before a compare-and-set: another processor, so to say. */
  beforeSet: (gpa: number) => void = () => undefined
  readonly #view: DataView
  readonly #base: number

  constructor(bytes: number | Uint8Array, base = 0) {
    this.bytes = typeof bytes === 'number' ? new Uint8Array(bytes) : bytes
    this.#view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length)
    this.#base = base
  }

  refusal(gpa: number, kind: AccessKind, encrypted: boolean): Refused | undefined {
    this.asked?.push({ gpa, kind, encrypted })
    return this.nested(Math.floor(gpa / 4096), kind, encrypted)
  }

  read64(gpa: number, into: Uint32Array): void {
    const inside = this.has(gpa)
    into[0] = inside ? this.#view.getUint32(gpa - this.#base, true) : 0
    into[1] = inside ? this.#view.getUint32(gpa - this.#base + 4, true) : 0
  }

  compareAndSet64(
    gpa: number,
    expectedLow: number,
    expectedHigh: number,
    low: number,
    high: number,
  ): boolean {
    this.beforeSet(gpa)
    const at = this.#at(gpa)
    if (this.#view.getUint32(at, true) !== expectedLow) return false
    if (this.#view.getUint32(at + 4, true) !== expectedHigh) return false
    this.#view.setUint32(at, low, true)
    this.#view.setUint32(at + 4, high, true)
    return true
  }

  /** The 64 bits at `gpa`. */
  get(gpa: number): bigint {
    return this.has(gpa) ? this.#view.getBigUint64(gpa - this.#base, true) : 0n
  }

  /** Stores 64 bits at `gpa`. */
  set(gpa: number, value: bigint): void {
    this.#view.setBigUint64(this.#at(gpa), value, true)
  }

  /** Whether `gpa` lies in it. */
  has(gpa: number): boolean {
    return gpa >= this.#base && gpa < this.#base + this.bytes.length
  }

  /** Stores the tables of an address space. */
  store({ tables }: AddressSpace): void {
    for (const { gpa, bytes } of tables) this.bytes.set(bytes, this.#at(Number(gpa)))
  }

  /** A copy with the same nested translation. */
  copy(): GuestMemory {
    const copy = new GuestMemory(this.bytes.slice(), this.#base)
    copy.nested = this.nested
    return copy
  }

  #at(gpa: number): number {
    if (!this.has(gpa)) throw new RangeError(`outside of memory: 0x${gpa.toString(16)}`)
    return gpa - this.#base
  }
}

/** A supervisor's and a user's accesses, AC clear. */
export const supervisor = (kind: AccessKind): GuestAccess => ({ kind, user: false, ac: false })
export const user = (kind: AccessKind): GuestAccess => ({ kind, user: true, ac: false })
