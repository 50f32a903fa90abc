// Contexts outside the TPM: encrypted, and bound to their number, their hierarchy, and the time since the last TPM Reset.
// Source: TPM 2.0 Library, Part 1, clause 30.3 (context protections), revision 1.59.

import { concatBytes, equalBytes } from '../../../../sdk/crypto/index.ts'
import {
  digestSize,
  hmac,
  kdfa,
  marshal,
  Reader,
  TPM2B_DIGEST,
  TPM_ALG,
  TPM_RC,
  type TPMS_CONTEXT,
  UINT32,
  UINT64,
  Writer,
} from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { AES_BLOCK_SIZE, aesDecrypt, aesEncrypt } from '../keys/index.ts'
import { CONTEXT_HASH, CONTEXT_KEY_BITS } from '../profile.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { hierarchyProof } from './tickets.ts'

/** A context without its blob. */
export type ContextHead = Omit<TPMS_CONTEXT, 'contextBlob'>

/** savedHandle of an object that is gone after TPM2_Startup(CLEAR) (Part 2, 14.6.2). */
export const SAVED_STCLEAR = 0x80000002

function headBytes(head: ContextHead): Uint8Array {
  return concatBytes(
    marshal(UINT64, head.sequence),
    marshal(UINT32, head.savedHandle),
    marshal(UINT32, head.hierarchy),
  )
}

/** Key and IV of one context: no two have the same, since numbers begin anew with each reset only. */
function keyOf(
  tpm: TpmState,
  proof: Uint8Array,
  head: Uint8Array,
): { readonly key: Uint8Array; readonly iv: Uint8Array } {
  const resets = marshal(UINT64, tpm.permanent.timing.totalResetCount)
  const material = kdfa(CONTEXT_HASH, proof, 'CONTEXT', head, resets, CONTEXT_KEY_BITS + 8 * AES_BLOCK_SIZE)
  return { key: material.subarray(0, CONTEXT_KEY_BITS / 8), iv: material.subarray(CONTEXT_KEY_BITS / 8) }
}

/** HMAC over what the context says, and over the counts of resets and, for stClear objects, of clears. */
function integrityOf(
  tpm: TpmState,
  proof: Uint8Array,
  saved: number,
  head: Uint8Array,
  data: Uint8Array,
): Uint8Array {
  const none = new Uint8Array(0)
  const key = kdfa(CONTEXT_HASH, proof, 'INTEGRITY', none, none, 8 * digestSize(CONTEXT_HASH))
  const clears = saved === SAVED_STCLEAR ? tpm.volatile.reset.clearCount : 0
  const counts = [marshal(UINT64, tpm.permanent.timing.totalResetCount), marshal(UINT32, clears)]
  return hmac(CONTEXT_HASH, key, ...counts, head, data)
}

/** The blob of a context that holds `data`. */
export function sealContext(tpm: TpmState, head: ContextHead, data: Uint8Array): Uint8Array {
  const proof = hierarchyProof(tpm, head.hierarchy)
  const bytes = headBytes(head)
  const { key, iv } = keyOf(tpm, proof, bytes)
  const encrypted = aesEncrypt(TPM_ALG.CFB, key, iv, data).outData
  const writer = new Writer()
  TPM2B_DIGEST.write(writer, integrityOf(tpm, proof, head.savedHandle, bytes, encrypted))
  writer.bytes(encrypted)
  return writer.finish()
}

/** What a context's blob holds. Throws TpmError INTEGRITY at `context` when this TPM did not make it, or not lately. */
export function openContext(tpm: TpmState, context: TPMS_CONTEXT): Uint8Array {
  const proof = hierarchyProof(tpm, context.hierarchy)
  const bytes = headBytes(context)
  const reader = new Reader(context.contextBlob, 'TPM2B_CONTEXT_DATA')
  const integrity = TPM2B_DIGEST.read(reader)
  const encrypted = reader.bytes(reader.remaining)
  const expected = integrityOf(tpm, proof, context.savedHandle, bytes, encrypted)
  if (!equalBytes(integrity, expected)) {
    throw new TpmError(TPM_RC.INTEGRITY, 'expected a context that this TPM saved since its reset', 'context')
  }
  const { key, iv } = keyOf(tpm, proof, bytes)
  return aesDecrypt(TPM_ALG.CFB, key, iv, encrypted).outData
}
