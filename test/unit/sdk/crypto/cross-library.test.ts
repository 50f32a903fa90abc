// Keys and signatures against libraries that share no code with node:crypto: @noble/hashes for HKDF, @noble/curves for
// ECDSA. Both sides being wrong in the same way would have to be a coincidence.
import { p256 } from '@noble/curves/nist.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { deriveBlockKey, IdentityKey, keyModes, le64, Secret, utf8 } from '../../../../sdk/crypto/index.ts'

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })

describe('against @noble', () => {
  it('[C-13] derives the same block keys', () => {
    const anyFrame = fc.bigInt({ min: 0n, max: (1n << 52n) - 1n })
    fc.assert(
      fc.property(bytes(32), fc.constantFrom(...keyModes), anyFrame, (root, mode, frame) => {
        const place = mode === 'common' ? [] : [...le64(frame)]
        const info = new Uint8Array([...utf8(`palimpsest/v1/${mode}/aes-256-xts`), ...place])
        const expected = hkdf(sha256, root, undefined, info, 64)
        const key = deriveBlockKey(Secret.from(root), mode, frame)
        expect(key.use((found) => Uint8Array.from(found))).toEqual(expected)
      }),
      { numRuns: 50 },
    )
  })

  it('makes signatures that another library accepts, and refuses the changed ones', () => {
    const key = IdentityKey.generate()
    const { x, y } = key.publicKey.point
    const point = new Uint8Array([4, ...x, ...y])
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (message) => {
        const signature = key.sign(message)
        const options = { prehash: true, lowS: false }
        expect(p256.verify(signature, message, point, options)).toBe(true)
        const changed = Uint8Array.from(message)
        changed[0] = (changed[0] ?? 0) ^ 1
        expect(p256.verify(signature, changed, point, options)).toBe(false)
      }),
      { numRuns: 10 },
    )
  })
})
