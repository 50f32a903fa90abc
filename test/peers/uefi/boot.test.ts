// Real boots of Debian's OVMF on machines of other shapes than the fixture's: every TPM2_PCR_Extend that the firmware
// sends is what was computed without booting, in all four banks.

import { readFileSync } from 'node:fs'
import { afterEach, expect, it } from 'vitest'
import { uefiMeasurements } from '../../../emulator/platform/firmware/index.ts'
import type { MachineShape, UefiMeasurement } from '../../../emulator/platform/firmware/uefi/index.ts'
import { hex } from '../../../sdk/crypto/index.ts'
import { digestsOf } from '../../../sdk/evidence/index.ts'
import { TPM_ALG } from '../../../sdk/tpm2/index.ts'
import { removeFolders } from '../tool.ts'
import { bootedExtends, type Extend } from './machine.ts'

const BANKS = [TPM_ALG.SHA1, TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512]
const MIB = 1n << 20n
const BOOT_PCR = 1

afterEach(removeFolders)

function extendOf({ pcr, measured }: UefiMeasurement): Extend {
  return {
    pcr,
    digests: new Map([...digestsOf(BANKS, measured)].map(([bank, digest]) => [bank, hex(digest)])),
  }
}

interface Boot {
  readonly what: string
  readonly code: string
  readonly variables: string
  readonly arguments: readonly string[]
  readonly shape: MachineShape
}

it.for<Boot>([
  {
    what: 'a pc with 3600 MiB, 3 of 5 CPUs',
    code: '/usr/share/OVMF/OVMF_CODE.fd',
    variables: '/usr/share/OVMF/OVMF_VARS.fd',
    arguments: ['-machine', 'pc,smm=off', '-m', '3600', '-smp', '3,maxcpus=5'],
    shape: { chipset: 'i440fx', memory: 3600n * MIB, cpus: 3, maxCpus: 5 },
  },
  {
    what: 'a q35 with SMM, an Intel CPU',
    code: '/usr/share/OVMF/OVMF_CODE_4M.secboot.fd',
    variables: '/usr/share/OVMF/OVMF_VARS_4M.ms.fd',
    arguments: ['-machine', 'q35,smm=on', '-m', '777', '-cpu', 'Nehalem'],
    shape: {
      chipset: 'q35',
      memory: 777n * MIB,
      cpus: 1,
      processor: { vendor: 'GenuineIntel', physicalAddressBits: 40, gigabytePages: false },
    },
  },
])('[C-09] $what extends its PCRs as computed', { timeout: 300_000 }, async (boot, context) => {
  const real = await bootedExtends(context, { ...boot, shape: boot.arguments })
  const [flash, variables] = [boot.code, boot.variables].map((path) => new Uint8Array(readFileSync(path)))
  const { measurements, unknown } = uefiMeasurements({
    flash: flash ?? new Uint8Array(),
    variables,
    shape: boot.shape,
  })
  expect(unknown).toEqual([])
  const computed = measurements.map(extendOf)
  // Boot options depend on the devices that are found: they come first in PCR 1, before its separator.
  const options = real.filter(({ pcr }) => pcr === BOOT_PCR).slice(0, -1)
  expect(real.filter((one) => !options.includes(one))).toEqual(computed)
})
