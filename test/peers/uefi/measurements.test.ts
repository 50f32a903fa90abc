// Debian's OVMF: what is computed from its flash files is what real boots measured, and the volumes are those that
// uefitool-cli unpacks.

import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterEach, describe, expect, it, type TestContext } from 'vitest'
import { parsePcrText } from '../../../emulator/cli/commands/eventlog-pcrs.ts'
import { uefiMeasurements } from '../../../emulator/platform/firmware/index.ts'
import type { MachineShape, UefiMeasurements } from '../../../emulator/platform/firmware/uefi/index.ts'
import { concatBytes, hex, sha256 } from '../../../sdk/crypto/index.ts'
import { digestsOf, EV, EventLogWriter, parseEventLog, replay } from '../../../sdk/evidence/index.ts'
import { TPM_ALG } from '../../../sdk/tpm2/index.ts'
import { folderWith, removeFolders, requireFile, requireTool, run } from '../tool.ts'

const BANKS = [TPM_ALG.SHA1, TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512]
const MIB = 1n << 20n
const q35: MachineShape = { chipset: 'q35', memory: 256n * MIB, cpus: 1 }
const CODE = '/usr/share/OVMF/OVMF_CODE_4M.fd'
const VARIABLES = '/usr/share/OVMF/OVMF_VARS_4M.fd'
const fixture = (name: string) => readFileSync(new URL(`../../fixtures/ovmf/${name}`, import.meta.url))

afterEach(removeFolders)

function computed(
  context: TestContext,
  code: string,
  variables: string | undefined,
  shape?: MachineShape,
): UefiMeasurements {
  const read = (path: string) => new Uint8Array(readFileSync(requireFile(context, 'ovmf', path)))
  return uefiMeasurements({
    flash: read(code),
    variables: variables === undefined ? undefined : read(variables),
    shape,
  })
}

function logOf({ measurements }: UefiMeasurements) {
  const log = new EventLogWriter(BANKS)
  for (const { pcr, eventType, measured, data } of measurements) {
    log.append({ pcrIndex: pcr, eventType, digests: digestsOf(BANKS, measured), data })
  }
  return parseEventLog(log.bytes())
}

const pcrOf = (found: UefiMeasurements, pcr: number) =>
  hex(replay(logOf(found), TPM_ALG.SHA256).get(pcr) ?? new Uint8Array())

describe('a q35 with 256 MiB and one processor', () => {
  it('[C-09] has PCRs 0, 2, 3, 5, 6 and 7 of the real boot, in all four banks', (context) => {
    const found = computed(context, CODE, VARIABLES, q35)
    expect(found.unknown).toEqual([])
    const log = logOf(found)
    const compared = parsePcrText(fixture('pcrs.txt').toString()).filter(({ pcr }) =>
      [0, 2, 3, 5, 6, 7].includes(pcr),
    )
    expect(compared).toHaveLength(4 * 6)
    for (const { bank, pcr, value } of compared) expect(replay(log, bank).get(pcr)).toEqual(value)
  })

  it('[C-09] has the events of the real log, in their order, with their data', (context) => {
    const real = parseEventLog(new Uint8Array(fixture('eventlog.bin'))).events
    const separated = real.findLastIndex(({ eventType }) => eventType === EV.SEPARATOR)
    // Boot options depend on the devices that are found.
    const expected = real
      .slice(0, separated + 1)
      .filter(({ eventType }) => eventType !== EV.EFI_VARIABLE_BOOT)
    const withoutNumber = logOf(computed(context, CODE, VARIABLES, q35)).events.map(
      ({ number: _, ...event }) => event,
    )
    expect(withoutNumber).toEqual(expected.map(({ number: _, ...event }) => event))
  })

  it('has, as in its file, another PCR 0, and says which bytes a machine would write', (context) => {
    const found = computed(context, CODE, VARIABLES)
    expect(hex(sha256(found.measurements[1]?.measured ?? new Uint8Array()))).toMatch(/^471281a7/)
    const fields = found.unknown.map(({ offset, field }) => `${offset.toString(16)} ${field}`)
    expect(fields[0]).toBe('e0d8 EFI_HOB_PLATFORM_INFO.HostBridgeDevId')
    expect(fields.at(-1)).toBe('e14b mQemuFwCfgDmaSupported')
  })
})

interface Boot {
  readonly code: string
  readonly variables?: string
  readonly shape?: Partial<MachineShape>
  readonly pcr0: string
  readonly pcr7: string
}

