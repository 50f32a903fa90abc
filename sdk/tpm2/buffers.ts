// Sized buffers: a 16-bit size, then bytes. They are the bytes alone here; the limits are those of the largest
// algorithms that this room knows, so that what any TPM of the Library sends can be read.
// Source: TPM 2.0 Library, Part 2, clauses 10.3 to 10.5, 11.1, 11.2 and 12.3, revision 1.59; limits that a TPM chooses
// (MAX_DIGEST_BUFFER, MAX_NV_BUFFER_SIZE, MAX_SYM_DATA) are those that TPMs of the PC Client profile report.

import { buffer, type Codec } from './codec.ts'
import { TPM_ALG } from './constants.ts'
import { digestSize, MAX_DIGEST_SIZE } from './hash.ts'
import { TPMI_ALG_HASH, TPMI_ALG_HASH_PLUS } from './interface-types.ts'

/** Largest RSA modulus, in bytes (RSA 4096). */
const MAX_RSA_KEY_BYTES = 512
/** Largest ECC coordinate, in bytes (BN P-638). */
const MAX_ECC_KEY_BYTES = 80
/** MAX_NV_BUFFER_SIZE, in bytes: of one TPM2_NV_Read or TPM2_NV_Write. */
const MAX_NV_BUFFER_SIZE = 1024
/** A private RSA key as some TPMs keep it: five values of half the modulus' size (11.2.4.7). */
const RSA_PRIVATE_SIZE = (MAX_RSA_KEY_BYTES / 2) * 5

/** TPM2B_DIGEST (10.4.2): its contents, without the size. */
export const TPM2B_DIGEST = buffer('TPM2B_DIGEST', MAX_DIGEST_SIZE)
/** TPM2B_DATA (10.4.3): as large as a TPMT_HA, that is an algorithm and the largest digest. */
export const TPM2B_DATA = buffer('TPM2B_DATA', 2 + MAX_DIGEST_SIZE)
/** TPM2B_NONCE (10.4.4). */
export const TPM2B_NONCE = buffer('TPM2B_NONCE', MAX_DIGEST_SIZE)
/** TPM2B_AUTH (10.4.5): an authorization value. */
export const TPM2B_AUTH = buffer('TPM2B_AUTH', MAX_DIGEST_SIZE)
/** TPM2B_OPERAND (10.4.6): what an NV index is compared with. */
export const TPM2B_OPERAND = buffer('TPM2B_OPERAND', MAX_DIGEST_SIZE)
/** TPM2B_EVENT (10.4.7). */
export const TPM2B_EVENT = buffer('TPM2B_EVENT', 1024)
/** TPM2B_MAX_BUFFER (10.4.8): data to hash, encrypt or sign. */
export const TPM2B_MAX_BUFFER = buffer('TPM2B_MAX_BUFFER', 1024)
/** TPM2B_MAX_NV_BUFFER (10.4.9). */
export const TPM2B_MAX_NV_BUFFER = buffer('TPM2B_MAX_NV_BUFFER', MAX_NV_BUFFER_SIZE)
/** TPM2B_TIMEOUT (10.4.10): when a ticket expires, as the TPM that made it writes it; empty when it does not. */
export const TPM2B_TIMEOUT = buffer('TPM2B_TIMEOUT', 8)
/** TPM2B_IV (10.4.11): at most one block of a cipher. */
export const TPM2B_IV = buffer('TPM2B_IV', 16)
/** TPM2B_NAME (10.5.3). */
export const TPM2B_NAME = buffer('TPM2B_NAME', 2 + MAX_DIGEST_SIZE)

/** TPM2B_SYM_KEY (11.1.8): a key of a block cipher. */
export const TPM2B_SYM_KEY = buffer('TPM2B_SYM_KEY', 32)
/** TPM2B_LABEL (11.1.10): what tells apart objects derived from one parent. */
export const TPM2B_LABEL = buffer('TPM2B_LABEL', 32)
/** TPM2B_SENSITIVE_DATA (11.1.14): sealed data, the key of an HMAC, or what is stirred into the random numbers. */
export const TPM2B_SENSITIVE_DATA = buffer('TPM2B_SENSITIVE_DATA', 128)

