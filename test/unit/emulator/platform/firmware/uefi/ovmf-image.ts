// A flash file that has of OVMF just what decides on its measurements: modules without code but for the instructions that
// tell where PlatformPei's variables are.

import { concatBytes, utf8 } from '../../../../../../sdk/crypto/index.ts'
import { guid, le, utf16 } from '../../../../sdk/evidence/logs.ts'
import { compressedFlash, file, FIRST_FILE, PE_TEXT, peImage, section, volume } from './flash.ts'

const PEI_BASE = 0x820000
const IMAGE_IN_FILE = 24 + 4
const MODULE_BASE = 0x828a40
/** Instructions of PlatformPei take this much; .data follows. */
const TEXT_LENGTH = 0x100
const DATA = PE_TEXT + TEXT_LENGTH

/** Places of variables in .data. */
export const PLACES = { guid: 0, memoryTypes: 16, info: 64, supported: 202, dma: 203 } as const
const DATA_LENGTH = 208

const MEMORY_TYPES = concatBytes(
  ...[
    [0x0a, 0x80],
    [0x09, 0x12],
    [0x00, 0x80],
    [0x05, 0x100],
    [0x06, 0x100],
    [0x10, 0],
  ].map(([type = 0, pages = 0]) => concatBytes(le(4, type), le(4, pages))),
)

export interface OvmfOptions {
  readonly machine?: 'ia32' | 'x64'
  readonly smm?: boolean
  readonly secureBoot?: boolean
  /** calls of BuildGuidDataHob with this size */
  readonly infoSizes?: readonly number[]
  /** how often flags are set and cleared as QemuFwCfgInitialize() does */
  readonly flagPairs?: number
  /** processor vendors that PlatformPei knows */
  readonly vendors?: string
  /** where the PEI core was linked to */
  readonly coreBase?: number | bigint
  /** PcdFirmwareVersionString */
  readonly version?: string
  /** modules left out, by name */
  readonly without?: readonly string[]
}

/** An operand: an address on IA-32, a distance on x64 from the end of an instruction that starts at `at`. */
function operand(machine: 'ia32' | 'x64', place: number, end: number): Uint8Array {
  return machine === 'ia32'
    ? le(4, MODULE_BASE + DATA + place)
    : le(4, BigInt.asUintN(32, BigInt(DATA + place - end)))
}

function platformPei(options: OvmfOptions): Uint8Array {
  const {
    machine = 'ia32',
    infoSizes = [138],
    flagPairs = 1,
    vendors = 'GenuineIntel\0AuthenticAMD\0',
  } = options
  let text: Uint8Array = new Uint8Array()
  const add = (bytes: readonly number[], place: number, immediate: readonly number[] = []) => {
    const end = PE_TEXT + text.length + bytes.length + 4 + immediate.length
    text = concatBytes(text, Uint8Array.from(bytes), operand(machine, place, end), Uint8Array.from(immediate))
  }
  const number = (bytes: readonly number[], value: number) => {
    text = concatBytes(text, Uint8Array.from(bytes), le(4, value))
  }
  for (let pair = 0; pair < flagPairs; pair += 1) {
    add([0xc6, 0x05], PLACES.supported, [1])
    add([0xc6, 0x05], PLACES.dma, [0])
  }
  // The compiler may put a field of the structure behind a flag: no pair of flags.
  add([0xc6, 0x05], PLACES.dma, [1])
  add([0xc6, 0x05], PLACES.info + 40, [0])
  for (const size of infoSizes) {
    if (machine === 'ia32') {
      number([0x68], size)
      add([0x68], PLACES.info)
      add([0x68], PLACES.guid)
    } else {
      number([0x41, 0xb8], size)
      add([0x48, 0x8d, 0x15], PLACES.info)
      add([0x48, 0x8d, 0x0d], PLACES.guid)
    }
  }
  text = concatBytes(text, utf8(vendors))
  const known = concatBytes(guid('dec9b486-1f16-47c7-8f68-df1a41888ba5'), MEMORY_TYPES)
  return peImage({
    machine,
    base: MODULE_BASE,
    text: concatBytes(text, new Uint8Array(TEXT_LENGTH - text.length)),
    data: concatBytes(known, new Uint8Array(DATA_LENGTH - known.length)),
  })
}

const pe = (image: Uint8Array) => section(0x10, image)

/** PEIFV, and where .data of PlatformPei is in it. */
export function peiVolume(options: OvmfOptions = {}): { bytes: Uint8Array; data: number } {
  const { machine = 'ia32', version = '', without = [] } = options
  const { coreBase = PEI_BASE + FIRST_FILE + IMAGE_IN_FILE } = options
  const core = file({
    guid: '52c05b14-0b98-496c-bc3b-04b50211d680',
    type: 0x04,
    body: pe(peImage({ machine, base: coreBase })),
  })
  const platform = {
    guid: '222c386d-5abc-4fb4-b124-fbb82488acf4',
    type: 0x06,
    body: pe(platformPei(options)),
  }
  const tcg = peImage({ machine, data: utf16(`${version}\0`) })
  const modules = [
    ...(without.includes('PeiCore') ? [] : [core]),
    ...(without.includes('PlatformPei') ? [] : [file(platform)]),
    ...(without.includes('Tcg2Pei')
      ? []
      : [file({ guid: 'a0c98b77-cba5-4bb8-993b-4af6ce33ece4', type: 0x06, body: pe(tcg) })]),
  ]
  const start = FIRST_FILE + Math.ceil(core.length / 8) * 8
  return { bytes: volume(modules), data: start + IMAGE_IN_FILE + DATA }
}

/** DXEFV. */
export function dxeVolume({ smm = false, secureBoot = true, without = [] }: OvmfOptions = {}): Uint8Array {
  const module = (name: string, type = 0x07) => file({ guid: name, type, body: section(0x19, utf8('code')) })
  return volume([
    ...(without.includes('Tcg2Dxe') ? [] : [module('fdff263d-5f68-4591-87ba-b768f445a9af')]),
    ...(secureBoot ? [module('f0e6a44f-7195-41c3-ac64-54f202cd0a21')] : []),
    ...(smm ? [module('e94f54cd-81eb-47ed-aec3-856f5dc157a9', 0x0d)] : []),
  ])
}

/** The flash file. */
export function ovmfImage(options: OvmfOptions = {}): Uint8Array {
  return compressedFlash([peiVolume(options).bytes, dxeVolume(options)])
}
