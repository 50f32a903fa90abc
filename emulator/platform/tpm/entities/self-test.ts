// The self-test: each algorithm computes something whose answer is known, in both directions where it has two. What
// fails here must never be used: the TPM goes into failure mode.
// Source: TPM 2.0 Library, Part 1, clause 10.3 (self-test modes) and Part 3, clause 10, revision 1.59.

import { fromHex, hex } from '../../../../sdk/crypto/index.ts'
import { hash, hmac, kdfa, kdfe, TPM_ALG, TPM_ECC, type TPMS_ECC_POINT } from '../../../../sdk/tpm2/index.ts'
import { ALGORITHMS } from '../algorithms.ts'
import {
  aesDecrypt,
  aesEncrypt,
  ecdaaSign,
  ecdsaSign,
  ecdsaVerify,
  eccAgree,
  eccMultiply,
  ecSchnorrSign,
  ecSchnorrVerify,
  type Entropy,
  oaepDecrypt,
  publicPoint,
  rsaesDecrypt,
  rsaKeyFromPrime,
  rsapssSign,
  rsapssVerify,
  rsassaSign,
  rsassaVerify,
  twoPhaseMqv,
  xorObfuscate,
} from '../keys/index.ts'
import { curveOf } from '../keys/curves.ts'
import { toBytes, toInteger } from '../keys/integers.ts'
import {
  AES_VECTOR,
  DIGESTS,
  ECC_VECTOR,
  HMAC_VECTOR,
  KDF_VECTOR,
  MESSAGE,
  RSA_VECTOR,
} from './self-test-vectors.ts'

const P256 = TPM_ECC.NIST_P256
const digest = fromHex(DIGESTS.sha256)

/** Whether the bytes are those of the vector. */
function is(found: Uint8Array, expected: string): boolean {
  return hex(found) === expected
}

const hashOf = (hashAlg: number, expected: string) => (): boolean =>
  is(hash(hashAlg, fromHex(MESSAGE)), expected)

function hmacTest(): boolean {
  return is(hmac(TPM_ALG.SHA256, fromHex(HMAC_VECTOR.key), fromHex(HMAC_VECTOR.data)), HMAC_VECTOR.mac)
}

const aes = (mode: number, iv: string, cipher: string) => (): boolean => {
  const key = fromHex(AES_VECTOR.key)
  const encrypted = aesEncrypt(mode, key, fromHex(iv), fromHex(AES_VECTOR.plain)).outData
  const decrypted = aesDecrypt(mode, key, fromHex(iv), fromHex(cipher)).outData
  return is(encrypted, cipher) && is(decrypted, AES_VECTOR.plain)
}

const aesCfb = aes(TPM_ALG.CFB, AES_VECTOR.iv, AES_VECTOR.cfb)

type Kdf = typeof kdfa

const kdf = (derive: Kdf, expected: string) => (): boolean => {
  const [key, contextU, contextV] = [KDF_VECTOR.key, KDF_VECTOR.contextU, KDF_VECTOR.contextV].map(fromHex)
  if (key === undefined || contextU === undefined || contextV === undefined) return false
  return is(derive(TPM_ALG.SHA256, key, 'SELFTEST', contextU, contextV, 320), expected)
}

function xorTest(): boolean {
  const { key, contextU, contextV, mask } = KDF_VECTOR
  const nothing = new Uint8Array(mask.length / 2)
  return is(xorObfuscate(TPM_ALG.SHA256, fromHex(key), fromHex(contextU), fromHex(contextV), nothing), mask)
}

function rsaKey(): ReturnType<typeof rsaKeyFromPrime> {
  return rsaKeyFromPrime(fromHex(RSA_VECTOR.modulus), 0, fromHex(RSA_VECTOR.prime))
}

function rsassaTest(): boolean {
  const key = rsaKey()
  const signature = rsassaSign(key, TPM_ALG.SHA256, digest)
  return is(signature, RSA_VECTOR.rsassa) && rsassaVerify(key, TPM_ALG.SHA256, digest, signature)
}

function rsapssTest(next: Entropy): boolean {
  const key = rsaKey()
  const signatures = [fromHex(RSA_VECTOR.rsapss), rsapssSign(key, TPM_ALG.SHA256, digest, next)]
  return signatures.every((signature) => rsapssVerify(key, TPM_ALG.SHA256, digest, signature))
}

function rsaesTest(): boolean {
  return is(rsaesDecrypt(rsaKey(), fromHex(RSA_VECTOR.rsaes)), MESSAGE)
}

function oaepTest(): boolean {
  const cipherText = fromHex(RSA_VECTOR.oaep)
  return is(oaepDecrypt(rsaKey(), TPM_ALG.SHA256, fromHex(RSA_VECTOR.label), cipherText), MESSAGE)
}

const scalar = fromHex(ECC_VECTOR.scalar)
const otherScalar = fromHex(ECC_VECTOR.otherScalar)
const point: TPMS_ECC_POINT = { x: fromHex(ECC_VECTOR.x), y: fromHex(ECC_VECTOR.y) }
const otherPoint: TPMS_ECC_POINT = { x: fromHex(ECC_VECTOR.otherX), y: fromHex(ECC_VECTOR.otherY) }

