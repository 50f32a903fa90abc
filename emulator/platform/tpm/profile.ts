// What this TPM implements of the Library: algorithms, sizes and limits. Dispatch, TPM2_GetCapability, TPM2_TestParms and
// the checks of templates all read these tables, so what is reported is what is done.
// Source: TCG PC Client Platform TPM Profile, version 1.05, clauses 3 and 4; TPM 2.0 Library, Part 2, revision 1.59.

import { TPM_ALG, TPM_ECC } from '../../../sdk/tpm2/index.ts'

export { AES_KEY_BITS, RSA_KEY_BITS } from './keys/index.ts'

/** Hashes, and banks that can be allocated, in the order in which they are reported. */
export const HASHES: readonly number[] = [TPM_ALG.SHA1, TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512]

/** Modes of AES. */
export const SYMMETRIC_MODES: readonly number[] = [
  TPM_ALG.CTR,
  TPM_ALG.OFB,
  TPM_ALG.CBC,
  TPM_ALG.CFB,
  TPM_ALG.ECB,
]

/** Curves. */
export const CURVES: readonly number[] = [TPM_ECC.NIST_P256, TPM_ECC.NIST_P384, TPM_ECC.NIST_P521]

/** The hash of contexts, proofs and tickets: the largest that the TPM has. */
export const CONTEXT_HASH = TPM_ALG.SHA512

/** Key size of context protection, AES-CFB, in bits. */
export const CONTEXT_KEY_BITS = 256

/** Bytes in a primary seed and in a hierarchy's proof. */
export const SEED_BYTES = 64

/** TPM_PT_FIRMWARE_VERSION_1 and _2: changes when the TPM's own behaviour does. */
export const FIRMWARE_VERSION = 0x0002_0000_0000_0000n

/** Limits that a TPM reports and keeps to. */
export interface Limits {
  /** loaded objects and sequences */
  readonly transientObjects: number
  /** sessions that are loaded */
  readonly loadedSessions: number
  /** sessions that are loaded or saved */
  readonly activeSessions: number
  /** bytes of a command and of a response; see Tpm.setBufferSize() */
  readonly bufferSize: number
}

/** A command or response, in bytes: as large as in the reference code, and down to the least that libtpms takes. */
export const MAX_BUFFER_SIZE = 4096
export const MIN_BUFFER_SIZE = 2808

/**
 * What a new TPM offers: enough that clients need no resource manager. Clients that flush nothing, as tpm2-tools do, have
 * some hundred objects loaded at the end of a day's work.
 */
export const DEFAULT_LIMITS: Limits = {
  transientObjects: 512,
  loadedSessions: 64,
  activeSessions: 256,
  bufferSize: MAX_BUFFER_SIZE,
}
/** What hardware of the PC Client profile offers at least. */
export const HARDWARE_LIMITS: Limits = {
  transientObjects: 3,
  loadedSessions: 3,
  activeSessions: 64,
  bufferSize: MAX_BUFFER_SIZE,
}

/** Objects at persistent handles. */
export const MAX_PERSISTENT_OBJECTS = 64
/** Bytes of all NV indices together, with their public areas. */
export const MAX_NV_BYTES = 128 * 1024
/** Data of one NV index, in bytes. */
export const MAX_NV_INDEX_SIZE = 2048
/** One TPM2_NV_Read or TPM2_NV_Write, in bytes. */
export const MAX_NV_BUFFER_SIZE = 1024
/** One TPM2B_MAX_BUFFER, in bytes. */
export const MAX_DIGEST_BUFFER = 1024
/** A saved session may be this many saved contexts old. */
export const CONTEXT_GAP_MAX = 0xffff
/** Commits (TPM2_Commit, TPM2_EC_Ephemeral) that can be open at a time: TPM_PT_SPLIT_MAX. */
export const MAX_COMMITS = 128
/** Sessions of one command (Part 2, 6.12). */
export const MAX_SESSION_NUM = 3
