// The firmware that the emulator brings along, so that a newcomer needs no file: one UEFI firmware volume with a
// description of itself and a reset vector that halts. It is built, not stored; its bytes depend on nothing else, so
// its digest is the same on every machine and can be a reference value.

import { buildVolume } from './volume.ts'

/** Change it together with any byte below: the image's digest is published as a reference value. */
const VERSION = '1.0.0'
const LENGTH = 256 * 1024
const TOP_LENGTH = 1000
/** x86: hlt; jmp to the hlt. At the last 16 bytes below 4 GiB, where the processor starts. */
const HALT_FOREVER = [0xf4, 0xeb, 0xfd]
const RESET_VECTOR_FROM_END = 16

const DESCRIPTION = [
  'Palimpsest emulated firmware',
  `version ${VERSION}`,
  'This volume is measured as a whole into PCR 0. It has no code besides the reset vector, which halts:',
  'the emulated platform does itself what firmware would do.',
  '',
].join('\n')

/** Builds the image. The same bytes each time. */
export function builtInFirmware(): Uint8Array {
  const top = new Uint8Array(TOP_LENGTH)
  top.set(HALT_FOREVER, TOP_LENGTH - RESET_VECTOR_FROM_END)
  return buildVolume({
    length: LENGTH,
    files: [
      {
        guid: '5f0c2a64-1c0b-5e6b-9a3c-70616c696d70',
        name: 'PalimpsestFirmware',
        version: VERSION,
        content: new TextEncoder().encode(DESCRIPTION),
      },
    ],
    top,
  })
}