const NO_KEYS = '65caf8dd1e0ea7a6347b635d2b379c93b9a1351edc2afc3ecda700e534eb3068'
const MICROSOFT = '4387f18f9308e9a61cf5cd7685196e15b8c410ee1405d0f07fb3bee71530619d'
const FOUR_MIB = 'ce729d0e02d46cecb9baa54228e55d1be49de54981fe6485a59bf9b222bcc061'
const TWO_MIB = 'e3a36b60f25adad866e3f310dcc0cc9c3a427a460b5640db66620a5f557c681c'

describe('[C-09] PCR 0 and PCR 7 of real boots under QEMU 7.2', () => {
  it.for<[string, Boot]>([
    [
      '512 MiB',
      {
        code: CODE,
        shape: { memory: 512n * MIB },
        pcr0: '177e29c417b6b61c7cf46ed30b4468931f58642527a268b556254e39b941ec6a',
        pcr7: NO_KEYS,
      },
    ],
    [
      '2 processors',
      {
        code: CODE,
        shape: { cpus: 2 },
        pcr0: '2d747ec56a5b903aa4e936cf7ff28182b40a55c880b85f772a0b32d5eecceece',
        pcr7: NO_KEYS,
      },
    ],
    [
      '5000 MiB',
      {
        code: CODE,
        shape: { memory: 5000n * MIB },
        pcr0: 'c501c20076e9fced2e4b00cef62aa471dad27b6fc9037a3aa99ec41d6feaa6bf',
        pcr7: NO_KEYS,
      },
    ],
    [
      'a pc',
      {
        code: CODE,
        shape: { chipset: 'i440fx' },
        pcr0: '1333391dfb23cf18a771ce1f158d7dd5cc7ddef2c0d6c837b51023e0be5196a3',
        pcr7: NO_KEYS,
      },
    ],
    [
      'no ACPI S3',
      {
        code: CODE,
        shape: { s3: false },
        pcr0: 'd9c0030a0ad17f6f4b639b8d9da6945a6c42d655866e8c317e7288871ef0ab14',
        pcr7: NO_KEYS,
      },
    ],
    [
      "Microsoft's keys",
      { code: CODE, variables: '/usr/share/OVMF/OVMF_VARS_4M.ms.fd', pcr0: FOUR_MIB, pcr7: MICROSOFT },
    ],
    [
      'OVMF_CODE.fd',
      {
        code: '/usr/share/OVMF/OVMF_CODE.fd',
        variables: '/usr/share/OVMF/OVMF_VARS.fd',
        pcr0: TWO_MIB,
        pcr7: NO_KEYS,
      },
    ],
    ['OVMF.fd, with its own variables', { code: '/usr/share/ovmf/OVMF.fd', pcr0: TWO_MIB, pcr7: NO_KEYS }],
    [
      'Secure Boot with SMM',
      {
        code: '/usr/share/OVMF/OVMF_CODE_4M.secboot.fd',
        variables: '/usr/share/OVMF/OVMF_VARS_4M.ms.fd',
        pcr0: '5acbf17aa473fe44f359a9ac7d07f77ea83eb190c3245749d955a442e6a036a2',
        pcr7: MICROSOFT,
      },
    ],
  ])('%s', ([, { code, variables, shape, pcr0, pcr7 }], context) => {
    const found = computed(context, code, variables, { ...q35, ...shape })
    expect(found.unknown).toEqual([])
    expect({ pcr0: pcrOf(found, 0), pcr7: pcrOf(found, 7) }).toEqual({ pcr0, pcr7 })
  })
})

describe('uefitool-cli', () => {
  const VOLUMES = ['6938079B-B503-4E3D-9D24-B28337A25806', '7CB8BDC9-F8EB-4F34-AAEA-3EE4AF6516A1']

  it('[C-09] unpacks the volumes that are measured', (context) => {
    const tool = requireTool(context, 'uefitool-cli', 'UEFIExtract', 'uefiextract')
    const folder = folderWith({ flash: readFileSync(requireFile(context, 'ovmf', CODE)) })
    expect(run(folder, tool, 'flash', 'all').code).toBe(0)
    const folders = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    const unpacked = VOLUMES.map((name) => {
      const place = folders.find((path) => basename(path).endsWith(` ${name}`)) ?? ''
      const [header, body] = ['header.bin', 'body.bin'].map((part) => readFileSync(join(folder, place, part)))
      return hex(sha256(concatBytes(header ?? new Uint8Array(), body ?? new Uint8Array())))
    })
    const { measurements } = computed(context, CODE, undefined)
    expect(measurements.slice(1, 3).map(({ measured }) => hex(sha256(measured)))).toEqual(unpacked)
  })
})
