// TPM_RC: how a TPM says that a command failed, and why; with the numbers that point at a handle, a parameter or a
// session. Source: TPM 2.0 Library, Part 2, clause 6.6, revision 1.59.

const RC_VER1 = 0x100
const RC_FMT1 = 0x080
const RC_WARN = 0x900

/** Format-zero codes (6.6.3, RC_VER1): errors that no handle, parameter or session number goes with. */
const VER1 = {
  INITIALIZE: RC_VER1 + 0x00,
  FAILURE: RC_VER1 + 0x01,
  SEQUENCE: RC_VER1 + 0x03,
  PRIVATE: RC_VER1 + 0x0b,
  HMAC: RC_VER1 + 0x19,
  DISABLED: RC_VER1 + 0x20,
  EXCLUSIVE: RC_VER1 + 0x21,
  AUTH_TYPE: RC_VER1 + 0x24,
  AUTH_MISSING: RC_VER1 + 0x25,
  POLICY: RC_VER1 + 0x26,
  PCR: RC_VER1 + 0x27,
  PCR_CHANGED: RC_VER1 + 0x28,
  UPGRADE: RC_VER1 + 0x2d,
  TOO_MANY_CONTEXTS: RC_VER1 + 0x2e,
  AUTH_UNAVAILABLE: RC_VER1 + 0x2f,
  REBOOT: RC_VER1 + 0x30,
  UNBALANCED: RC_VER1 + 0x31,
  COMMAND_SIZE: RC_VER1 + 0x42,
  COMMAND_CODE: RC_VER1 + 0x43,
  AUTHSIZE: RC_VER1 + 0x44,
  AUTH_CONTEXT: RC_VER1 + 0x45,
  NV_RANGE: RC_VER1 + 0x46,
  NV_SIZE: RC_VER1 + 0x47,
  NV_LOCKED: RC_VER1 + 0x48,
  NV_AUTHORIZATION: RC_VER1 + 0x49,
  NV_UNINITIALIZED: RC_VER1 + 0x4a,
  NV_SPACE: RC_VER1 + 0x4b,
  NV_DEFINED: RC_VER1 + 0x4c,
  BAD_CONTEXT: RC_VER1 + 0x50,
  CPHASH: RC_VER1 + 0x51,
  PARENT: RC_VER1 + 0x52,
  NEEDS_TEST: RC_VER1 + 0x53,
  NO_RESULT: RC_VER1 + 0x54,
  SENSITIVE: RC_VER1 + 0x55,
} as const

/** Format-one codes (6.6.3, RC_FMT1), given here without the number of the handle, parameter or session. */
const FMT1 = {
  ASYMMETRIC: RC_FMT1 + 0x01,
  ATTRIBUTES: RC_FMT1 + 0x02,
  HASH: RC_FMT1 + 0x03,
  VALUE: RC_FMT1 + 0x04,
  HIERARCHY: RC_FMT1 + 0x05,
  KEY_SIZE: RC_FMT1 + 0x07,
  MGF: RC_FMT1 + 0x08,
  MODE: RC_FMT1 + 0x09,
  TYPE: RC_FMT1 + 0x0a,
  HANDLE: RC_FMT1 + 0x0b,
  KDF: RC_FMT1 + 0x0c,
  RANGE: RC_FMT1 + 0x0d,
  AUTH_FAIL: RC_FMT1 + 0x0e,
  NONCE: RC_FMT1 + 0x0f,
  PP: RC_FMT1 + 0x10,
  SCHEME: RC_FMT1 + 0x12,
  SIZE: RC_FMT1 + 0x15,
  SYMMETRIC: RC_FMT1 + 0x16,
  TAG: RC_FMT1 + 0x17,
  SELECTOR: RC_FMT1 + 0x18,
  INSUFFICIENT: RC_FMT1 + 0x1a,
  SIGNATURE: RC_FMT1 + 0x1b,
  KEY: RC_FMT1 + 0x1c,
  POLICY_FAIL: RC_FMT1 + 0x1d,
  INTEGRITY: RC_FMT1 + 0x1f,
  TICKET: RC_FMT1 + 0x20,
  RESERVED_BITS: RC_FMT1 + 0x21,
  BAD_AUTH: RC_FMT1 + 0x22,
  EXPIRED: RC_FMT1 + 0x23,
  POLICY_CC: RC_FMT1 + 0x24,
  BINDING: RC_FMT1 + 0x25,
  CURVE: RC_FMT1 + 0x26,
  ECC_POINT: RC_FMT1 + 0x27,
} as const

