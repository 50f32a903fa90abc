// Steps on one NV index, each recorded by a probe.

import {
  passwordSession,
  TPM2_NV_DefineSpace,
  TPM2_NV_Read,
  TPM2_NV_ReadPublic,
  TPM2_NV_UndefineSpace,
  TPM2_NV_Write,
  TPM_ALG,
  TPM_RH,
  TPMA_NV,
} from '../../../sdk/tpm2/index.ts'
import { type Probe } from './probe.ts'

export const NONE = new Uint8Array(0)
export const INDEX = 0x01500000
export const pw = passwordSession()
export const bytes = (...octets: readonly number[]): Uint8Array => Uint8Array.from(octets)

/** Attributes of an index that owner, platform and the index itself may use; `type` is a TPM_NT. */
export const BASE =
  TPMA_NV.OWNERREAD |
  TPMA_NV.OWNERWRITE |
  TPMA_NV.PPREAD |
  TPMA_NV.PPWRITE |
  TPMA_NV.AUTHREAD |
  TPMA_NV.AUTHWRITE |
  TPMA_NV.NO_DA
export const ofType = (type: number, more = 0): number => (BASE | (type << 4) | more) >>> 0

export interface Definition {
  readonly nvIndex?: number
  readonly nameAlg?: number
  readonly attributes: number
  readonly authPolicy?: Uint8Array
  readonly dataSize: number
  readonly auth?: Uint8Array
  readonly authHandle?: number
}

export async function define(probe: Probe, label: string, definition: Definition): Promise<void> {
  const { auth = NONE, authHandle = TPM_RH.OWNER, ...publicArea } = definition
  const publicInfo = { nvIndex: INDEX, nameAlg: TPM_ALG.SHA256, authPolicy: NONE, ...publicArea }
  await probe.try(label, TPM2_NV_DefineSpace, { authHandle, auth, publicInfo }, { sessions: [pw] })
}

export async function undefine(
  probe: Probe,
  label: string,
  nvIndex = INDEX,
  authHandle: number = TPM_RH.OWNER,
): Promise<void> {
  await probe.try(label, TPM2_NV_UndefineSpace, { authHandle, nvIndex }, { sessions: [pw] })
}

export async function write(
  probe: Probe,
  label: string,
  data: Uint8Array,
  offset = 0,
  authHandle: number = INDEX,
): Promise<void> {
  await probe.try(label, TPM2_NV_Write, { authHandle, nvIndex: INDEX, data, offset }, { sessions: [pw] })
}

export async function read(
  probe: Probe,
  label: string,
  size: number,
  offset = 0,
  authHandle: number = INDEX,
): Promise<void> {
  const request = { authHandle, nvIndex: INDEX, size, offset }
  const response = await probe.try(label, TPM2_NV_Read, request, { sessions: [pw] })
  probe.show(`${label}, data`, response?.data)
}

export async function showPublic(probe: Probe, label: string, nvIndex = INDEX): Promise<void> {
  const response = await probe.try(label, TPM2_NV_ReadPublic, { nvIndex })
  probe.show(`${label}, attributes`, response?.nvPublic.attributes.toString(16))
  probe.show(`${label}, name`, response?.nvName)
}

export const both = { authHandle: INDEX, nvIndex: INDEX }
