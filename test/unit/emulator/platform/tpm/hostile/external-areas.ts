// Objects from outside, as TPM2_LoadExternal takes them: a caller chooses every field of their public areas, so later
// commands meet keys that no TPM would make.

import { generateEccKey, generateRsaKey } from '../../../../../../emulator/platform/tpm/keys/index.ts'
import { fixedEntropy } from '../../../../../../emulator/platform/tpm/index.ts'
import {
  digestSize,
  type EccPublic,
  hash,
  type KeyedHashPublic,
  type RsaPublic,
  type SymCipherPublic,
  TPM_ALG,
  TPM_ECC,
  TPMA_OBJECT,
  type TPMT_ECC_SCHEME,
  type TPMT_KDF_SCHEME,
  type TPMT_KEYEDHASH_SCHEME,
  type TPMT_PUBLIC,
  type TPMT_RSA_SCHEME,
  type TPMT_SENSITIVE,
  type TPMT_SYM_DEF_OBJECT_PLUS,
} from '../../../../../../sdk/tpm2/index.ts'

const NONE = new Uint8Array(0)

/** Numbers in a row that look random: the same from the same seed. */
export class Chance {
  readonly #next: (size: number) => Uint8Array

  constructor(seed: string) {
    this.#next = fixedEntropy(seed).next
  }

