// Numbers of the TPM 2.0 Library that structures carry: algorithms, curves, tags, handles. Command codes, properties,
// attributes and response codes have files of their own; all but the last are handed on here.
// Names and values are TCG's, so that a reader can search the specification for them.
// Source: TPM 2.0 Library, Part 2: Structures, revision 1.59, the clause cited at each table.

export * from './attributes.ts'
export * from './command-codes.ts'
export * from './properties.ts'

/** TPM_ALG_ID (6.3; values from the TCG Algorithm Registry). */
export const TPM_ALG = {
  ERROR: 0x0000,
  RSA: 0x0001,
  TDES: 0x0003,
  SHA1: 0x0004,
  HMAC: 0x0005,
  AES: 0x0006,
  MGF1: 0x0007,
  KEYEDHASH: 0x0008,
  XOR: 0x000a,
  SHA256: 0x000b,
  SHA384: 0x000c,
  SHA512: 0x000d,
  NULL: 0x0010,
  SM3_256: 0x0012,
  SM4: 0x0013,
  RSASSA: 0x0014,
  RSAES: 0x0015,
  RSAPSS: 0x0016,
  OAEP: 0x0017,
  ECDSA: 0x0018,
  ECDH: 0x0019,
  ECDAA: 0x001a,
  SM2: 0x001b,
  ECSCHNORR: 0x001c,
  ECMQV: 0x001d,
  KDF1_SP800_56A: 0x0020,
  KDF2: 0x0021,
  KDF1_SP800_108: 0x0022,
  ECC: 0x0023,
  SYMCIPHER: 0x0025,
  CAMELLIA: 0x0026,
  SHA3_256: 0x0027,
  SHA3_384: 0x0028,
  SHA3_512: 0x0029,
  CMAC: 0x003f,
  CTR: 0x0040,
  OFB: 0x0041,
  CBC: 0x0042,
  CFB: 0x0043,
  ECB: 0x0044,
} as const

/** TPM_ECC_CURVE (6.4). */
export const TPM_ECC = {
  NIST_P192: 0x0001,
  NIST_P224: 0x0002,
  NIST_P256: 0x0003,
  NIST_P384: 0x0004,
  NIST_P521: 0x0005,
  BN_P256: 0x0010,
  BN_P638: 0x0011,
  SM2_P256: 0x0020,
} as const

/** TPM_GENERATED_VALUE (6.2): the magic number that opens every structure a TPM made itself. */
export const TPM_GENERATED_VALUE = 0xff544347

/** TPM_CLOCK_ADJUST (6.7): a signed octet. */
export const TPM_CLOCK_ADJUST = {
  COARSE_SLOWER: -3,
  MEDIUM_SLOWER: -2,
  FINE_SLOWER: -1,
  NO_CHANGE: 0,
  FINE_FASTER: 1,
  MEDIUM_FASTER: 2,
  COARSE_FASTER: 3,
} as const

/** TPM_EO (6.8): comparisons of TPM2_PolicyNV and TPM2_PolicyCounterTimer. */
export const TPM_EO = {
  EQ: 0x0000,
  NEQ: 0x0001,
  SIGNED_GT: 0x0002,
  UNSIGNED_GT: 0x0003,
  SIGNED_LT: 0x0004,
  UNSIGNED_LT: 0x0005,
  SIGNED_GE: 0x0006,
  UNSIGNED_GE: 0x0007,
  SIGNED_LE: 0x0008,
  UNSIGNED_LE: 0x0009,
  BITSET: 0x000a,
  BITCLEAR: 0x000b,
} as const

