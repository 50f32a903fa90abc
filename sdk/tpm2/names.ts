// Names: what other structures cite an entity by. An object's name changes when any bit of its public area does.
// Source: TPM 2.0 Library, Part 1, clauses 16 (names) and 26.5 (qualified names), revision 1.59.

import { marshal, UINT32 } from './codec.ts'
import { TPM_ALG } from './constants.ts'
import { hash } from './hash.ts'
import { TPMS_NV_PUBLIC } from './nv.ts'
import { TPMT_PUBLIC } from './public.ts'

/** A name's bytes: nameAlg ‖ digest. */
function name(hashAlg: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const digest = hash(hashAlg, ...parts)
  const out = new Uint8Array(2 + digest.length)
  new DataView(out.buffer).setUint16(0, hashAlg)
  out.set(digest, 2)
  return out
}

/** The name of an object: nameAlg ‖ H(TPMT_PUBLIC); empty when its nameAlg is NULL. Source: Part 1, clause 16. */
export function objectName(publicArea: TPMT_PUBLIC): Uint8Array {
  if (publicArea.nameAlg === TPM_ALG.NULL) return new Uint8Array(0)
  return name(publicArea.nameAlg, marshal(TPMT_PUBLIC, publicArea))
}

/** The name of an NV index: nameAlg ‖ H(TPMS_NV_PUBLIC). Source: Part 1, clause 16. */
export function nvIndexName(nvPublic: TPMS_NV_PUBLIC): Uint8Array {
  return name(nvPublic.nameAlg, marshal(TPMS_NV_PUBLIC, nvPublic))
}

/** The name of a permanent handle, PCR or session: the handle itself. Source: Part 1, clause 16. */
export function handleName(handle: number): Uint8Array {
  return marshal(UINT32, handle)
}

/**
 * The qualified name of an object: nameAlg ‖ H(the parent's qualified name ‖ the object's name). The parent of a
 * primary object is its hierarchy, whose qualified name is its handle. Empty when the object's nameAlg is NULL.
 * Source: Part 1, clause 26.5.
 */
export function qualifiedName(parentQualifiedName: Uint8Array, publicArea: TPMT_PUBLIC): Uint8Array {
  if (publicArea.nameAlg === TPM_ALG.NULL) return new Uint8Array(0)
  return name(publicArea.nameAlg, parentQualifiedName, objectName(publicArea))
}
