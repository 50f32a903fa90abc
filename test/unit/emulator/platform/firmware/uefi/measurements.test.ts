// What UEFI firmware measures, computed from a flash file made for the purpose: the order of events, Secure
// Boot's variables, and flash files that are refused.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { builtInFirmware, uefiMeasurements } from '../../../../../../emulator/platform/firmware/index.ts'
import type { MachineShape, UefiBoot } from '../../../../../../emulator/platform/firmware/uefi/index.ts'
import { concatBytes, utf8 } from '../../../../../../sdk/crypto/index.ts'
import { decodeFirmwareBlob, EV } from '../../../../../../sdk/evidence/index.ts'
import { GLOBAL, SECURITY, variable } from '../../../../sdk/evidence/logs.ts'
import { compressedFlash, LZMA, type StoredVariable, variablesFlash, volume } from './flash.ts'
import { lzma } from './lzma-encoder.ts'
import { dxeVolume, ovmfImage, peiVolume } from './ovmf-image.ts'
import { refusalOf } from './refusal.ts'

const MIB = 1n << 20n
const q35: MachineShape = { chipset: 'q35', memory: 256n * MIB, cpus: 1 }
const refusal = (boot: UefiBoot) => refusalOf(() => uefiMeasurements(boot))
const SEPARATOR = new Uint8Array(4)
const SECURE_BOOT_ENABLE = 'f0a30bc7-af08-4556-99c4-001009c93a44'

describe('uefiMeasurements', () => {
  it('lists the events of a real log in their order', () => {
    const { measurements, unknown } = uefiMeasurements({ flash: ovmfImage(), shape: q35 })
    expect(unknown).toEqual([])
    expect(measurements.map(({ pcr, eventType }) => [pcr, eventType])).toEqual([
      [0, EV.S_CRTM_VERSION],
      [0, EV.EFI_PLATFORM_FIRMWARE_BLOB],
      [0, EV.EFI_PLATFORM_FIRMWARE_BLOB],
      ...Array.from({ length: 5 }, () => [7, EV.EFI_VARIABLE_DRIVER_CONFIG]),
      [7, EV.SEPARATOR],
      [4, EV.EFI_ACTION],
      ...[0, 1, 2, 3, 4, 5, 6].map((pcr) => [pcr, EV.SEPARATOR]),
    ])
    for (const { eventType, measured: bytes, data } of measurements) {
      if (eventType !== EV.EFI_PLATFORM_FIRMWARE_BLOB) expect(bytes).toEqual(data)
      if (eventType === EV.SEPARATOR) expect(data).toEqual(SEPARATOR)
    }
    expect(measurements[9]?.data).toEqual(utf8('Calling EFI Application from Boot Option'))
  })

  it('takes a file as readFileSync() gives it, and leaves it as it is', () => {
    const flash = Buffer.from(ovmfImage())
    const expected = uefiMeasurements({ flash: ovmfImage(), shape: q35 })
    expect(uefiMeasurements({ flash, shape: q35 })).toEqual(expected)
    expect(flash.equals(ovmfImage())).toBe(true)
  })

  it('measures the two volumes where the firmware unpacks them to', () => {
    const [pei, dxe] = [peiVolume().bytes, dxeVolume()]
    const blobs = uefiMeasurements({ flash: ovmfImage() }).measurements.slice(1, 3)
    expect(blobs.map((one) => one.measured)).toEqual([pei, dxe])
    expect(blobs.map((one) => decodeFirmwareBlob(one.data))).toEqual([
      { base: 0x820000n, length: BigInt(pei.length) },
      { base: 0x820000n + BigInt(pei.length), length: BigInt(dxe.length) },
    ])
  })
})

describe('PCR 7', () => {
  const key = (name: string, guid: string = GLOBAL): StoredVariable => ({
    guid,
    name,
    data: utf8(`${name} of its owner`),
  })
  const flag = (value: number): StoredVariable => ({
    guid: SECURE_BOOT_ENABLE,
    name: 'SecureBootEnable',
    data: Uint8Array.of(value),
  })
  const eventsOf = (boot: UefiBoot) =>
    uefiMeasurements(boot)
      .measurements.filter(({ eventType }) => eventType === EV.EFI_VARIABLE_DRIVER_CONFIG)
      .map(({ data }) => data)
  const secureBootOf = (...variables: readonly StoredVariable[]) =>
    eventsOf({ flash: ovmfImage(), variables: variablesFlash(variables) })[0]?.at(-1)
  const none = new Uint8Array()

  it('takes the five variables, empty where there is none', () => {
    const empty = [
      variable(GLOBAL, 'SecureBoot', Uint8Array.of(0)),
      variable(GLOBAL, 'PK', none),
      variable(GLOBAL, 'KEK', none),
      variable(SECURITY, 'db', none),
      variable(SECURITY, 'dbx', none),
    ]
    expect(eventsOf({ flash: ovmfImage() })).toEqual(empty)
    expect(eventsOf({ flash: ovmfImage(), variables: variablesFlash([]) })).toEqual(empty)
  })

  it('takes their values, and dbt when there is one', () => {
    const variables = [
      key('PK'),
      key('KEK'),
      key('db', SECURITY),
      key('dbx', SECURITY),
      key('dbt', SECURITY),
      flag(1),
    ]
    expect(eventsOf({ flash: ovmfImage(), variables: variablesFlash(variables) })).toEqual([
      variable(GLOBAL, 'SecureBoot', Uint8Array.of(1)),
      ...variables.slice(0, 5).map(({ guid, name, data }) => variable(guid, name, data)),
    ])
  })

  it('says that Secure Boot is on when there is a platform key and nobody has turned it off', () => {
    expect(secureBootOf(key('PK'))).toBe(1)
    expect(secureBootOf(key('PK'), flag(1))).toBe(1)
    expect(secureBootOf(key('PK'), flag(0))).toBe(0)
    expect(secureBootOf(flag(1))).toBe(0)
  })

  it('has no value of SecureBoot for firmware without it', () => {
    expect(eventsOf({ flash: ovmfImage({ secureBoot: false }) })[0]).toEqual(
      variable(GLOBAL, 'SecureBoot', none),
    )
  })

  it('takes the variables that lie with the code, unless others are given', () => {
    const flash = concatBytes(variablesFlash([key('PK')]), ovmfImage())
    expect(eventsOf({ flash })[1]).toEqual(variable(GLOBAL, 'PK', key('PK').data))
    expect(eventsOf({ flash, variables: variablesFlash([]) })[1]).toEqual(variable(GLOBAL, 'PK', none))
  })
})

