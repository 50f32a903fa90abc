// Secret sharing and the wraps of sensitive areas: what is made for one key, use and object opens for nothing else.
// test/peers/tpm2-offline.test.ts has tpm2-tools make the same.

import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  hmac,
  IV_BYTES,
  kdfa,
  type KeyedHashPublic,
  makeCredential,
  marshal,
  objectName,
  openCredential,
  type Protector,
  protectorOf,
  recoverSecret,
  shareSecret,
  type SecretUse,
  TPM2B_DIGEST,
  TPM2B_ID_OBJECT,
  TPM2B_PRIVATE,
  TPM_ALG,
  TPM_ECC,
  TPM_RC,
  Tpm2Error,
  TPMS_ECC_POINT,
  type TPMT_SENSITIVE,
  trimAuth,
  unwrapChild,
  unwrapDuplicate,
  unwrapInner,
  unwrapOuter,
  wrapChild,
  wrapDuplicate,
  wrapInner,
} from '../../../../sdk/tpm2/index.ts'
import { eccKey, rsaKey, type SoftwareKey } from './decryption-keys.ts'

const KEYS: readonly (readonly [string, () => SoftwareKey])[] = [
  ['P-256, SHA-256, AES-128', () => eccKey(TPM_ECC.NIST_P256, TPM_ALG.SHA256, 128)],
  ['P-256, SHA-512, AES-192', () => eccKey(TPM_ECC.NIST_P256, TPM_ALG.SHA512, 192)],
  ['P-384, SHA-384, AES-256', () => eccKey(TPM_ECC.NIST_P384, TPM_ALG.SHA384, 256)],
  ['P-521, SHA-1, AES-256', () => eccKey(TPM_ECC.NIST_P521, TPM_ALG.SHA1, 256)],
  ['RSA 2048, SHA-256, AES-128', () => rsaKey(TPM_ALG.SHA256, 128)],
  ['RSA 2048, SHA-384, AES-256', () => rsaKey(TPM_ALG.SHA384, 256)],
]

const USES: readonly SecretUse[] = ['IDENTITY', 'DUPLICATE', 'SECRET']
const flipped = (bytes: Uint8Array, at: number): Uint8Array =>
  bytes.map((octet, index) => (index === at ? octet ^ 1 : octet))
const every = (bytes: Uint8Array, check: (changed: Uint8Array) => void): void => {
  for (const at of bytes.keys()) check(flipped(bytes, at))
  for (let length = 0; length < bytes.length; length += 1) check(bytes.subarray(0, length))
}

/** The error of `run`; fails when there is none. */
function refused(run: () => unknown): Tpm2Error {
  try {
    run()
  } catch (error) {
    expect(error).toBeInstanceOf(Tpm2Error)
    return error as Tpm2Error
  }
  return expect.fail('expected a refusal, got none')
}

describe('secret sharing', () => {
  it.each(KEYS)('the owner of the key learns the seed, of this use only: %s', (_, make) => {
    const { publicArea, privateKey } = make()
    for (const use of USES) {
      const { seed, secret } = shareSecret(publicArea, use)
      expect(recoverSecret(publicArea, privateKey, use, secret)).toEqual(seed)
      expect(shareSecret(publicArea, use).seed).not.toEqual(seed)
    }
    const { seed, secret } = shareSecret(publicArea, 'SECRET')
    const other = (): Uint8Array => recoverSecret(publicArea, privateKey, 'DUPLICATE', secret)
    if (publicArea.type === TPM_ALG.ECC) expect(other()).not.toEqual(seed)
    else expect(refused(other)).toMatchObject({ code: 'BAD_SECRET', rc: TPM_RC.VALUE })
  })

  it('names what is wrong with a secret by the response code of a TPM', () => {
    const ecc = eccKey(TPM_ECC.NIST_P256, TPM_ALG.SHA256, 128)
    const rsa = rsaKey(TPM_ALG.SHA256, 128)
    const recover = (key: SoftwareKey, secret: Uint8Array) =>
      refused(() => recoverSecret(key.publicArea, key.privateKey, 'SECRET', secret)).rc
    const point = { x: new Uint8Array(32).fill(1), y: new Uint8Array(32).fill(2) }
    expect(recover(ecc, marshal(TPMS_ECC_POINT, point))).toBe(TPM_RC.ECC_POINT)
    expect(recover(ecc, new Uint8Array(3))).toBe(TPM_RC.INSUFFICIENT)
    expect(recover(rsa, new Uint8Array(255))).toBe(TPM_RC.SIZE)
    expect(recover(rsa, new Uint8Array(256))).toBe(TPM_RC.VALUE)
    const { secret } = shareSecret(rsa.publicArea, 'SECRET')
    expect(refused(() => recoverSecret(rsa.publicArea, ecc.privateKey, 'SECRET', secret)).code).toBe(
      'UNSUPPORTED',
    )
  })

  it('refuses keys that share no secrets', () => {
    expect(refused(() => shareSecret(object.publicArea, 'SECRET')).code).toBe('UNSUPPORTED')
    const p192 = eccKey(TPM_ECC.NIST_P256, TPM_ALG.SHA256, 128).publicArea
    if (p192.type !== TPM_ALG.ECC) return expect.fail()
    const unknown = { ...p192, parameters: { ...p192.parameters, curveID: TPM_ECC.NIST_P192 } }
    expect(refused(() => shareSecret(unknown, 'SECRET')).rc).toBe(TPM_RC.CURVE)
  })
})

