// Who may do what with a page (Intel SDM Vol. 3A, 4.6.1 and 4.7; AMD APM Vol. 2, 5.6 and 8.4.2). The rights of a page are
// R/W and U/S of all its entries together, every one of them set, and NX of any: they stand here at the places that
// they have in an entry, R/W and U/S in the low half and NX in the high one, in one 32-bit number.

import { NO_EXECUTE, PRESENT, USER, WRITABLE } from './entry.ts'
import type { GuestAccess } from './guest-physical.ts'
import type { PagingMode } from './mode.ts'

/** What no entry has restricted yet. */
export const ALL_RIGHTS = WRITABLE | USER

/** Bits of a page fault's error code. */
const ERROR_WRITE = 1 << 1
const ERROR_USER = 1 << 2
const ERROR_RESERVED = 1 << 3
const ERROR_FETCH = 1 << 4

/** The rights that remain after one more entry. */
export function restrict(rights: number, low: number, high: number): number {
  return (rights & (low | NO_EXECUTE)) | (high & NO_EXECUTE)
}

/** Whether a page of these rights may be accessed so. */
export function allows(mode: PagingMode, access: GuestAccess, rights: number): boolean {
  const userPage = (rights & USER) !== 0
  if (access.kind === 'execute') {
    return (rights & NO_EXECUTE) === 0 && (access.user ? userPage : !userPage || !mode.smep)
  }
  const writable = access.kind === 'read' || (rights & WRITABLE) !== 0
  if (access.user) return userPage && writable
  if (userPage && mode.smap && !access.ac) return false
  return writable || !mode.writeProtect
}

/** The error code of a page fault; `cause` is 0 for an entry that is not present, else P, with RSVD where it applies. */
export function pageFaultCode(mode: PagingMode, access: GuestAccess, cause: number): number {
  const fetch = access.kind === 'execute' && (mode.noExecute || mode.smep)
  return (
    cause |
    (access.kind === 'write' ? ERROR_WRITE : 0) |
    (access.user ? ERROR_USER : 0) |
    (fetch ? ERROR_FETCH : 0)
  )
}

/** The cause of a fault over a reserved bit: the entry is present. */
export const RESERVED_BITS = PRESENT | ERROR_RESERVED
