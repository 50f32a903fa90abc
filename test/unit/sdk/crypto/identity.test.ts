// Identity keys: forms of import and export, one digest a key, signatures that other software verifies, redaction.

import { createHash, createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { FormatError, fromHex, hex, IdentityKey, PublicKey, utf8 } from '../../../../sdk/crypto/index.ts'

describe('IdentityKey', () => {
  it('signs raw r and s, which node verifies from the SPKI alone', () => {
    const key = IdentityKey.generate()
    const signature = key.sign(utf8('message'))
    expect(signature).toHaveLength(64)
    const outside = createPublicKey({ key: Buffer.from(key.publicKey.spki), format: 'der', type: 'spki' })
    expect(verify('sha256', utf8('message'), { key: outside, dsaEncoding: 'ieee-p1363' }, signature)).toBe(
      true,
    )
  })

  it('survives PEM and PKCS #8', () => {
    const key = IdentityKey.generate()
    expect(key.toPem()).toContain('BEGIN PRIVATE KEY')
    expect(IdentityKey.fromPem(key.toPem()).publicKey.equals(key.publicKey)).toBe(true)
    expect(IdentityKey.fromPkcs8(key.toPkcs8()).publicKey.equals(key.publicKey)).toBe(true)
  })

  it('shows the public digest only when printed, and nothing when cloned', () => {
    const key = IdentityKey.generate()
    const shown = `[IdentityKey ${hex(key.publicKey.digest)}]`
    expect(inspect({ key }, { breakLength: Infinity })).toBe(`{ key: ${shown} }`)
    expect(JSON.stringify({ key })).toBe(JSON.stringify({ key: shown }))
    expect(JSON.stringify(structuredClone(key))).not.toContain('PRIVATE')
  })

  it('refuses other keys', () => {
    const pem = { format: 'pem', type: 'pkcs8' } as const
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export(pem)
    const ed25519 = generateKeyPairSync('ed25519').privateKey.export(pem)
    expect(() => IdentityKey.fromPem(p384.toString())).toThrow(
      /expected an EC key on P-256, found ec secp384r1/,
    )
    expect(() => IdentityKey.fromPem(ed25519.toString())).toThrow(/found ed25519/)
    expect(() => IdentityKey.fromPem('nonsense')).toThrow(FormatError)
    expect(() => IdentityKey.fromPkcs8(new Uint8Array(10))).toThrow(FormatError)
  })
})

describe('PublicKey', () => {
  const key = IdentityKey.generate().publicKey

  it('has the SHA-256 of its SPKI as digest', () => {
    expect(hex(key.digest)).toBe(createHash('sha256').update(key.spki).digest('hex'))
  })

  it('is the same key from SPKI, PEM, JWK and coordinates', () => {
    const jwk = createPublicKey(key.toPem()).export({ format: 'jwk' })
    const { x, y } = key.point
    for (const same of [
      PublicKey.fromSpki(key.spki),
      PublicKey.fromPem(key.toPem()),
      PublicKey.fromJwk(jwk),
      PublicKey.fromPoint(x, y),
    ]) {
      expect(hex(same.digest)).toBe(hex(key.digest))
    }
  })

  it('verify() is false for another message, key, or length', () => {
    const signer = IdentityKey.generate()
    const signature = signer.sign(utf8('a'))
    expect(signer.publicKey.verify(utf8('a'), signature)).toBe(true)
    expect(signer.publicKey.verify(utf8('b'), signature)).toBe(false)
    expect(key.verify(utf8('a'), signature)).toBe(false)
    expect(signer.publicKey.verify(utf8('a'), signature.subarray(1))).toBe(false)
    expect(signer.publicKey.verify(utf8('a'), new Uint8Array(64))).toBe(false)
  })

  it('refuses a second encoding of the same key, which would have a second digest', () => {
    const { x, y } = key.point
    const compressed = new Uint8Array([
      ...fromHex('3039301306072a8648ce3d020106082a8648ce3d030107032200'),
      ((y[31] ?? 0) & 1) + 2,
      ...x,
    ])
    expect(() => PublicKey.fromSpki(compressed)).toThrow(/uncompressed/)
    const pem = `-----BEGIN PUBLIC KEY-----\n${Buffer.from(compressed).toString('base64')}\n-----END PUBLIC KEY-----\n`
    expect(PublicKey.fromPem(pem).equals(key)).toBe(true)
    expect(() => PublicKey.fromSpki(new Uint8Array([...key.spki, 0]))).toThrow(FormatError)
  })

  it('refuses a point off the curve, a private PEM, an incomplete JWK', () => {
    const { x, y } = key.point
    y[0] = (y[0] ?? 0) ^ 1
    expect(() => PublicKey.fromPoint(x, y)).toThrow(FormatError)
    expect(() => PublicKey.fromPem(IdentityKey.generate().toPem())).toThrow(FormatError)
    expect(() => PublicKey.fromJwk({ kty: 'EC', crv: 'P-256', x: 'AA' })).toThrow(FormatError)
    expect(() => PublicKey.fromPoint(x.subarray(1), y)).toThrow(RangeError)
  })
})
