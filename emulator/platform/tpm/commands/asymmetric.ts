// Asymmetric primitives: RSA encryption and key exchanges on elliptic curves.
// Source: TPM 2.0 Library, Part 3, clause 14, revision 1.59.

import {
  type EccPublic,
  type RsaPublic,
  TPM2_ECC_Parameters,
  TPM2_ECDH_KeyGen,
  TPM2_ECDH_ZGen,
  TPM2_RSA_Decrypt,
  TPM2_RSA_Encrypt,
  TPM2_ZGen_2Phase,
  TPM_ALG,
  TPM_ECC,
  TPM_RC,
  type TPMT_PUBLIC,
  type TPMT_RSA_DECRYPT,
  type TPMT_RSA_SCHEME,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { endCommit, openCommit } from '../entities/commits.ts'
import { checkCurve, checkOnCurve, NO_POINT } from '../entities/ecc-points.ts'
import { keyAt } from '../entities/object-store.ts'
import { type TpmObject } from '../entities/object.ts'
import { TpmError, withKeyErrors } from '../errors.ts'
import {
  curveOf,
  eccMultiply,
  generateEccKey,
  isOnCurve,
  KeyError,
  oaepDecrypt,
  oaepEncrypt,
  rsaesDecrypt,
  rsaesEncrypt,
  rsaPrivate,
  rsaPublic,
  twoPhaseEcdh,
  twoPhaseMqv,
} from '../keys/index.ts'
import { toBytes } from '../keys/integers.ts'
import { type TpmState } from '../state/tpm-state.ts'

interface KeyOf<P extends TPMT_PUBLIC> {
  readonly key: TpmObject
  readonly area: P
}

function rsaKeyAt(tpm: TpmState, handle: number): KeyOf<RsaPublic> {
  const key = keyAt(tpm, handle, 'keyHandle', TPM_RC.KEY)
  const area = key.publicArea
  if (area.type === TPM_ALG.RSA) return { key, area }
  throw new TpmError(TPM_RC.KEY, 'expected an RSA key, found another', 'keyHandle')
}

function eccKeyAt(tpm: TpmState, handle: number, field: string): KeyOf<EccPublic> {
  const key = keyAt(tpm, handle, field, TPM_RC.KEY)
  const area = key.publicArea
  if (area.type === TPM_ALG.ECC) return { key, area }
  throw new TpmError(TPM_RC.KEY, 'expected an elliptic curve key, found another', field)
}

/** Throws TpmError ATTRIBUTES unless the key decrypts, and what the caller wants and not what the TPM does. */
function checkUnrestricted(key: TpmObject, field: string): void {
  if (key.has('decrypt') && !key.has('restricted')) return
  throw new TpmError(TPM_RC.ATTRIBUTES, 'expected an unrestricted decryption key, found another', field)
}

/** A label is text with its terminating zero, or not there. */
function checkLabel(label: Uint8Array): void {
  if (label.length === 0 || label.at(-1) === 0) return
  throw new TpmError(TPM_RC.VALUE, 'expected a label that ends in a zero byte, found another', 'label')
}

/** The key's own padding, or the caller's where the key leaves it open. Throws TpmError SCHEME. */
function choosePadding(own: TPMT_RSA_SCHEME, inScheme: TPMT_RSA_DECRYPT): TPMT_RSA_DECRYPT {
  const wrong = new TpmError(TPM_RC.SCHEME, "expected the key's padding or none, found another", 'inScheme')
  if (own.scheme === TPM_ALG.NULL) return inScheme
  if (own.scheme !== TPM_ALG.RSAES && own.scheme !== TPM_ALG.OAEP) throw wrong
  if (inScheme.scheme === TPM_ALG.NULL) return own
  const hashOf = (scheme: TPMT_RSA_DECRYPT): number => ('hashAlg' in scheme ? scheme.hashAlg : TPM_ALG.NULL)
  if (inScheme.scheme !== own.scheme || hashOf(inScheme) !== hashOf(own)) throw wrong
  return own
}

/** Does RSA work: data that does not fit the key is TPM_RC_VALUE or, as `sizes` says, TPM_RC_SIZE, at no parameter. */
function rsaWork(sizes: number, work: () => Uint8Array): Uint8Array {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof KeyError)) throw error
    const rc = error.code === 'SIZE' ? sizes : TPM_RC.VALUE
    throw new TpmError(rc, error.message, undefined, { cause: error })
  }
}

const rsaEncrypt = implement(TPM2_RSA_Encrypt, (tpm, { keyHandle, message, inScheme, label }) => {
  const { key, area } = rsaKeyAt(tpm, keyHandle)
  if (!key.has('decrypt')) {
    throw new TpmError(TPM_RC.ATTRIBUTES, 'expected a decryption key, found another', 'keyHandle')
  }
  checkLabel(label)
  const scheme = choosePadding(area.parameters.scheme, inScheme)
  const rsa = key.publicKey('keyHandle')
  const outData = rsaWork(TPM_RC.VALUE, () => {
    if (scheme.scheme === TPM_ALG.OAEP)
      return oaepEncrypt(rsa, scheme.hashAlg, label, message, tpm.random.next)
    if (scheme.scheme === TPM_ALG.RSAES) return rsaesEncrypt(rsa, message, tpm.random.next)
    return rsaPublic(rsa, message)
  })
  return { outData }
})

