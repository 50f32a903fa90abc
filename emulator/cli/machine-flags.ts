// What of a machine its firmware measures, as options of the commands that boot firmware or say what a boot measures.

import { type Command, Option } from 'commander'
import type { UefiMachineOptions } from '../platform/index.ts'
import { integerValue } from './values.ts'

/** The options, as commander gives them. */
export interface MachineFlags {
  readonly cpus?: number
  readonly maxCpus?: number
  readonly cpuVendor?: string
  readonly addressBits?: number
  readonly gigabytePages?: boolean
  readonly s3?: boolean
}

/** What QEMU's own processor model says without KVM. */
const PROCESSOR = { vendor: 'AuthenticAMD', physicalAddressBits: 40, gigabytePages: false } as const

/** Adds the options; `when` goes before their descriptions. */
export function withMachine(command: Command, when = ''): Command {
  return command
    .addOption(new Option('--cpus <n>', `${when}processors (default: 1)`).argParser(integerValue))
    .addOption(
      new Option('--max-cpus <n>', `${when}with those added later (default: as many)`).argParser(
        integerValue,
      ),
    )
    .addOption(
      new Option(
        '--cpu-vendor <text>',
        `${when}CPUID's vendor (default: AuthenticAMD, as QEMU's without KVM)`,
      ),
    )
    .addOption(
      new Option('--address-bits <n>', `${when}physical address bits (default: 40)`).argParser(integerValue),
    )
    .option('--gigabyte-pages', `${when}the processor has pages of 1 GiB`)
    .option('--no-s3', `${when}without ACPI S3, which libvirt's machines have switched off`)
}

/** The machine that the options describe. */
export function machineOf(flags: MachineFlags): UefiMachineOptions {
  const { cpus = 1, maxCpus = cpus, cpuVendor, addressBits, gigabytePages, s3 = true } = flags
  const processor = {
    vendor: cpuVendor ?? PROCESSOR.vendor,
    physicalAddressBits: addressBits ?? PROCESSOR.physicalAddressBits,
    gigabytePages: gigabytePages ?? PROCESSOR.gigabytePages,
  }
  return { cpus, maxCpus, processor, s3 }
}

/** Names of the options that were given. */
export function givenMachineFlags(flags: MachineFlags): string[] {
  const { cpus, maxCpus, cpuVendor, addressBits, gigabytePages } = flags
  const values = {
    cpus,
    'max-cpus': maxCpus,
    'cpu-vendor': cpuVendor,
    'address-bits': addressBits,
    'gigabyte-pages': gigabytePages,
  }
  const given = Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`]))
  return flags.s3 === false ? [...given, '--no-s3'] : given
}

/** "2 processors (GenuineIntel, 46 address bits), ACPI S3" */
export function machineText({ cpus, processor = PROCESSOR, s3 = true }: UefiMachineOptions): string {
  const { vendor, physicalAddressBits } = processor
  const count = cpus === 1 ? '1 processor' : `${String(cpus)} processors`
  return `${count} (${vendor}, ${String(physicalAddressBits)} address bits), ${s3 ? '' : 'no '}ACPI S3`
}
