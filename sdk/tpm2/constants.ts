// Numbers of the TPM 2.0 Library that structures carry: algorithms, curves, tags, handles, response codes.
// Names and values are TCG's, so that a reader can search the specification for them.
// Source: TPM 2.0 Library, Part 2: Structures, revision 1.59, the clause cited at each table.

/** TPM_ALG_ID (6.3; values from the TCG Algorithm Registry). */
export const TPM_ALG = {
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
} as const

/** TPM_GENERATED_VALUE (6.2): the magic number that opens every structure a TPM made itself. */
export const TPM_GENERATED_VALUE = 0xff544347

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
} as const

/** TPM_SU (6.10): arguments of TPM2_Startup and TPM2_Shutdown. */
export const TPM_SU = { CLEAR: 0x0000, STATE: 0x0001 } as const

/** TPM_RH (7.4): permanent handles. */
export const TPM_RH = {
  OWNER: 0x40000001,
  NULL: 0x40000007,
  LOCKOUT: 0x4000000a,
  ENDORSEMENT: 0x4000000b,
  PLATFORM: 0x4000000c,
} as const

const RC_VER1 = 0x100
const RC_FMT1 = 0x080

/** TPM_RC (6.6.3): response codes. Format-one codes are given without a parameter, handle or session number. */
export const TPM_RC = {
  SUCCESS: 0x000,
  INITIALIZE: RC_VER1 + 0x000,
  FAILURE: RC_VER1 + 0x001,
  EXCLUSIVE: RC_VER1 + 0x021,
  AUTH_TYPE: RC_VER1 + 0x024,
  AUTH_MISSING: RC_VER1 + 0x025,
  COMMAND_SIZE: RC_VER1 + 0x042,
  COMMAND_CODE: RC_VER1 + 0x043,
  SENSITIVE: RC_VER1 + 0x055,
  ASYMMETRIC: RC_FMT1 + 0x001,
  ATTRIBUTES: RC_FMT1 + 0x002,
  HASH: RC_FMT1 + 0x003,
  VALUE: RC_FMT1 + 0x004,
  HIERARCHY: RC_FMT1 + 0x005,
  KEY_SIZE: RC_FMT1 + 0x007,
  MODE: RC_FMT1 + 0x009,
  TYPE: RC_FMT1 + 0x00a,
  HANDLE: RC_FMT1 + 0x00b,
  KDF: RC_FMT1 + 0x00c,
  SCHEME: RC_FMT1 + 0x012,
  SIZE: RC_FMT1 + 0x015,
  SYMMETRIC: RC_FMT1 + 0x016,
  SELECTOR: RC_FMT1 + 0x018,
  INSUFFICIENT: RC_FMT1 + 0x01a,
  KEY: RC_FMT1 + 0x01c,
  INTEGRITY: RC_FMT1 + 0x01f,
  BINDING: RC_FMT1 + 0x025,
  CURVE: RC_FMT1 + 0x026,
  ECC_POINT: RC_FMT1 + 0x027,
  LOCALITY: 0x907,
} as const

/** TPMA_OBJECT (8.3): bits of an object's attributes. */
export const TPMA_OBJECT = {
  fixedTPM: 1 << 1,
  stClear: 1 << 2,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  userWithAuth: 1 << 6,
  adminWithPolicy: 1 << 7,
  noDA: 1 << 10,
  encryptedDuplication: 1 << 11,
  restricted: 1 << 16,
  decrypt: 1 << 17,
  sign: 1 << 18,
  x509sign: 1 << 19,
} as const
