// UEFI variables of a flash file: the authenticated variable store that OVMF_VARS.fd holds. A fault-tolerant write that
// was cut off (and would be completed by the next boot) is not completed.
// Source: EDK II edk2-stable202211, MdeModulePkg/Include/Guid/VariableFormat.h (VARIABLE_STORE_HEADER,
// AUTHENTICATED_VARIABLE_HEADER) and OvmfPkg/Library/PlatformInitLib/Platform.c (what OVMF accepts).

import type { Area } from './area.ts'
import type { Volume } from './volumes.ts'

const AUTHENTICATED_STORE = 'aaf32c78-947b-439a-a180-2e144ec37792'
const STORE_HEADER_LENGTH = 28
/** VARIABLE_STORE_FORMATTED and VARIABLE_STORE_HEALTHY. */
const FORMATTED = 0x5a
const HEALTHY = 0xfe
const HEADER_LENGTH = 60
const HEADER_ALIGNMENT = 4
const START_ID = 0x55aa
/** VAR_ADDED, and with VAR_IN_DELETED_TRANSITION: it counts as long as no newer one was added. */
const ADDED = 0x3f
const IN_TRANSITION = 0x3e
const UNWRITTEN = 0xffffffff

/** Values of variables. */
export class Variables {
  readonly #values: ReadonlyMap<string, Uint8Array>

  constructor(values: ReadonlyMap<string, Uint8Array>) {
    this.#values = values
  }

  get(guid: string, name: string): Uint8Array | undefined {
    return this.#values.get(key(guid, name))
  }
}

const key = (guid: string, name: string) => `${guid} ${name}`

/** Reads a store. Throws FirmwareError IMAGE_MALFORMED, or IMAGE_UNSUPPORTED for a store of another format. */
export function readVariables({ area: volume, headerLength }: Volume): Variables {
  const header = volume.part(headerLength, STORE_HEADER_LENGTH, 'the header of the variable store')
  const signature = header.guid(0, 'Signature')
  if (signature !== AUTHENTICATED_STORE) {
    header.unsupported(
      0,
      `expected an authenticated variable store (${AUTHENTICATED_STORE}), found ${signature}`,
    )
  }
  if (header.uint8(20, 'Format') !== FORMATTED || header.uint8(21, 'State') !== HEALTHY) {
    header.malformed(20, 'expected a variable store that is formatted and healthy, found another')
  }
  const store = volume.part(0, headerLength + header.uint32(16, 'Size'), 'the variable store')
  return new Variables(valuesOf(store, headerLength + STORE_HEADER_LENGTH))
}

function valuesOf(store: Area, start: number): Map<string, Uint8Array> {
  const added = new Map<string, Uint8Array>()
  const inTransition = new Map<string, Uint8Array>()
  let at = start
  while (at + HEADER_LENGTH <= store.length && store.uint16(at, 'StartId') === START_ID) {
    const nameAt = at + HEADER_LENGTH
    const [nameSize, dataSize] = [36, 40].map((field) =>
      written(store.uint32(at + field, 'a size of a variable')),
    )
    const name = store.part(nameAt, nameSize, 'the name of a variable')
    const data = store.part(nameAt + name.length, dataSize, 'the value of a variable')
    const state = store.uint8(at + 2, 'State')
    const values = state === ADDED ? added : state === IN_TRANSITION ? inTransition : undefined
    const named = key(store.guid(at + 44, 'VendorGuid'), utf16(name.bytes))
    // The firmware takes the first one that it finds.
    if (values?.has(named) === false) values.set(named, data.bytes)
    at = Math.ceil((nameAt + name.length + data.length) / HEADER_ALIGNMENT) * HEADER_ALIGNMENT
  }
  return new Map([...inTransition, ...added])
}

/** A size that was never written, because power was lost before, counts as zero. */
const written = (size: number) => (size === UNWRITTEN ? 0 : size)

const utf16 = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf16le').replace(/\0+$/, '')