const rsaDecrypt = implement(TPM2_RSA_Decrypt, (tpm, { keyHandle, cipherText, inScheme, label }) => {
  const { key, area } = rsaKeyAt(tpm, keyHandle)
  checkUnrestricted(key, 'keyHandle')
  checkLabel(label)
  const scheme = choosePadding(area.parameters.scheme, inScheme)
  const rsa = key.privateKey('keyHandle')
  const message = rsaWork(TPM_RC.SIZE, () => {
    if (cipherText.length !== area.unique.length) {
      throw new KeyError(
        'SIZE',
        `expected ${String(area.unique.length)} bytes, found ${String(cipherText.length)}`,
      )
    }
    if (scheme.scheme === TPM_ALG.OAEP) return oaepDecrypt(rsa, scheme.hashAlg, label, cipherText)
    if (scheme.scheme === TPM_ALG.RSAES) return rsaesDecrypt(rsa, cipherText)
    return rsaPrivate(rsa, cipherText)
  })
  return { message }
})

const ecdhKeyGen = implement(TPM2_ECDH_KeyGen, (tpm, { keyHandle }) => {
  const { area } = eccKeyAt(tpm, keyHandle, 'keyHandle')
  const { curveID } = area.parameters
  if (!isOnCurve(curveID, area.unique)) {
    throw new TpmError(TPM_RC.KEY, 'expected a key whose point is on its curve, found another', 'keyHandle')
  }
  const { scalar, point } = generateEccKey(curveID, tpm.random.next)
  const zPoint = eccMultiply(curveID, scalar, area.unique)
  scalar.fill(0)
  return { zPoint, pubPoint: point }
})

const ecdhZGen = implement(TPM2_ECDH_ZGen, (tpm, { keyHandle, inPoint }) => {
  const { key, area } = eccKeyAt(tpm, keyHandle, 'keyHandle')
  const { curveID, scheme } = area.parameters
  checkUnrestricted(key, 'keyHandle')
  if (scheme.scheme !== TPM_ALG.ECDH && scheme.scheme !== TPM_ALG.NULL) {
    throw new TpmError(TPM_RC.SCHEME, 'expected a key of scheme ECDH or none, found another', 'keyHandle')
  }
  const { sensitive } = key.sensitive('keyHandle')
  return { outPoint: withKeyErrors('inPoint', () => eccMultiply(curveID, sensitive, inPoint)) }
})

/** Hashes of the KDF with each curve (TCG Algorithm Registry, 5). */
const KDF_HASHES: ReadonlyMap<number, number> = new Map([
  [TPM_ECC.NIST_P256, TPM_ALG.SHA256],
  [TPM_ECC.NIST_P384, TPM_ALG.SHA384],
  [TPM_ECC.NIST_P521, TPM_ALG.SHA512],
])

const eccParameters = implement(TPM2_ECC_Parameters, (_tpm, { curveID }) => {
  checkCurve(curveID, 'curveID')
  const { size, bits, p, a, b, gx, gy, n, h } = curveOf(curveID)
  const hashAlg = KDF_HASHES.get(curveID) ?? TPM_ALG.SHA256
  return {
    parameters: {
      curveID,
      keySize: bits,
      kdf: { scheme: TPM_ALG.KDF1_SP800_56A, hashAlg },
      sign: { scheme: TPM_ALG.NULL },
      p: toBytes(p, size),
      a: toBytes(a, size),
      b: toBytes(b, size),
      gX: toBytes(gx, size),
      gY: toBytes(gy, size),
      n: toBytes(n, size),
      h: toBytes(h, 1),
    },
  }
})

const zGen2Phase = implement(TPM2_ZGen_2Phase, (tpm, { keyA, inQsB, inQeB, inScheme, counter }) => {
  const wrongScheme = new TpmError(TPM_RC.SCHEME, 'expected ECDH or ECMQV as the key has it', 'inScheme')
  if (inScheme !== TPM_ALG.ECDH && inScheme !== TPM_ALG.ECMQV) throw wrongScheme
  const { key, area } = eccKeyAt(tpm, keyA, 'keyA')
  const { curveID, scheme } = area.parameters
  checkUnrestricted(key, 'keyA')
  if (scheme.scheme !== TPM_ALG.NULL && scheme.scheme !== inScheme) throw wrongScheme
  checkOnCurve(curveID, inQsB, 'inQsB')
  checkOnCurve(curveID, inQeB, 'inQeB')
  const ephemeralScalar = openCommit(tpm, curveID, new Uint8Array(0), counter, 'counter')
  const side = {
    staticScalar: key.sensitive('keyA').sensitive,
    ephemeralScalar,
    otherStatic: inQsB,
    otherEphemeral: inQeB,
  }
  const points = withKeyErrors('keyA', () =>
    inScheme === TPM_ALG.ECDH
      ? twoPhaseEcdh(curveID, side)
      : { outZ1: twoPhaseMqv(curveID, side), outZ2: NO_POINT },
  )
  ephemeralScalar.fill(0)
  endCommit(tpm, counter)
  return points
})

/** Clause 14. */
export const asymmetricCommands: readonly Implementation[] = [
  rsaEncrypt,
  rsaDecrypt,
  ecdhKeyGen,
  ecdhZGen,
  eccParameters,
  zGen2Phase,
]
