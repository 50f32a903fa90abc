// The launch digest of an SEV-SNP guest: a chain over one PAGE_INFO for each page that the VMM puts into the guest before
// it runs. Every link binds the digest so far, the page's contents, its type and its guest physical address, so that no
// page can be changed, moved, left out or swapped with another.
// Source: AMD, SEV Secure Nested Paging Firmware ABI Specification (56860), command SNP_LAUNCH_UPDATE, structure PAGE_INFO.

import { concatBytes, sha384 } from '../../crypto/index.ts'
import { littleEndian } from '../little-endian.ts'

/** Bytes of a page. */
export const PAGE_BYTES = 4096
/** Bytes of a launch digest: SHA-384. */
export const LAUNCH_DIGEST_BYTES = 48

/** Bytes of PAGE_INFO. */
const PAGE_INFO_BYTES = 0x70
/** PAGE_TYPE: how a page's contents count. */
const PAGE_TYPE = { NORMAL: 1, VMSA: 2, ZERO: 3, SECRETS: 5, CPUID: 6 } as const
/** IMI_PAGE, permissions of VMPL 3, 2 and 1, reserved: none is set by the VMMs whose guests are measured here. */
const NO_FLAGS = new Uint8Array(5)
/** What stands for the contents of a page that has none, or whose contents the VMM may choose. */
const NO_CONTENTS = new Uint8Array(LAUNCH_DIGEST_BYTES)
/** Where a VMSA is said to lie: the highest page of 48 bits, because KVM gives it no guest physical address. */
const VMSA_ADDRESS = 0xffff_ffff_f000

/** Pages of which only type and address count. */
export type BarePage = 'ZERO' | 'SECRETS' | 'CPUID'

/** A launch digest in the making; `digest` is that of the pages so far, zeros before the first. */
export class PageChain {
  #digest: Uint8Array = NO_CONTENTS

  get digest(): Uint8Array {
    return this.#digest.slice()
  }

  /** Pages whose contents are measured, from `address` upwards. Throws RangeError for a part of a page. */
  addContents(address: number, contents: Uint8Array): void {
    expectPages(address, contents.length)
    for (let at = 0; at < contents.length; at += PAGE_BYTES) {
      this.#add(PAGE_TYPE.NORMAL, address + at, sha384(contents.subarray(at, at + PAGE_BYTES)))
    }
  }

  /** Pages of which only type and address are measured. Throws RangeError for a part of a page. */
  addBare(type: BarePage, address: number, length: number): void {
    expectPages(address, length)
    for (let at = 0; at < length; at += PAGE_BYTES) this.#add(PAGE_TYPE[type], address + at, NO_CONTENTS)
  }

  /** The state that a vCPU starts with: one page. Throws RangeError for anything else. */
  addVmsa(page: Uint8Array): void {
    if (page.length !== PAGE_BYTES) {
      throw new RangeError(`"page" expected ${String(PAGE_BYTES)} bytes, got ${String(page.length)}`)
    }
    this.#add(PAGE_TYPE.VMSA, VMSA_ADDRESS, sha384(page))
  }

  #add(type: number, address: number, contents: Uint8Array): void {
    const [size, kind, gpa] = [
      littleEndian(2, PAGE_INFO_BYTES),
      littleEndian(1, type),
      littleEndian(8, address),
    ]
    this.#digest = sha384(concatBytes(this.#digest, contents, size, kind, NO_FLAGS, gpa))
  }
}

function expectPages(address: number, length: number): void {
  if (address % PAGE_BYTES === 0 && length % PAGE_BYTES === 0) return
  throw new RangeError(
    `expected whole pages of ${String(PAGE_BYTES)} bytes, got ${String(length)} bytes at 0x${address.toString(16)}`,
  )
}
