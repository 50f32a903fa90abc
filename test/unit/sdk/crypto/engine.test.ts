// The AES-256-XTS engines: published vectors, bit-identity with node's aes-256-xts sector by sector, and refusals.

import { createCipheriv, createHash, randomFillSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  engineNames,
  fromHex,
  hex,
  type ReencryptEngine,
  Secret,
  type SectorLayout,
  type SectorSize,
  sectorSizes,
  selectEngine,
  WeakKeyError,
} from '../../../../sdk/crypto/index.ts'
import vectors from '../../../vectors/xts-aes-256.json' with { type: 'json' }

/** node's own aes-256-xts, one cipher object a sector: the judge of every engine. */
function reference(key: Uint8Array, layout: SectorLayout, plain: Uint8Array): Uint8Array {
  const out = new Uint8Array(plain.length)
  for (
    let at = 0, n = layout.firstSector;
    at < plain.length;
    at += layout.sectorSize, n += layout.tweakStep
  ) {
    const tweak = new Uint8Array(16)
    new DataView(tweak.buffer).setBigUint64(0, n, true)
    out.set(createCipheriv('aes-256-xts', key, tweak).update(plain.subarray(at, at + layout.sectorSize)), at)
  }
  return out
}

function randomBytes(length: number): Uint8Array {
  return randomFillSync(new Uint8Array(length))
}

const key = fc
  .uint8Array({ minLength: 64, maxLength: 64 })
  .filter((bytes) => hex(bytes.subarray(0, 32)) !== hex(bytes.subarray(32)))
const layout = fc.record({
  firstSector: fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 63n }),
    fc.constantFrom(0n, 0xffff_ffffn, 0xffff_fffen),
  ),
  sectorSize: fc.constantFrom(...sectorSizes),
  tweakStep: fc.oneof(fc.constantFrom(0n, 1n, 2n, 4n, 8n), fc.bigInt({ min: 0n, max: 2n ** 40n })),
})
/** Up to 5 pieces of 4096 bytes, at any alignment. */
const buffer = fc.tuple(fc.nat(5), fc.nat(7), fc.nat(7))

