// What may change a PCR: localities of extend and reset, whether it counts, whether TPM2_Shutdown(STATE) keeps it.
// Source: TCG PC Client Platform TPM Profile, version 1.05, clause 4.6 (PCR attributes).

import { PCR_COUNT } from '../../../../sdk/tpm2/index.ts'

/** Attributes of one PCR; localities are bit maps, locality n at bit n. */
export interface PcrAttributes {
  readonly extend: number
  readonly reset: number
  /** kept by TPM2_Shutdown(STATE) and TPM2_Startup(STATE) */
  readonly saved: boolean
  /** changes go into pcrUpdateCounter */
  readonly counted: boolean
  /** D-RTM resets it: reads as all ones until then */
  readonly drtm: boolean
}

const ALL = 0b11111
const STATIC: PcrAttributes = { extend: ALL, reset: 0, saved: true, counted: true, drtm: false }
const DYNAMIC: PcrAttributes = { extend: 0b11100, reset: 0b10000, saved: false, counted: true, drtm: true }

/** PCRs other than 0 to 15. */
const OTHERS = new Map<number, PcrAttributes>([
  [16, { extend: ALL, reset: 0b01111, saved: false, counted: false, drtm: false }],
  [17, DYNAMIC],
  [18, DYNAMIC],
  [19, { ...DYNAMIC, extend: 0b01100 }],
  [20, { ...DYNAMIC, extend: 0b01110, reset: 0b10100 }],
  [21, { ...DYNAMIC, extend: 0b00100, reset: 0b10100, counted: false }],
  [22, { ...DYNAMIC, extend: 0b00100, reset: 0b10100, counted: false }],
  [23, { extend: ALL, reset: 0b01111, saved: false, counted: false, drtm: false }],
])

/** Attributes of a PCR. */
export function pcrAttributes(pcr: number): PcrAttributes {
  return OTHERS.get(pcr) ?? STATIC
}

/** PCRs that can have a policy or an authValue of their own (TPM_PT_PCR_POLICY, TPM_PT_PCR_AUTH). */
export function inPolicyGroup(pcr: number): boolean {
  return pcr >= 20 && pcr <= 22
}

/** All PCR numbers. */
export const ALL_PCRS: readonly number[] = Array.from({ length: PCR_COUNT }, (_, pcr) => pcr)
