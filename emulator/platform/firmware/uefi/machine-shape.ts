// A virtual machine as its firmware finds it: what of QEMU's command line decides what OVMF writes down and measures.
// Source: QEMU 7.2, hw/i386/pc_q35.c and pc_piix.c (RAM below 4 GiB), hw/pci-host/q35.c (SMRAM).

import { FirmwareError } from '../errors.ts'

const MIB = 2 ** 20
const GIB = 2 ** 30
/** Below, OVMF does not reach its boot; above, QEMU may put RAM elsewhere. */
const MEMORY = { least: 64 * MIB, most: 512 * GIB }
/** The largest of QEMU's q35. */
const MAX_CPUS = 288

/** What of a machine the firmware writes down in memory that it then measures. No memory slots, no opt/ovmf settings. */
export interface MachineShape {
  /** QEMU's machine types `q35` and `pc` */
  readonly chipset: 'q35' | 'i440fx'
  /** RAM in bytes, as given to `-m` */
  readonly memory: bigint
  /** processors at power-on, as given to `-smp` */
  readonly cpus: number
  /** with those that can be added later (`maxcpus`); default `cpus` */
  readonly maxCpus?: number
  /** default: QEMU's own model without KVM */
  readonly processor?: Processor
  /** whether the machine offers ACPI S3; default true, as QEMU does */
  readonly s3?: boolean
}

/** What CPUID says of address widths. KVM shows the host's vendor. */
export interface Processor {
  /** leaf 0, as `GenuineIntel` */
  readonly vendor: string
  /** leaf 0x80000008, EAX[7:0] */
  readonly physicalAddressBits: number
  /** leaf 0x80000001, EDX[26] */
  readonly gigabytePages: boolean
}

/** A shape with its defaults, checked. */
export interface Machine {
  readonly chipset: 'q35' | 'i440fx'
  readonly memory: number
  /** RAM below 4 GiB */
  readonly lowMemory: number
  readonly cpus: number
  readonly maxCpus: number
  readonly processor: Processor
  readonly s3: boolean
}

/** Throws FirmwareError SHAPE_UNKNOWN for a shape that is not known to boot. */
export function machineOf(shape: MachineShape): Machine {
  const { chipset, cpus, maxCpus = cpus, s3 = true } = shape
  const memory = Number(shape.memory)
  if (!Number.isInteger(memory / MIB) || memory < MEMORY.least || memory > MEMORY.most) {
    unknown(`64 MiB to 512 GiB of RAM in whole MiB`, `${String(shape.memory)} bytes`)
  }
  if (
    !Number.isInteger(cpus) ||
    !Number.isInteger(maxCpus) ||
    cpus < 1 ||
    maxCpus < cpus ||
    maxCpus > MAX_CPUS
  ) {
    unknown(
      `1 to ${String(MAX_CPUS)} processors, and as many or more with those added later`,
      `${String(cpus)} and ${String(maxCpus)}`,
    )
  }
  const processor = shape.processor ?? {
    vendor: 'AuthenticAMD',
    physicalAddressBits: 40,
    gigabytePages: false,
  }
  const bits = processor.physicalAddressBits
  if (!Number.isInteger(bits) || bits < 32 || bits > 52)
    unknown('32 to 52 physical address bits', String(bits))
  return { chipset, memory, lowMemory: lowMemory(chipset, memory), cpus, maxCpus, processor, s3 }
}

/** RAM goes up to the PCI hole, or where that is too small, as far as leaves the rest aligned to 1 GiB. */
function lowMemory(chipset: MachineShape['chipset'], memory: number): number {
  const [hole, split] = chipset === 'q35' ? [0xb0000000, 2 * GIB] : [0xe0000000, 3 * GIB]
  return memory >= hole ? split : memory
}

function unknown(expected: string, found: string): never {
  throw new FirmwareError('SHAPE_UNKNOWN', `expected a machine with ${expected}, got ${found}`)
}