const publicArea: KeyedHashPublic = {
  type: TPM_ALG.KEYEDHASH,
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: 0,
  authPolicy: new Uint8Array(0),
  parameters: { scheme: { scheme: TPM_ALG.NULL } },
  unique: new Uint8Array(32),
}
const object = { publicArea, name: objectName(publicArea), nameAlg: publicArea.nameAlg }
const sensitive: TPMT_SENSITIVE = {
  sensitiveType: TPM_ALG.KEYEDHASH,
  authValue: Uint8Array.of(1, 2, 3),
  seedValue: new Uint8Array(32).fill(4),
  sensitive: Uint8Array.of(5, 6, 7, 8),
}
const parent: Protector = { nameAlg: TPM_ALG.SHA256, keyBits: 128 }
const seed = new Uint8Array(32).fill(9)
const iv = new Uint8Array(IV_BYTES).fill(10)

describe('protection of sensitive areas', () => {
  it('a child opens under its parent, and shows neither its bytes nor the length of its authValue', () => {
    const wrapped = wrapChild(parent, seed, object, sensitive, iv)
    expect(unwrapChild(parent, seed, object, wrapped)).toEqual(sensitive)
    expect(Buffer.from(wrapped).includes(Buffer.from(sensitive.sensitive))).toBe(false)
    const longer = { ...sensitive, authValue: new Uint8Array(32).fill(1) }
    expect(wrapChild(parent, seed, object, longer, iv)).toHaveLength(wrapped.length)
    expect(marshal(TPM2B_PRIVATE, wrapped)).toHaveLength(wrapped.length + 2)
  })

  it('a child does not open with another seed, name or parent, nor when anything of it was changed', () => {
    const wrapped = wrapChild(parent, seed, object, sensitive, iv)
    const open = (change: {
      seed?: Uint8Array
      name?: Uint8Array
      parent?: Protector
      wrapped?: Uint8Array
    }) =>
      refused(() =>
        unwrapChild(
          change.parent ?? parent,
          change.seed ?? seed,
          { ...object, name: change.name ?? object.name },
          change.wrapped ?? wrapped,
        ),
      )
    expect(open({ seed: flipped(seed, 0) })).toMatchObject({ code: 'BAD_INTEGRITY', rc: TPM_RC.INTEGRITY })
    expect(open({ name: flipped(object.name, 5) }).code).toBe('BAD_INTEGRITY')
    expect(open({ parent: { ...parent, nameAlg: TPM_ALG.SHA384 } }).code).toBe('BAD_INTEGRITY')
    every(wrapped, (changed) => {
      expect(open({ wrapped: changed }).code).toBeOneOf(['BAD_INTEGRITY', 'MALFORMED'])
    })
  })

  it.each([
    ['no wrap', {}],
    ['an inner wrap', { inner: { key: new Uint8Array(16).fill(1) } }],
    ['an outer wrap', { outer: { parent, seed } }],
    ['both', { inner: { key: new Uint8Array(32).fill(1) }, outer: { parent, seed } }],
  ])('a duplicate with %s opens with the same keys only', (_, wraps) => {
    const wrapped = wrapDuplicate(wraps, object, sensitive)
    expect(unwrapDuplicate(wraps, object, wrapped)).toEqual(sensitive)
    if (Object.keys(wraps).length === 0) return
    const name = flipped(object.name, 5)
    expect(refused(() => unwrapDuplicate(wraps, { ...object, name }, wrapped)).code).toBe('BAD_INTEGRITY')
    every(wrapped, (changed) => {
      refused(() => unwrapDuplicate(wraps, object, changed))
    })
  })

  it('the outer wrap is around the inner one', () => {
    const key = new Uint8Array(16).fill(1)
    const wrapped = wrapDuplicate({ inner: { key }, outer: { parent, seed } }, object, sensitive)
    const inside = unwrapOuter(parent, seed, object.name, wrapped)
    expect(inside).toEqual(wrapDuplicate({ inner: { key } }, object, sensitive))
    expect(unwrapInner(object.nameAlg, key, object.name, inside)).toEqual(
      wrapDuplicate({}, object, sensitive),
    )
    const other = key.map((octet) => octet ^ 1)
    expect(refused(() => unwrapInner(object.nameAlg, other, object.name, inside))).toBeInstanceOf(Tpm2Error)
    expect(wrapInner(object.nameAlg, other, object.name, new Uint8Array(4))).toHaveLength(2 + 32 + 4)
  })

  it('refuses an IV of another length, and a protector that does not use AES-CFB', () => {
    const covered = Uint8Array.of(0, 8, ...new Uint8Array(24))
    const none = new Uint8Array(0)
    const key = kdfa(parent.nameAlg, seed, 'INTEGRITY', none, none, 256)
    const integrity = marshal(TPM2B_DIGEST, hmac(parent.nameAlg, key, covered, object.name))
    const wrapped = Uint8Array.from([...integrity, ...covered])
    expect(unwrapOuter(parent, seed, object.name, wrapped)).toHaveLength(covered.length)
    expect(refused(() => unwrapOuter(parent, seed, object.name, wrapped, true))).toMatchObject({
      code: 'MALFORMED',
      rc: TPM_RC.VALUE,
    })
    expect(refused(() => protectorOf(publicArea))).toMatchObject({ code: 'UNSUPPORTED', rc: TPM_RC.TYPE })
    const cipher = { ...publicArea, type: TPM_ALG.SYMCIPHER } as const
    const sym = { algorithm: TPM_ALG.AES, keyBits: 256, mode: TPM_ALG.CFB } as const
    expect(protectorOf({ ...cipher, parameters: { sym } })).toEqual({ nameAlg: TPM_ALG.SHA256, keyBits: 256 })
    for (const other of [
      { ...sym, mode: TPM_ALG.CBC },
      { ...sym, algorithm: TPM_ALG.CAMELLIA },
    ]) {
      expect(refused(() => protectorOf({ ...cipher, parameters: { sym: other } })).rc).toBe(TPM_RC.TYPE)
    }
  })

  it('an authValue ends before the zeros that pad it', () => {
    expect(trimAuth(Uint8Array.of(0, 1, 0, 2, 0, 0))).toEqual(Uint8Array.of(0, 1, 0, 2))
    expect(trimAuth(new Uint8Array(4))).toEqual(new Uint8Array(0))
    expect(trimAuth(new Uint8Array(0))).toEqual(new Uint8Array(0))
  })
})

describe('credentials for every kind of EK', () => {
  it.each(KEYS)('open with the EK and for the named object only: %s', (_, make) => {
    const { publicArea: ekPublic, privateKey } = make()
    const secret = new Uint8Array(randomBytes(20))
    const credential = makeCredential({ ekPublic, objectName: object.name, secret })
    const good = { ekPublic, ...privateKey, objectName: object.name, ...credential }
    expect(openCredential(good)).toEqual(secret)
    expect(refused(() => openCredential({ ...good, objectName: flipped(object.name, 3) }))).toMatchObject({
      code: 'BAD_CREDENTIAL',
      rc: TPM_RC.INTEGRITY,
    })
    refused(() => openCredential({ ...good, ...make().privateKey }))
    expect(marshal(TPM2B_ID_OBJECT, credential.credentialBlob)).toHaveLength(
      2 + 2 + marshal(TPM2B_DIGEST, secret).length + digestLength(ekPublic.nameAlg),
    )
  })
})

function digestLength(hashAlg: number): number {
  return (
    { [TPM_ALG.SHA1]: 20, [TPM_ALG.SHA256]: 32, [TPM_ALG.SHA384]: 48, [TPM_ALG.SHA512]: 64 }[hashAlg] ?? 0
  )
}