function ecdhTest(): boolean {
  const own = publicPoint(P256, scalar)
  const { x } = eccMultiply(P256, otherScalar, point)
  const agreed = is(eccAgree(P256, scalar, otherPoint), ECC_VECTOR.shared) && is(x, ECC_VECTOR.shared)
  return is(own.x, ECC_VECTOR.x) && is(own.y, ECC_VECTOR.y) && agreed
}

function ecdsaTest(next: Entropy): boolean {
  const known = { signatureR: fromHex(ECC_VECTOR.signatureR), signatureS: fromHex(ECC_VECTOR.signatureS) }
  const signatures = [known, ecdsaSign(P256, scalar, digest, next)]
  return signatures.every((signature) => ecdsaVerify(P256, point, digest, signature))
}

function ecSchnorrTest(next: Entropy): boolean {
  const signature = ecSchnorrSign(P256, scalar, TPM_ALG.SHA256, digest, next)
  return ecSchnorrVerify(P256, point, TPM_ALG.SHA256, digest, signature)
}

/** With the commit's number known, the equation of the signature can be checked: s = r + H(nonce ‖ digest)·d. */
function ecdaaTest(next: Entropy): boolean {
  const { n, size } = curveOf(P256)
  const { signatureR, signatureS } = ecdaaSign(P256, scalar, otherScalar, TPM_ALG.SHA256, digest, next)
  const challenge = toInteger(hash(TPM_ALG.SHA256, signatureR, digest)) % n
  const expected = (toInteger(otherScalar) + challenge * toInteger(scalar)) % n
  return hex(signatureS) === hex(toBytes(expected, size))
}

/** Both sides must come to the same point; each uses one key as its static and its ephemeral one. */
function ecmqvTest(): boolean {
  const side = (own: Uint8Array, other: TPMS_ECC_POINT): string => {
    const keys = { staticScalar: own, ephemeralScalar: own, otherStatic: other, otherEphemeral: other }
    return hex(twoPhaseMqv(P256, keys).x)
  }
  return side(scalar, otherPoint) === side(otherScalar, point)
}

/** The test of each algorithm; where one is only used inside another, that one's. */
const TESTS: ReadonlyMap<number, (next: Entropy) => boolean> = new Map([
  [TPM_ALG.SHA1, hashOf(TPM_ALG.SHA1, DIGESTS.sha1)],
  [TPM_ALG.SHA256, hashOf(TPM_ALG.SHA256, DIGESTS.sha256)],
  [TPM_ALG.SHA384, hashOf(TPM_ALG.SHA384, DIGESTS.sha384)],
  [TPM_ALG.SHA512, hashOf(TPM_ALG.SHA512, DIGESTS.sha512)],
  [TPM_ALG.HMAC, hmacTest],
  [TPM_ALG.KEYEDHASH, hmacTest],
  [TPM_ALG.AES, aesCfb],
  [TPM_ALG.SYMCIPHER, aesCfb],
  [TPM_ALG.CFB, aesCfb],
  [TPM_ALG.CBC, aes(TPM_ALG.CBC, AES_VECTOR.iv, AES_VECTOR.cbc)],
  [TPM_ALG.CTR, aes(TPM_ALG.CTR, AES_VECTOR.counter, AES_VECTOR.ctr)],
  [TPM_ALG.OFB, aes(TPM_ALG.OFB, AES_VECTOR.iv, AES_VECTOR.ofb)],
  [TPM_ALG.ECB, aes(TPM_ALG.ECB, '', AES_VECTOR.ecb)],
  [TPM_ALG.KDF1_SP800_108, kdf(kdfa, KDF_VECTOR.kdfa)],
  [TPM_ALG.KDF1_SP800_56A, kdf(kdfe, KDF_VECTOR.kdfe)],
  [TPM_ALG.XOR, xorTest],
  [TPM_ALG.RSA, rsassaTest],
  [TPM_ALG.RSASSA, rsassaTest],
  [TPM_ALG.RSAPSS, rsapssTest],
  [TPM_ALG.RSAES, rsaesTest],
  [TPM_ALG.OAEP, oaepTest],
  [TPM_ALG.MGF1, oaepTest],
  [TPM_ALG.ECC, ecdhTest],
  [TPM_ALG.ECDH, ecdhTest],
  [TPM_ALG.ECDSA, ecdsaTest],
  [TPM_ALG.ECSCHNORR, ecSchnorrTest],
  [TPM_ALG.ECDAA, ecdaaTest],
  [TPM_ALG.ECMQV, ecmqvTest],
])

/** Every algorithm that this TPM has, ascending: all of them are tested. */
export const TESTED_ALGORITHMS: readonly number[] = ALGORITHMS.map(({ alg }) => alg).sort((a, b) => a - b)

/** Whether an algorithm's answers are the known ones. False for one without a test, and for one that cannot compute. */
export function passes(algorithm: number, next: Entropy): boolean {
  try {
    return TESTS.get(algorithm)?.(next) === true
  } catch {
    return false
  }
}