/** TPM_ST (6.9): structure tags. */
export const TPM_ST = {
  RSP_COMMAND: 0x00c4,
  NULL: 0x8000,
  NO_SESSIONS: 0x8001,
  SESSIONS: 0x8002,
  ATTEST_NV: 0x8014,
  ATTEST_COMMAND_AUDIT: 0x8015,
  ATTEST_SESSION_AUDIT: 0x8016,
  ATTEST_CERTIFY: 0x8017,
  ATTEST_QUOTE: 0x8018,
  ATTEST_TIME: 0x8019,
  ATTEST_CREATION: 0x801a,
  ATTEST_NV_DIGEST: 0x801c,
  CREATION: 0x8021,
  VERIFIED: 0x8022,
  AUTH_SECRET: 0x8023,
  HASHCHECK: 0x8024,
  AUTH_SIGNED: 0x8025,
  FU_MANIFEST: 0x8029,
} as const

/** TPM_SU (6.10): arguments of TPM2_Startup and TPM2_Shutdown. */
export const TPM_SU = { CLEAR: 0x0000, STATE: 0x0001 } as const

/** TPM_SE (6.11): kinds of session. */
export const TPM_SE = { HMAC: 0x00, POLICY: 0x01, TRIAL: 0x03 } as const

/** TPM_HT (7.2): what a handle is of, by its highest octet. */
export const TPM_HT = {
  PCR: 0x00,
  NV_INDEX: 0x01,
  HMAC_SESSION: 0x02,
  LOADED_SESSION: 0x02,
  POLICY_SESSION: 0x03,
  SAVED_SESSION: 0x03,
  PERMANENT: 0x40,
  TRANSIENT: 0x80,
  PERSISTENT: 0x81,
  AC: 0x90,
} as const

/** TPM_RH (7.4): permanent handles. Those of TPM 1.2 (SRK, REVOKE, TRANSPORT, OPERATOR, ADMIN, EK) are not used. */
export const TPM_RH = {
  SRK: 0x40000000,
  OWNER: 0x40000001,
  REVOKE: 0x40000002,
  TRANSPORT: 0x40000003,
  OPERATOR: 0x40000004,
  ADMIN: 0x40000005,
  EK: 0x40000006,
  NULL: 0x40000007,
  UNASSIGNED: 0x40000008,
  LOCKOUT: 0x4000000a,
  ENDORSEMENT: 0x4000000b,
  PLATFORM: 0x4000000c,
  PLATFORM_NV: 0x4000000d,
  AUTH_00: 0x40000010,
  AUTH_FF: 0x4000010f,
  ACT_0: 0x40000110,
  ACT_F: 0x4000011f,
} as const

/** TPM_RS_PW (7.4): stands for a session where a password authorizes. */
export const TPM_RS_PW = 0x40000009

/** TPM_HC (7.5) and 7.3: the first and last handles of each kind. How many of them a TPM has is its own affair. */
export const TPM_HC = {
  HR_HANDLE_MASK: 0x00ffffff,
  HR_SHIFT: 24,
  PCR_FIRST: 0x00000000,
  PCR_LAST: 0x00000017,
  NV_INDEX_FIRST: 0x01000000,
  NV_INDEX_LAST: 0x01ffffff,
  HMAC_SESSION_FIRST: 0x02000000,
  HMAC_SESSION_LAST: 0x02fffffe,
  POLICY_SESSION_FIRST: 0x03000000,
  POLICY_SESSION_LAST: 0x03fffffe,
  PERMANENT_FIRST: 0x40000000,
  PERMANENT_LAST: 0x4000011f,
  TRANSIENT_FIRST: 0x80000000,
  TRANSIENT_LAST: 0x80fffffe,
  PERSISTENT_FIRST: 0x81000000,
  PERSISTENT_LAST: 0x81ffffff,
  PLATFORM_PERSISTENT: 0x81800000,
} as const

/** TPM_NT (13.2): kinds of NV index. */
export const TPM_NT = {
  ORDINARY: 0x0,
  COUNTER: 0x1,
  BITS: 0x2,
  EXTEND: 0x4,
  PIN_FAIL: 0x8,
  PIN_PASS: 0x9,
} as const