describe('flash files that are refused', () => {
  const image = ovmfImage()

  it.for([
    {
      what: 'no firmware',
      flash: new Uint8Array(10_000),
      message: /^IMAGE_MALFORMED firmware image, offset 0x0: .* volumes, found none/,
    },
    { what: 'nothing', flash: new Uint8Array(), message: /^IMAGE_MALFORMED/ },
    { what: 'one volume', flash: builtInFirmware(), message: /^IMAGE_UNSUPPORTED .* two firmware volumes/ },
    {
      what: 'nothing compressed',
      flash: concatBytes(volume([], { block: 4096 }), volume([], { block: 4096 })),
      message: /^IMAGE_UNSUPPORTED .* compressed image/,
    },
    {
      what: 'one volume inside',
      flash: compressedFlash([peiVolume().bytes]),
      message: /^IMAGE_MALFORMED firmware image, offset 0x60, unpacked, offset 0x0: .* two images .* found 1/,
    },
    {
      what: 'something else inside',
      flash: compressedFlash([new Uint8Array(100), new Uint8Array(100)]),
      message: /unpacked, offset 0x3c: expected the signature _FVH/,
    },
    {
      what: 'a bomb',
      flash: compressedFlash([], { pack: (content) => lzma(content, { size: 1n << 40n }) }),
      message: /at most 67108864 bytes, found 1099511627776/,
    },
    {
      what: 'no PEI core',
      flash: ovmfImage({ without: ['PeiCore'] }),
      message: /^IMAGE_UNSUPPORTED .* PEI core/,
    },
    {
      what: 'a PEI core below its volume',
      flash: ovmfImage({ coreBase: 1 }),
      message: /^IMAGE_MALFORMED .* below 4 GiB, found one at 0x1$/,
    },
    {
      what: 'a PEI core beyond 4 GiB',
      flash: ovmfImage({ machine: 'x64', coreBase: 2n ** 64n - 1n }),
      message: /^IMAGE_MALFORMED .* below 4 GiB/,
    },
    {
      what: 'no PlatformPei',
      flash: ovmfImage({ without: ['PlatformPei'] }),
      message: /^IMAGE_UNSUPPORTED .* PlatformPei/,
    },
    {
      what: 'no Tcg2Pei',
      flash: ovmfImage({ without: ['Tcg2Pei'] }),
      message: /^IMAGE_UNSUPPORTED .* a0c98b77-.* measures into a TPM/,
    },
    {
      what: 'no Tcg2Dxe',
      flash: ovmfImage({ without: ['Tcg2Dxe'] }),
      message: /^IMAGE_UNSUPPORTED .* fdff263d-/,
    },
    {
      what: 'another compression',
      flash: compressedFlash([], { compression: LZMA.replace('ee', 'ff') }),
      message: /^IMAGE_UNSUPPORTED .* compressed with LZMA/,
    },
  ])('$what', ({ flash, message }) => {
    expect(refusal({ flash, shape: q35 })).toMatch(message)
    expect(refusal({ flash: image, shape: q35 })).toBe('accepted')
  })

  it('a store of variables that is none', () => {
    expect(refusal({ flash: image, variables: image })).toMatch(
      /^IMAGE_MALFORMED store of variables, offset 0x0: .* found none/,
    )
    expect(refusal({ flash: image, variables: variablesFlash([]) })).toBe('accepted')
  })

  it('any damage leads to measurements or a FirmwareError', () => {
    const damage = fc.array(fc.tuple(fc.nat(image.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(damage, fc.nat(image.length), (changes, length) => {
        const damaged = changes.reduce((flash, [at, octet]) => flash.with(at, octet), image)
        refusal({ flash: damaged, shape: q35 })
        refusal({ flash: image.subarray(0, length), shape: q35 })
      }),
      { numRuns: 500 },
    )
  })

  it('any damage inside of the compressed volumes leads to measurements or a FirmwareError', () => {
    const [pei, dxe] = [peiVolume().bytes, dxeVolume()]
    const damage = fc.array(fc.tuple(fc.nat(pei.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(damage, (changes) => {
        const damaged = changes.reduce((bytes, [at, octet]) => bytes.with(at, octet), pei)
        refusal({ flash: compressedFlash([damaged, dxe]), shape: q35 })
      }),
      { numRuns: 500 },
    )
  })
})