/** Warnings (6.6.3, RC_WARN): the command may succeed when the TPM's state is another. */
const WARN = {
  CONTEXT_GAP: RC_WARN + 0x01,
  OBJECT_MEMORY: RC_WARN + 0x02,
  SESSION_MEMORY: RC_WARN + 0x03,
  MEMORY: RC_WARN + 0x04,
  SESSION_HANDLES: RC_WARN + 0x05,
  OBJECT_HANDLES: RC_WARN + 0x06,
  LOCALITY: RC_WARN + 0x07,
  YIELDED: RC_WARN + 0x08,
  CANCELED: RC_WARN + 0x09,
  TESTING: RC_WARN + 0x0a,
  REFERENCE_H0: RC_WARN + 0x10,
  REFERENCE_S0: RC_WARN + 0x18,
  NV_RATE: RC_WARN + 0x20,
  LOCKOUT: RC_WARN + 0x21,
  RETRY: RC_WARN + 0x22,
  NV_UNAVAILABLE: RC_WARN + 0x23,
} as const

/** TPM_RC. BAD_TAG is the TPM 1.2 code for a structure tag that is none of TPM 2.0. */
export const TPM_RC = { SUCCESS: 0x000, BAD_TAG: 0x01e, ...VER1, ...FMT1, ...WARN } as const

/** A value of TPM_RC. */
export type TPM_RC = (typeof TPM_RC)[keyof typeof TPM_RC]

const NAMES = new Map<number, string>(Object.entries(TPM_RC).map(([name, rc]) => [rc, `TPM_RC_${name}`]))
const RC_P = 0x040
const SESSION = 0x800

/** Whether the code can carry the number of a handle, a parameter or a session. */
export function isFormatOne(rc: number): boolean {
  return (rc & RC_FMT1) !== 0
}

/** A format-one code that points at parameter `number` (from 1). */
export function parameterCode(rc: number, number: number): number {
  return rc + RC_P + (number << 8)
}

/** A format-one code that points at handle `number` (from 1). */
export function handleCode(rc: number, number: number): number {
  return rc + (number << 8)
}

/** A format-one code that points at session `number` (from 1). */
export function sessionCode(rc: number, number: number): number {
  return rc + SESSION + (number << 8)
}

/** A response code's base: without the number of a handle, parameter or session. */
export function baseCode(rc: number): number {
  return isFormatOne(rc) ? rc & 0x0bf : rc
}

/** In words: "TPM_RC_VALUE, parameter 2 (0x2c4)". */
export function describeResponseCode(rc: number): string {
  return `${nameOf(rc)} (0x${rc.toString(16).padStart(3, '0')})`
}

function nameOf(rc: number): string {
  const name = (code: number): string => NAMES.get(code) ?? 'a code that the TPM 2.0 Library does not define'
  if (isFormatOne(rc)) {
    const number = (rc >> 8) & 0xf
    if ((rc & RC_P) !== 0) return `${name(baseCode(rc))}, parameter ${String(number)}`
    if (number === 0) return name(baseCode(rc))
    return number < 8
      ? `${name(baseCode(rc))}, handle ${String(number)}`
      : `${name(baseCode(rc))}, session ${String(number - 8)}`
  }
  for (const [base, what] of [
    [WARN.REFERENCE_H0, 'TPM_RC_REFERENCE_H'],
    [WARN.REFERENCE_S0, 'TPM_RC_REFERENCE_S'],
  ] as const) {
    if (rc >= base && rc < base + 7) return `${what}${String(rc - base)}`
  }
  return name(rc)
}
