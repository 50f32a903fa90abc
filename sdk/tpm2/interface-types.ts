// Interface types: values of a base type of which only some are allowed in a place, each with its own response code.
// What one device implements of them is the device's to check; here is what the Library defines and this room knows.
// Source: TPM 2.0 Library, Part 2, clauses 9 (interface types), 11.1, 11.2 and 12.2.2, revision 1.59.

import { type Codec, INT8, UINT16, UINT32, UINT8 } from './codec.ts'
import { TPM_ALG, TPM_CAP, TPM_CLOCK_ADJUST, TPM_ECC, TPM_EO, TPM_SE, TPM_SU } from './constants.ts'
import { TPM_RC } from './response-codes.ts'

/** A value of `base` that is one of `allowed`; another is refused with `rc`. */
export function oneOf(
  name: string,
  base: Codec<number>,
  rc: number,
  allowed: readonly number[],
): Codec<number> {
  const known = new Set(allowed)
  return {
    name,
    read: (reader) => {
      const value = base.read(reader)
      if (!known.has(value)) reader.fail(`expected a ${name}, found 0x${value.toString(16)}`, rc)
      return value
    },
    write: (writer, value) => {
      if (!known.has(value)) throw new RangeError(`expected a ${name}, got 0x${value.toString(16)}`)
      base.write(writer, value)
    },
  }
}

function algorithm(name: string, rc: number, allowed: readonly number[]): Codec<number> {
  return oneOf(name, UINT16, rc, allowed)
}

const { NULL } = TPM_ALG
const HASHES = [TPM_ALG.SHA1, TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512]
const BLOCK_CIPHERS = [TPM_ALG.TDES, TPM_ALG.AES, TPM_ALG.SM4, TPM_ALG.CAMELLIA]
const CIPHER_MODES = [TPM_ALG.CTR, TPM_ALG.OFB, TPM_ALG.CBC, TPM_ALG.CFB, TPM_ALG.ECB]
const KEY_EXCHANGES = [TPM_ALG.ECDH, TPM_ALG.ECMQV, TPM_ALG.SM2]

/** TPMI_ALG_HASH (9.27): hashes that this room computes. TPM_RC_HASH. */
export const TPMI_ALG_HASH = algorithm('TPMI_ALG_HASH', TPM_RC.HASH, HASHES)
/** TPMI_ALG_HASH+: a hash or TPM_ALG_NULL. */
export const TPMI_ALG_HASH_PLUS = algorithm('TPMI_ALG_HASH', TPM_RC.HASH, [...HASHES, NULL])

/** TPMI_ALG_SYM_OBJECT (9.30): block ciphers. TPM_RC_SYMMETRIC. */
export const TPMI_ALG_SYM_OBJECT = algorithm('TPMI_ALG_SYM_OBJECT', TPM_RC.SYMMETRIC, BLOCK_CIPHERS)

/** TPMI_ALG_SYM_MODE (9.31), with NULL: modes of a block cipher, CMAC included. TPM_RC_MODE. */
export const TPMI_ALG_SYM_MODE_PLUS = algorithm('TPMI_ALG_SYM_MODE', TPM_RC.MODE, [
  ...CIPHER_MODES,
  TPM_ALG.CMAC,
  NULL,
])
/** TPMI_ALG_CIPHER_MODE (9.36), with NULL: modes that encrypt. TPM_RC_MODE. */
export const TPMI_ALG_CIPHER_MODE_PLUS = algorithm('TPMI_ALG_CIPHER_MODE', TPM_RC.MODE, [
  ...CIPHER_MODES,
  NULL,
])

/** TPMI_ALG_KDF (9.32), with NULL. TPM_RC_KDF. */
export const TPMI_ALG_KDF_PLUS = algorithm('TPMI_ALG_KDF', TPM_RC.KDF, [
  TPM_ALG.MGF1,
  TPM_ALG.KDF1_SP800_56A,
  TPM_ALG.KDF2,
  TPM_ALG.KDF1_SP800_108,
  NULL,
])

/** TPMI_ECC_KEY_EXCHANGE (9.34). TPM_RC_SCHEME. */
export const TPMI_ECC_KEY_EXCHANGE = algorithm('TPMI_ECC_KEY_EXCHANGE', TPM_RC.SCHEME, KEY_EXCHANGES)

/** TPMI_ALG_PUBLIC (12.2.2): types of an object. TPM_RC_TYPE. */
export const TPMI_ALG_PUBLIC = algorithm('TPMI_ALG_PUBLIC', TPM_RC.TYPE, [
  TPM_ALG.RSA,
  TPM_ALG.KEYEDHASH,
  TPM_ALG.ECC,
  TPM_ALG.SYMCIPHER,
])

/** TPMI_ECC_CURVE (11.2.5.5): curves of the TCG Algorithm Registry. TPM_RC_CURVE. */
export const TPMI_ECC_CURVE = algorithm('TPMI_ECC_CURVE', TPM_RC.CURVE, Object.values(TPM_ECC))

/** TPMI_RSA_KEY_BITS (11.2.4.6): sizes of a modulus. TPM_RC_VALUE. */
export const TPMI_RSA_KEY_BITS = oneOf('TPMI_RSA_KEY_BITS', UINT16, TPM_RC.VALUE, [1024, 2048, 3072, 4096])

const SYM_KEY_BITS: ReadonlyMap<number, readonly number[]> = new Map([
  [TPM_ALG.TDES, [128, 192]],
  [TPM_ALG.AES, [128, 192, 256]],
  [TPM_ALG.SM4, [128]],
  [TPM_ALG.CAMELLIA, [128, 192, 256]],
])

/** TPMI_AES_KEY_BITS and its siblings (11.1.3): key sizes of one block cipher. TPM_RC_VALUE. */
export function symKeyBits(cipher: number): Codec<number> {
  return oneOf('TPMU_SYM_KEY_BITS', UINT16, TPM_RC.VALUE, SYM_KEY_BITS.get(cipher) ?? [])
}

/** TPM_SU (6.10) as a parameter. TPM_RC_VALUE. */
export const STARTUP_TYPE = oneOf('TPM_SU', UINT16, TPM_RC.VALUE, Object.values(TPM_SU))

/** TPM_SE (6.11) as a parameter. TPM_RC_VALUE. */
export const SESSION_TYPE = oneOf('TPM_SE', UINT8, TPM_RC.VALUE, Object.values(TPM_SE))

/** TPM_EO (6.8) as a parameter. TPM_RC_VALUE. */
export const COMPARISON = oneOf('TPM_EO', UINT16, TPM_RC.VALUE, Object.values(TPM_EO))

/** TPM_CLOCK_ADJUST (6.7) as a parameter. TPM_RC_VALUE. */
export const CLOCK_ADJUSTMENT = oneOf('TPM_CLOCK_ADJUST', INT8, TPM_RC.VALUE, Object.values(TPM_CLOCK_ADJUST))

/** TPM_CAP (6.12) as a parameter. TPM_RC_VALUE. */
export const CAPABILITY = oneOf('TPM_CAP', UINT32, TPM_RC.VALUE, Object.values(TPM_CAP))
