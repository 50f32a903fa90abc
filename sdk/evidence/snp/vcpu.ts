// The state that QEMU and KVM give a vCPU of an SEV-SNP guest: its VMSA page, which is measured. It is the state of an
// x86 processor after reset, but for what KVM adds, and it holds the processor's signature and the SEV features.
// Source: AMD64 Architecture Programmer's Manual, volume 2 (24593): table B-4, the save area of SEV-ES, and the chapter
// "Processor Initialization and Long Mode Activation"; the signature is that of CPUID Fn0000_0001_EAX.

import { littleEndian } from '../little-endian.ts'
import { PAGE_BYTES } from './page-chain.ts'

/** Where a processor begins after reset. */
export const RESET_ADDRESS = 0xffff_fff0

/** What QEMU's CPU models say that they are. A version of a model (EPYC-v4, EPYC-IBPB) has the signature of the model. */
const CPU_MODELS = new Map<string, readonly [family: number, model: number, stepping: number]>([
  ['EPYC', [23, 1, 2]],
  ['EPYC-Rome', [23, 49, 0]],
  ['EPYC-Milan', [25, 1, 1]],
  ['EPYC-Genoa', [25, 17, 0]],
  ['EPYC-Turin', [26, 0, 0]],
])

/** Signature of a CPU model of QEMU, as `EPYC-v4` or `EPYC-Milan`. Throws RangeError for a name that is none. */
export function cpuSignature(name: string): number {
  const known = CPU_MODELS.get(name.replace(/-(v[1-9][0-9]?|IBPB)$/, ''))
  if (known === undefined) {
    const models = [...CPU_MODELS.keys()].join(', ')
    throw new RangeError(
      `"cpu" expected ${models}, or a version of one as EPYC-v4; got ${JSON.stringify(name)}`,
    )
  }
  const [family, model, stepping] = known
  // A family above 15 goes on in the extended family, a model's upper half in the extended model.
  const extended = ((family - 0xf) << 20) | ((model >> 4) << 16)
  return extended | (0xf << 8) | ((model & 0xf) << 4) | stepping
}

/** What differs from vCPU to vCPU. */
export interface VcpuStart {
  /** linear address of the first instruction, below 4 GiB */
  readonly address: number
  /** signature of the processor: family, model and stepping */
  readonly signature: number
  /** SEV_FEATURES; bit 0, SNP active, is always needed */
  readonly features: bigint
}

/** One field of the save area: offset, size in bytes and value. */
type Field = readonly [offset: number, size: 1 | 2 | 4 | 8, value: number | bigint]

/** Segment registers and tables by their offset; their base is 0, and so is the selector of all but CS. */
const SEGMENTS: readonly (readonly [offset: number, attributes: number])[] = [
  [0x00, 0x93], // ES: writable data, accessed
  [0x20, 0x93], // SS
  [0x30, 0x93], // DS
  [0x40, 0x93], // FS
  [0x50, 0x93], // GS
  [0x60, 0x00], // GDTR
  [0x70, 0x82], // LDTR: a local descriptor table
  [0x80, 0x00], // IDTR
  [0x90, 0x8b], // TR: a busy task state segment
]

const CS = 0x10
const CODE = 0x9b
const RESET_SELECTOR = 0xf000
const LIMIT = 0xffff

const CONSTANT_FIELDS: readonly Field[] = [
  [0x0d0, 8, 0x1000], // EFER: SVME, which KVM sets
  [0x148, 8, 0x40], // CR4: MCE, which KVM sets
  [0x158, 8, 0x10], // CR0: ET
  [0x160, 8, 0x400], // DR7
  [0x168, 8, 0xffff_0ff0], // DR6
  [0x170, 8, 0x2], // RFLAGS
  [0x268, 8, 0x0007_0406_0007_0406n], // G_PAT
  [0x3e8, 8, 0x1], // XCR0: x87
  [0x408, 4, 0x1f80], // MXCSR
  [0x410, 2, 0x37f], // x87 control word
]

/** The VMSA page of a vCPU that starts at `address`, as QEMU makes it. */
export function vmsaPage({ address, signature, features }: VcpuStart): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES)
  const write = ([offset, size, value]: Field) => {
    page.set(littleEndian(size, value), offset)
  }
  for (const [offset, attributes] of SEGMENTS) {
    write([offset + 2, 2, attributes])
    write([offset + 4, 4, LIMIT])
  }
  CONSTANT_FIELDS.forEach(write)
  write([CS, 2, RESET_SELECTOR])
  write([CS + 2, 2, CODE])
  write([CS + 4, 4, LIMIT])
  // Real mode: the upper half of the address is the hidden base of CS, the lower half is RIP.
  write([CS + 8, 8, (address & 0xffff_0000) >>> 0])
  write([0x178, 8, address & 0xffff])
  write([0x310, 4, signature]) // RDX
  write([0x3b0, 8, features]) // SEV_FEATURES
  return page
}
