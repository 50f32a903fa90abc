// What the walker works on: guest-physical memory behind the nested translation. Whoever has memory implements this; the
// walker itself knows neither frames nor keys. All members are synchronous, so a walk and its access are one step.

import type { FaultReason } from '../../../sdk/rpc/index.ts'

/** What an access does. A processor's fetch of instructions is `execute`. */
export type AccessKind = 'read' | 'write' | 'execute'

/** Guest-physical memory as one VM sees it. Addresses are numbers below 2^52. */
export interface GuestPhysical {
  /**
   * Why the nested translation does not let this access happen now, or undefined when it does; changes nothing.
   * `encrypted` is the effective C-bit: tables and instructions are always private to the VM. Throws for what the host
   * cannot mend, such as an address outside the VM's memory.
   */
  refusal(gpa: number, kind: AccessKind, encrypted: boolean): FaultReason | undefined
  /** Reads the little-endian 64 bits at `gpa`, a multiple of 8: the low half into `into[0]`, the high into `into[1]`. */
  read64(gpa: number, into: Uint32Array): void
  /**
   * Replaces the 64 bits at `gpa` if they are still the expected ones, as a locked instruction does; false if not. Sets
   * flags of table entries only.
   */
  compareAndSet64(gpa: number, expectedLow: number, expectedHigh: number, low: number, high: number): boolean
}

/** An access by guest virtual address: what, and in which state of the processor. */
export interface GuestAccess {
  readonly kind: AccessKind
  /** Whether the processor runs at CPL 3. */
  readonly user: boolean
  /** EFLAGS.AC, which lifts SMAP. */
  readonly ac: boolean
}