describe.each(engineNames)('engine %s', (name) => {
  const engine = selectEngine(name)

  it.each(vectors.ieee1619.vectors)('[C-06] $id, both ways', ({ sector, ciphertext }) => {
    const side = {
      key: fromHex(vectors.ieee1619.key),
      firstSector: BigInt(sector),
      sectorSize: 512 as const,
      tweakStep: 1n,
    }
    const input = fromHex(vectors.ieee1619.plaintext)
    const output = new Uint8Array(512)
    engine.encrypt({ ...side, input, output })
    expect(hex(output)).toBe(ciphertext)
    engine.decrypt({ ...side, input: output, output })
    expect(hex(output)).toBe(vectors.ieee1619.plaintext)
    // The same sector four times with tweak step 0: the batch path gives the published bytes too.
    const four = new Uint8Array(2048)
    engine.encrypt({
      ...side,
      tweakStep: 0n,
      input: new Uint8Array(2048).map((_, i) => i & 255),
      output: four,
    })
    expect(hex(four)).toBe(ciphertext.repeat(4))
  })

  it('[C-06] encrypts the page of the published example', () => {
    const input = Uint8Array.from({ length: 4096 }, (_, i) => (i * 7) & 255)
    const output = new Uint8Array(4096)
    const { key: pageKey, frame, ciphertextSha256 } = vectors.page
    engine.encrypt({
      key: fromHex(pageKey),
      firstSector: BigInt(frame),
      sectorSize: 4096,
      tweakStep: 1n,
      input,
      output,
    })
    expect(createHash('sha256').update(output).digest('hex')).toBe(ciphertextSha256)
  })

  it("[C-06] equals node's aes-256-xts for any key, layout, length and alignment", () => {
    fc.assert(
      fc.property(key, layout, buffer, (k, side, [pieces, inAt, outAt]) => {
        const length = pieces * 4096
        const plain = randomBytes(length + 8).subarray(inAt, inAt + length)
        const expected = reference(k, side, plain)
        const output = new Uint8Array(length + 8).subarray(outAt, outAt + length)
        engine.encrypt({ key: k, ...side, input: plain, output })
        expect(Buffer.compare(output, expected)).toBe(0)
        engine.decrypt({ key: Secret.from(k), ...side, input: expected, output })
        expect(Buffer.compare(output, plain)).toBe(0)
      }),
      { numRuns: name === 'noble' ? 15 : 150 },
    )
  })

  it("[C-05] [C-06] run() is node's decryption and encryption, for unlike sectors on both sides", () => {
    fc.assert(
      fc.property(key, layout, key, layout, buffer, (k1, first, k2, second, [pieces, inAt, outAt]) => {
        const length = pieces * 4096
        const plain = randomBytes(length)
        const input = new Uint8Array(length + 8).subarray(inAt, inAt + length)
        input.set(reference(k1, first, plain))
        const output = new Uint8Array(length + 8).subarray(outAt, outAt + length)
        engine.run({ source: { key: k1, ...first }, destination: { key: k2, ...second }, input, output })
        expect(Buffer.compare(output, reference(k2, second, plain))).toBe(0)
      }),
      { numRuns: name === 'noble' ? 10 : 100 },
    )
  })

  it('gives the same for one key and many calls, across batches and in place', () => {
    const pieces = name === 'noble' ? 3 : 70
    const [k1, k2] = [randomBytes(64), randomBytes(64)]
    const plain = randomBytes(pieces * 4096)
    const sides = sectorSizes.map((sectorSize) => ({
      firstSector: 0xffff_ff00n,
      sectorSize,
      tweakStep: BigInt(sectorSize / 512),
    }))
    const cipher = engine.cipher(k1)
    const pair = engine.reencryptor({ source: k1, destination: k2 })
    for (const source of sides) {
      for (const destination of sides) {
        const data = new Uint8Array(plain)
        cipher.encrypt({ ...source, input: data, output: data })
        expect(Buffer.compare(data, reference(k1, source, plain))).toBe(0)
        pair.run({ source, destination, input: data, output: data })
        expect(Buffer.compare(data, reference(k2, destination, plain))).toBe(0)
      }
      const single = plain.slice(0, source.sectorSize)
      cipher.encrypt({ ...source, input: single, output: single })
      cipher.decrypt({ ...source, input: single, output: single })
      expect(Buffer.compare(single, plain.subarray(0, source.sectorSize))).toBe(0)
    }
    cipher.close()
    pair.close()
  })

  it('[C-05] a wrong first key gives something else than the plaintext', () => {
    const side = { firstSector: 1n, sectorSize: 4096 as const, tweakStep: 1n }
    const [right, wrong] = [randomBytes(64), randomBytes(64)]
    const plain = randomBytes(4096)
    const opened = new Uint8Array(4096)
    engine.decrypt({ key: wrong, ...side, input: reference(right, side, plain), output: opened })
    expect(Buffer.compare(opened, plain)).not.toBe(0)
  })

  it('[C-05 control] the right first key gives the plaintext', () => {
    const side = { firstSector: 1n, sectorSize: 4096 as const, tweakStep: 1n }
    const right = randomBytes(64)
    const plain = randomBytes(4096)
    const opened = new Uint8Array(4096)
    engine.decrypt({ key: right, ...side, input: reference(right, side, plain), output: opened })
    expect(Buffer.compare(opened, plain)).toBe(0)
  })

  it('refuses keys with equal halves, on either side and in every form', () => {
    const half = randomBytes(32)
    const weak = new Uint8Array([...half, ...half])
    const good = randomBytes(64)
    const side = { firstSector: 0n, sectorSize: 512 as const, tweakStep: 1n }
    const data = { input: new Uint8Array(512), output: new Uint8Array(512) }
    const attempts = [
      () => {
        engine.encrypt({ key: weak, ...side, ...data })
      },
      () => {
        engine.decrypt({ key: Secret.from(weak), ...side, ...data })
      },
      () => {
        engine.run({ source: { key: weak, ...side }, destination: { key: good, ...side }, ...data })
      },
      () => {
        engine.run({ source: { key: good, ...side }, destination: { key: weak, ...side }, ...data })
      },
      () => engine.cipher(weak),
      () => engine.reencryptor({ source: good, destination: weak }),
    ]
    for (const attempt of attempts) {
      expect(attempt).toThrow(WeakKeyError)
      expect(attempt).toThrow(/halves/)
    }
    expect(data.output.every((byte) => byte === 0)).toBe(true)
  })

  it('refuses wrong lengths, layouts and overlaps before it touches the output', () => {
    const memory = new Uint8Array(4096)
    const good = {
      key: randomBytes(64),
      firstSector: 0n,
      sectorSize: 512 as SectorSize,
      tweakStep: 1n,
      input: memory.subarray(0, 1024),
      output: new Uint8Array(1024),
    }
    const encrypt = (change: Partial<Parameters<ReencryptEngine['encrypt']>[0]>) => () => {
      engine.encrypt({ ...good, ...change })
    }
    expect(encrypt({ key: randomBytes(32) })).toThrow(/"key" expected Uint8Array of length 64, got length=32/)
    expect(encrypt({ sectorSize: 500 as SectorSize })).toThrow(/"sectorSize"/)
    expect(encrypt({ sectorSize: 4096 })).toThrow(/whole sectors of 4096 bytes, got length=1024/)
    expect(encrypt({ output: new Uint8Array(512) })).toThrow(/"output"/)
    expect(encrypt({ output: memory.subarray(512, 1536) })).toThrow(/partial overlap/)
    expect(encrypt({ firstSector: -1n })).toThrow(RangeError)
    expect(encrypt({ firstSector: 0 as unknown as bigint })).toThrow(TypeError)
    expect(encrypt({ firstSector: 2n ** 64n - 1n })).toThrow(/below 2\^64/)
    expect(encrypt({ tweakStep: 2n ** 64n })).toThrow(/"tweakStep"/)
    expect(good.output.every((byte) => byte === 0)).toBe(true)
    expect(encrypt({ firstSector: 2n ** 64n - 2n })).not.toThrow()
    expect(encrypt({ output: good.input })).not.toThrow()
    expect(encrypt({ output: memory.subarray(1024, 2048) })).not.toThrow()
  })

  it('refuses use after close()', () => {
    const call = {
      firstSector: 0n,
      sectorSize: 512 as const,
      tweakStep: 1n,
      input: new Uint8Array(8192),
      output: new Uint8Array(8192),
    }
    const cipher = engine.cipher(randomBytes(64))
    cipher.encrypt(call)
    cipher.close()
    cipher.close()
    expect(() => {
      cipher.encrypt(call)
    }).toThrow(/closed/)
    expect(() => {
      cipher.decrypt({ ...call, input: new Uint8Array(512), output: new Uint8Array(512) })
    }).toThrow(/closed/)
    const pair = engine.reencryptor({ source: randomBytes(64), destination: randomBytes(64) })
    pair.close()
    expect(() => {
      pair.run({ source: call, destination: call, input: call.input, output: call.output })
    }).toThrow(/closed/)
  })
})

describe('selectEngine', () => {
  it('gives the fastest by default, and refuses unknown names', () => {
    expect(engineNames).toEqual(['node', 'noble'])
    expect(selectEngine().name).toBe('node')
    expect(() => selectEngine('quantum')).toThrow(/expected one of node, noble/)
  })
})
