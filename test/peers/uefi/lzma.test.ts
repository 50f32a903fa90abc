// XZ Utils compress, and the decoder of the firmware reader unpacks the same content.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { Area } from '../../../emulator/platform/firmware/uefi/area.ts'
import { decodeLzma } from '../../../emulator/platform/firmware/uefi/lzma.ts'
import { concatBytes, utf8 } from '../../../sdk/crypto/index.ts'
import { folderWith, removeFolders, requireTool, run } from '../tool.ts'

afterEach(removeFolders)

const LIMIT = 4 * 1024 * 1024
/** Octets that look random and are the same each time. */
const noise = Uint8Array.from({ length: 70_000 }, (_, at) => (Math.imul(at, 2654435761) >>> 13) & 0xff)
const source = new Uint8Array(readFileSync(new URL(import.meta.url)))
const contents = {
  nothing: new Uint8Array(),
  'one octet': Uint8Array.of(7),
  zeros: new Uint8Array(1_000_000),
  text: source,
  noise,
  'a mixture with far repetitions': concatBytes(
    source,
    noise,
    source,
    new Uint8Array(300_000),
    noise,
    utf8('end'),
  ),
}

describe.for([
  'lc=3,lp=0,pb=2',
  'lc=0,lp=0,pb=0',
  'lc=4,lp=0,pb=4',
  'lc=0,lp=4,pb=2',
  'lc=3,lp=0,pb=2,dict=4KiB,mf=hc3',
])('xz --format=lzma --lzma1=%s', (options) => {
  it.for(Object.entries(contents))('%s', ([, content], context) => {
    const xz = requireTool(context, 'xz-utils', 'xz')
    const folder = folderWith({ content })
    expect(run(folder, xz, '--format=lzma', `--lzma1=${options}`, 'content')).toMatchObject({
      code: 0,
      stderr: '',
    })
    const stream = new Uint8Array(readFileSync(join(folder, 'content.lzma')))
    // xz states no size in the header; UEFI needs it there.
    new DataView(stream.buffer).setBigUint64(5, BigInt(content.length), true)
    const found = decodeLzma(new Area(stream, 'stream'), LIMIT)
    // Not toEqual(), which takes seconds for as many octets.
    expect(Buffer.compare(found, content)).toBe(0)
  })
})
