// TPMA_*: attributes as bits of an integer. Bit 31 is written 2 ** 31, since 1 << 31 is negative.
// Source: TPM 2.0 Library, Part 2, clauses 8 and 13.4, revision 1.59.

/** TPMA_ALGORITHM (8.2): what an algorithm is for. */
export const TPMA_ALGORITHM = {
  asymmetric: 1 << 0,
  symmetric: 1 << 1,
  hash: 1 << 2,
  object: 1 << 3,
  signing: 1 << 8,
  encrypting: 1 << 9,
  method: 1 << 10,
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

/** TPMA_SESSION (8.4): how a session is used in one command. */
export const TPMA_SESSION = {
  continueSession: 1 << 0,
  auditExclusive: 1 << 1,
  auditReset: 1 << 2,
  decrypt: 1 << 5,
  encrypt: 1 << 6,
  audit: 1 << 7,
} as const

/** TPMA_LOCALITY (8.5): localities 0 to 4 by bit; a value of 32 or more names one extended locality instead. */
export const TPMA_LOCALITY = {
  TPM_LOC_ZERO: 1 << 0,
  TPM_LOC_ONE: 1 << 1,
  TPM_LOC_TWO: 1 << 2,
  TPM_LOC_THREE: 1 << 3,
  TPM_LOC_FOUR: 1 << 4,
  Extended: 0xe0,
} as const

/** TPMA_PERMANENT (8.6): TPM_PT_PERMANENT. */
export const TPMA_PERMANENT = {
  ownerAuthSet: 1 << 0,
  endorsementAuthSet: 1 << 1,
  lockoutAuthSet: 1 << 2,
  disableClear: 1 << 8,
  inLockout: 1 << 9,
  tpmGeneratedEPS: 1 << 10,
} as const

/** TPMA_STARTUP_CLEAR (8.7): TPM_PT_STARTUP_CLEAR. */
export const TPMA_STARTUP_CLEAR = {
  phEnable: 1 << 0,
  shEnable: 1 << 1,
  ehEnable: 1 << 2,
  phEnableNV: 1 << 3,
  orderly: 2 ** 31,
} as const

/** TPMA_MEMORY (8.8): TPM_PT_MEMORY. */
export const TPMA_MEMORY = {
  sharedRAM: 1 << 0,
  sharedNV: 1 << 1,
  objectCopiedToRam: 1 << 2,
} as const

/** TPMA_NV (13.4): bits of an NV index's attributes; its type (TPM_NT) is the four bits from TPM_NT_SHIFT. */
export const TPMA_NV = {
  PPWRITE: 1 << 0,
  OWNERWRITE: 1 << 1,
  AUTHWRITE: 1 << 2,
  POLICYWRITE: 1 << 3,
  TPM_NT_SHIFT: 4,
  TPM_NT_MASK: 0xf0,
  POLICY_DELETE: 1 << 10,
  WRITELOCKED: 1 << 11,
  WRITEALL: 1 << 12,
  WRITEDEFINE: 1 << 13,
  WRITE_STCLEAR: 1 << 14,
  GLOBALLOCK: 1 << 15,
  PPREAD: 1 << 16,
  OWNERREAD: 1 << 17,
  AUTHREAD: 1 << 18,
  POLICYREAD: 1 << 19,
  NO_DA: 1 << 25,
  ORDERLY: 1 << 26,
  CLEAR_STCLEAR: 1 << 27,
  READLOCKED: 1 << 28,
  WRITTEN: 1 << 29,
  PLATFORMCREATE: 1 << 30,
  READ_STCLEAR: 2 ** 31,
} as const