/** TPM2B_PUBLIC_KEY_RSA (11.2.4.5): an unsigned big-endian integer. */
export const TPM2B_PUBLIC_KEY_RSA = buffer('TPM2B_PUBLIC_KEY_RSA', MAX_RSA_KEY_BYTES)
/** TPM2B_PRIVATE_KEY_RSA (11.2.4.7): one prime of the modulus. */
export const TPM2B_PRIVATE_KEY_RSA = buffer('TPM2B_PRIVATE_KEY_RSA', RSA_PRIVATE_SIZE)
/** TPM2B_ECC_PARAMETER (11.2.5.1): an unsigned big-endian integer. */
export const TPM2B_ECC_PARAMETER = buffer('TPM2B_ECC_PARAMETER', MAX_ECC_KEY_BYTES)

/** TPM2B_ENCRYPTED_SECRET (11.4.33): an RSA ciphertext or the bytes of a TPMS_ECC_POINT. */
export const TPM2B_ENCRYPTED_SECRET = buffer('TPM2B_ENCRYPTED_SECRET', MAX_RSA_KEY_BYTES)
/** TPM2B_ID_OBJECT (12.4.3): a TPM2B_DIGEST and an encrypted one. */
export const TPM2B_ID_OBJECT = buffer('TPM2B_ID_OBJECT', 2 * (2 + MAX_DIGEST_SIZE))
/** TPM2B_PRIVATE (12.3.7): two digests and a sensitive area, encrypted. */
export const TPM2B_PRIVATE = buffer(
  'TPM2B_PRIVATE',
  2 * (2 + MAX_DIGEST_SIZE) + 2 + 2 + 2 * (2 + MAX_DIGEST_SIZE) + 2 + RSA_PRIVATE_SIZE,
)
/** TPM2B_TEMPLATE (12.2.6): the bytes of a TPMT_PUBLIC, or of a TPMT_TEMPLATE for a derived object. */
export const TPM2B_TEMPLATE = buffer(
  'TPM2B_TEMPLATE',
  2 + 2 + 4 + (2 + MAX_DIGEST_SIZE) + 18 + (2 + MAX_RSA_KEY_BYTES),
)
/** TPM2B_ATTEST (10.12.13): the bytes of a TPMS_ATTEST, whose largest kind certifies NV data. */
export const TPM2B_ATTEST = buffer(
  'TPM2B_ATTEST',
  4 + 2 + 3 * (4 + MAX_DIGEST_SIZE) + 17 + 8 + 2 + (2 + MAX_NV_BUFFER_SIZE),
)
/** TPM2B_CONTEXT_DATA (14.3): an integrity value and encrypted data; how large is the TPM's own affair. */
export const TPM2B_CONTEXT_DATA = buffer('TPM2B_CONTEXT_DATA', 5188)

/** TPMT_HA (10.3.2): a digest and how it was made. */
export interface TPMT_HA {
  /** TPM_ALG; in a TPMT_HA+ also NULL, with an empty digest */
  readonly hashAlg: number
  /** as many bytes as a digest of `hashAlg` has, without a size */
  readonly digest: Uint8Array
}

function taggedDigest(hashAlgs: Codec<number>): Codec<TPMT_HA> {
  const size = (hashAlg: number): number => (hashAlg === TPM_ALG.NULL ? 0 : digestSize(hashAlg))
  return {
    name: 'TPMT_HA',
    read: (reader) => {
      const hashAlg = hashAlgs.read(reader)
      return { hashAlg, digest: reader.bytes(size(hashAlg)) }
    },
    write: (writer, { hashAlg, digest }) => {
      hashAlgs.write(writer, hashAlg)
      if (digest.length !== size(hashAlg)) {
        throw new RangeError(
          `"digest" expected ${String(size(hashAlg))} bytes, got length=${String(digest.length)}`,
        )
      }
      writer.bytes(digest)
    },
  }
}

/** How TPMT_HA is read and written. TPM_RC_HASH. */
export const TPMT_HA = taggedDigest(TPMI_ALG_HASH)
/** How TPMT_HA+ is read and written. TPM_RC_HASH. */
export const TPMT_HA_PLUS = taggedDigest(TPMI_ALG_HASH_PLUS)