  /** One of the choices. */
  of<T>(...choices: readonly [T, ...T[]]): T {
    const at = new DataView(this.#next(4).slice().buffer).getUint32(0) % choices.length
    return choices[at] ?? choices[0]
  }

  bytes(size: number): Uint8Array {
    return this.#next(size).slice()
  }
}

/** What TPM2_LoadExternal is given, and how a failure names it. */
export interface External {
  readonly what: string
  readonly inPublic: TPMT_PUBLIC
  readonly inPrivate: TPMT_SENSITIVE | undefined
}

const { decrypt, noDA, restricted, sign, userWithAuth } = TPMA_OBJECT
const PARENT = restricted | decrypt
const NO_SYMMETRIC = { algorithm: TPM_ALG.NULL } as const
const NO_SCHEME = { scheme: TPM_ALG.NULL } as const
const aes = (mode: number, keyBits = 128) => ({ algorithm: TPM_ALG.AES, keyBits, mode }) as const
const CFB = aes(TPM_ALG.CFB)

const HASHES = [TPM_ALG.SHA1, TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512] as const
const CURVES = [TPM_ECC.NIST_P256, TPM_ECC.NIST_P384, TPM_ECC.NIST_P521] as const

const entropy = fixedEntropy('keys from outside').next
const RSA_KEYS = {
  1024: generateRsaKey(1024, 0, entropy),
  2048: generateRsaKey(2048, 0, entropy),
}
const ECC_KEYS = CURVES.map((curveID) => ({ curveID, ...generateEccKey(curveID, entropy) }))
type RsaBits = keyof typeof RSA_KEYS

/** Fields that a chosen area has otherwise than a plain unrestricted key. */
interface Changes {
  readonly nameAlg?: number
  readonly objectAttributes?: number
  readonly symmetric?: TPMT_SYM_DEF_OBJECT_PLUS
}
interface RsaChanges extends Changes {
  readonly scheme?: TPMT_RSA_SCHEME
  readonly keyBits?: RsaBits
  readonly exponent?: number
  readonly modulus?: Uint8Array
}
interface EccChanges extends Changes {
  readonly scheme?: TPMT_ECC_SCHEME
  readonly kdf?: TPMT_KDF_SCHEME
  readonly key?: (typeof ECC_KEYS)[number]
  readonly unique?: EccPublic['unique']
}

function head({ nameAlg = TPM_ALG.SHA256, objectAttributes = sign | decrypt }: Changes) {
  return { nameAlg, objectAttributes, authPolicy: NONE }
}

function rsaArea(changes: RsaChanges): RsaPublic {
  const { keyBits = 2048, symmetric = NO_SYMMETRIC, scheme = NO_SCHEME, exponent = 0 } = changes
  const unique = changes.modulus ?? RSA_KEYS[keyBits].modulus
  const parameters = { symmetric, scheme, keyBits, exponent }
  return { type: TPM_ALG.RSA, ...head(changes), parameters, unique }
}

function eccArea(changes: EccChanges): EccPublic {
  const { key = eccKey(0), symmetric = NO_SYMMETRIC, scheme = NO_SCHEME, kdf = NO_SCHEME } = changes
  const parameters = { symmetric, scheme, curveID: key.curveID, kdf }
  return { type: TPM_ALG.ECC, ...head(changes), parameters, unique: changes.unique ?? key.point }
}

function eccKey(index: number): (typeof ECC_KEYS)[number] {
  const key = ECC_KEYS[index]
  if (key === undefined) throw new RangeError(`"index" expected 0..${String(ECC_KEYS.length - 1)}`)
  return key
}

function sensitiveOf(sensitiveType: TPMT_PUBLIC['type'], sensitive: Uint8Array): TPMT_SENSITIVE {
  return { sensitiveType, authValue: NONE, seedValue: NONE, sensitive }
}

const rsaSensitive = (bits: RsaBits): TPMT_SENSITIVE => sensitiveOf(TPM_ALG.RSA, RSA_KEYS[bits].prime)
const eccSensitive = (index: number): TPMT_SENSITIVE => sensitiveOf(TPM_ALG.ECC, eccKey(index).scalar)

/** A modulus of which `change` was made. */
function modulus(change: (bytes: Uint8Array) => void): Uint8Array {
  const bytes = RSA_KEYS[2048].modulus.slice()
  change(bytes)
  return bytes
}

const EVEN = modulus((bytes) => {
  bytes[255] = 2
})
const POWER = modulus((bytes) => {
  bytes.fill(0)
  bytes[0] = 0x80
})
const ALL_ONES = modulus((bytes) => bytes.fill(0xff))

/** RSA keys, as would-be parents and as others. */
function chosenRsa(): External[] {
  const key = (what: string, changes: RsaChanges, inPrivate?: TPMT_SENSITIVE): External => ({
    what: `RSA ${what}`,
    inPublic: rsaArea(changes),
    inPrivate,
  })
  const parent = { objectAttributes: PARENT, symmetric: CFB } as const
  const whole = { objectAttributes: userWithAuth | sign | decrypt } as const
  const numbers: readonly (readonly [string, RsaChanges])[] = [
    ['as it should be', {}],
    ['with an even modulus', { modulus: EVEN }],
    ['with a power of two as modulus', { modulus: POWER }],
    ['with a modulus of ones', { modulus: ALL_ONES }],
    ['with exponent 1', { exponent: 1 }],
    ['with exponent 3', { exponent: 3 }],
    ['with an even exponent', { exponent: 0x10002 }],
    ['with the greatest exponent', { exponent: 0xffffffff }],
    ['with the greatest prime exponent', { exponent: 0xfffffffb }],
    ['of 1024 bits with nameAlg SHA-512', { keyBits: 1024, nameAlg: TPM_ALG.SHA512 }],
    ['of 1024 bits with nameAlg SHA-384', { keyBits: 1024, nameAlg: TPM_ALG.SHA384 }],
    ['with nameAlg NULL', { nameAlg: TPM_ALG.NULL }],
  ]
  return [
    ...numbers.flatMap(([what, changes]) => [
      key(what, changes),
      key(`parent ${what}`, { ...changes, ...parent }),
    ]),
    key('parent without a cipher', { objectAttributes: PARENT }),
    key('parent with AES-CTR', { ...parent, symmetric: aes(TPM_ALG.CTR) }),
    key('parent with AES without a mode', { ...parent, symmetric: aes(TPM_ALG.NULL) }),
    key('parent with a signature scheme', {
      ...parent,
      scheme: { scheme: TPM_ALG.RSASSA, hashAlg: TPM_ALG.SHA1 },
    }),
    key('parent with OAEP of SHA-512', {
      ...parent,
      keyBits: 1024,
      scheme: { scheme: TPM_ALG.OAEP, hashAlg: TPM_ALG.SHA512 },
    }),
    key('with nameAlg NULL and its prime', { ...whole, nameAlg: TPM_ALG.NULL }, rsaSensitive(2048)),
    key('of 1024 bits with its prime', { ...whole, keyBits: 1024 }, rsaSensitive(1024)),
    key(
      'with nameAlg NULL and a modulus not of its prime',
      { ...whole, nameAlg: TPM_ALG.NULL, modulus: EVEN },
      rsaSensitive(2048),
    ),
  ]
}

/** Elliptic curve keys. */
function chosenEcc(): External[] {
  const key = (what: string, changes: EccChanges, inPrivate?: TPMT_SENSITIVE): External => ({
    what: `ECC ${what}`,
    inPublic: eccArea(changes),
    inPrivate,
  })
  const parent = { objectAttributes: PARENT, symmetric: CFB } as const
  const whole = { objectAttributes: userWithAuth | sign | decrypt } as const
  const [first, second] = [eccKey(0).point, eccKey(1).point]
  const ones = new Uint8Array(32).fill(0xff)
  const points: readonly (readonly [string, EccPublic['unique']])[] = [
    ['no point', { x: NONE, y: NONE }],
    ['a point of zeros', { x: new Uint8Array(32), y: new Uint8Array(32) }],
    ['coordinates beyond the field', { x: ones, y: ones }],
    ['the point of another curve', second],
    ['half a point', { x: first.x, y: NONE }],
    ['a point off the curve', { x: first.x, y: first.x }],
  ]
  const ecdaa = { scheme: TPM_ALG.ECDAA, hashAlg: TPM_ALG.SHA256, count: 0 } as const
  return [
    ...points.map(([what, unique]) => key(`with ${what}`, { unique })),
    ...CURVES.map((_, index) => key(`parent on curve ${String(index)}`, { ...parent, key: eccKey(index) })),
    key('parent with nameAlg NULL', { ...parent, nameAlg: TPM_ALG.NULL }),
    key('parent without a cipher', { objectAttributes: PARENT }),
    key('parent with AES-CTR', { ...parent, symmetric: aes(TPM_ALG.CTR) }),
    key(
      'with ECDAA, nameAlg NULL and its scalar',
      { ...whole, nameAlg: TPM_ALG.NULL, scheme: ecdaa },
      eccSensitive(0),
    ),
    key(
      'with ECDAA and its scalar',
      { objectAttributes: userWithAuth | sign, scheme: ecdaa },
      eccSensitive(0),
    ),
    key('with nameAlg NULL and its scalar', { ...whole, nameAlg: TPM_ALG.NULL }, eccSensitive(0)),
    key('with its scalar', whole, eccSensitive(0)),
    key('with a scalar of zeros', whole, sensitiveOf(TPM_ALG.ECC, new Uint8Array(32))),
    key('with a scalar of ones', whole, sensitiveOf(TPM_ALG.ECC, ones)),
  ]
}

/** A keyed-hash object or symmetric key with the unique value that its nameAlg asks for; `whole`: with its secret. */
function hashed(
  area: (unique: Uint8Array) => KeyedHashPublic | SymCipherPublic,
  sensitive: Uint8Array,
  whole: boolean,
): Omit<External, 'what'> {
  const { nameAlg, type } = area(NONE)
  const seedValue = nameAlg === TPM_ALG.NULL ? NONE : new Uint8Array(digestSize(nameAlg)).fill(9)
  const inPublic = area(nameAlg === TPM_ALG.NULL ? NONE : hash(nameAlg, seedValue, sensitive))
  return { inPublic, inPrivate: whole ? { ...sensitiveOf(type, sensitive), seedValue } : undefined }
}

function keyedHash(scheme: TPMT_KEYEDHASH_SCHEME, changes: Changes, whole: boolean): Omit<External, 'what'> {
  const area = (unique: Uint8Array): KeyedHashPublic => ({
    type: TPM_ALG.KEYEDHASH,
    ...head(changes),
    parameters: { scheme },
    unique,
  })
  return hashed(area, Uint8Array.of(1, 2, 3), whole)
}

function symCipher(mode: number, keyBits: number, changes: Changes, whole: boolean): Omit<External, 'what'> {
  const area = (unique: Uint8Array): SymCipherPublic => ({
    type: TPM_ALG.SYMCIPHER,
    ...head(changes),
    parameters: { sym: aes(mode, keyBits) },
    unique,
  })
  return hashed(area, new Uint8Array(keyBits / 8).fill(5), whole)
}

function chosenHashed(): External[] {
  const use = userWithAuth | sign | decrypt
  const hmac = { scheme: TPM_ALG.HMAC, hashAlg: TPM_ALG.SHA512 } as const
  return [TPM_ALG.NULL, TPM_ALG.SHA1, TPM_ALG.SHA512].flatMap((nameAlg): External[] => {
    const named = `with nameAlg ${String(nameAlg)}`
    const changes = (objectAttributes: number): Changes => ({ nameAlg, objectAttributes })
    return [
      { what: `data ${named}`, ...keyedHash(NO_SCHEME, changes(userWithAuth), true) },
      { what: `data without DA ${named}`, ...keyedHash(NO_SCHEME, changes(userWithAuth | noDA), true) },
      { what: `HMAC key ${named}`, ...keyedHash(hmac, changes(userWithAuth | sign), true) },
      { what: `keyed-hash parent ${named}`, ...keyedHash(NO_SCHEME, changes(PARENT), false) },
      { what: `AES parent ${named}`, ...symCipher(TPM_ALG.CFB, 128, changes(PARENT), false) },
      { what: `AES-CTR parent ${named}`, ...symCipher(TPM_ALG.CTR, 128, changes(PARENT), false) },
      { what: `AES key ${named}`, ...symCipher(TPM_ALG.NULL, 256, changes(use), true) },
    ]
  })
}

/** What reviewers and readers of the Library thought of. */
export function chosenExternals(): External[] {
  return [...chosenRsa(), ...chosenEcc(), ...chosenHashed()]
}

function symmetricBy(chance: Chance): TPMT_SYM_DEF_OBJECT_PLUS {
  const mode = chance.of<number>(TPM_ALG.CFB, TPM_ALG.NULL, TPM_ALG.CTR)
  return chance.of<TPMT_SYM_DEF_OBJECT_PLUS>(NO_SYMMETRIC, CFB, aes(mode, chance.of(128, 256)))
}

/** An object with fields by chance. */
export function randomExternal(chance: Chance): External {
  const hashAlg = chance.of(...HASHES)
  const whole = chance.of(true, true, false)
  const nameAlg = chance.of<number>(TPM_ALG.NULL, ...HASHES)
  const base = whole ? userWithAuth : chance.of(0, restricted)
  const objectAttributes = base | chance.of(sign, decrypt, sign | decrypt, 0)
  const changes = { nameAlg, objectAttributes, symmetric: symmetricBy(chance) }
  const parts = { RSA: randomRsa, ECC: randomEcc, hashed: randomHashed }
  const kind = chance.of<keyof typeof parts>('RSA', 'ECC', 'hashed')
  return { what: `random ${kind}`, ...parts[kind](chance, changes, hashAlg, whole) }
}

type Parts = Omit<External, 'what'>

function randomRsa(chance: Chance, changes: Changes, hashAlg: number, whole: boolean): Parts {
  const keyBits = chance.of<RsaBits>(1024, 2048)
  const scheme = chance.of<TPMT_RSA_SCHEME>(
    NO_SCHEME,
    { scheme: TPM_ALG.RSAES },
    { scheme: TPM_ALG.OAEP, hashAlg },
    { scheme: TPM_ALG.RSASSA, hashAlg },
    { scheme: TPM_ALG.RSAPSS, hashAlg },
  )
  const exponent = whole ? 0 : chance.of(0, 0, 3, 0x10001, 0x10003, 0xfffffffb)
  const random = chance.bytes(keyBits / 8)
  random[0] = 0x80
  const unique = whole ? undefined : chance.of(undefined, random)
  const inPublic = rsaArea({ ...changes, scheme, keyBits, exponent, ...(unique && { modulus: unique }) })
  return { inPublic, inPrivate: whole ? rsaSensitive(keyBits) : undefined }
}

function randomEcc(chance: Chance, changes: Changes, hashAlg: number, whole: boolean): Parts {
  const index = chance.of(0, 1, 2)
  const scheme = chance.of<TPMT_ECC_SCHEME>(
    NO_SCHEME,
    { scheme: TPM_ALG.ECDSA, hashAlg },
    { scheme: TPM_ALG.ECDAA, hashAlg, count: 0 },
    { scheme: TPM_ALG.ECSCHNORR, hashAlg },
    { scheme: TPM_ALG.ECDH, hashAlg },
    { scheme: TPM_ALG.ECMQV, hashAlg },
  )
  const kdf = chance.of<TPMT_KDF_SCHEME>(NO_SCHEME, { scheme: TPM_ALG.KDF1_SP800_108, hashAlg })
  const inPublic = eccArea({ ...changes, scheme, kdf, key: eccKey(index) })
  return { inPublic, inPrivate: whole ? eccSensitive(index) : undefined }
}

function randomHashed(chance: Chance, changes: Changes, hashAlg: number, whole: boolean): Parts {
  const scheme = chance.of<TPMT_KEYEDHASH_SCHEME | undefined>(
    undefined,
    NO_SCHEME,
    { scheme: TPM_ALG.HMAC, hashAlg },
    { scheme: TPM_ALG.XOR, hashAlg, kdf: TPM_ALG.KDF1_SP800_108 },
  )
  if (scheme !== undefined) return keyedHash(scheme, changes, whole)
  const mode = chance.of<number>(TPM_ALG.NULL, TPM_ALG.CFB, TPM_ALG.ECB, TPM_ALG.CTR)
  return symCipher(mode, chance.of(128, 256), changes, whole)
}
