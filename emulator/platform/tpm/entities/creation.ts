// Making objects: what is random in them comes from a stream of bytes, which for a primary object is derived from its
// hierarchy's seed and its template, so that the same TPM always makes the same key from the same template.
// Source: TPM 2.0 Library, Part 1, clauses 14.3 (primary seeds), 26 (object creation) and 27 (hierarchies), r1.59.

import {
  digestSize,
  handleName,
  hash,
  marshal,
  MAX_DIGEST_SIZE,
  TPM_ALG,
  TPM_RC,
  TPMA_OBJECT,
  type TPML_PCR_SELECTION,
  type TPMS_CREATION_DATA,
  TPMS_SENSITIVE_CREATE,
  TPMT_PUBLIC,
  type TPMT_SENSITIVE,
  trimAuth,
} from '../../../../sdk/tpm2/index.ts'
import { TpmError, withKeyErrors } from '../errors.ts'
import { blockBytes } from '../keys/resumable-hash.ts'
import { deterministicStream, type Entropy, generateEccKey, generateRsaKey } from '../keys/index.ts'
import { permanentHierarchy } from '../state/permanent.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { type ObjectRecord, qualifiedNameUnder, TpmObject } from './object.ts'
import { implementedSelection, selectedDigest } from './pcr.ts'
import { checkPublic } from './template.ts'

/** Sealed data, or a key that comes from the caller, in bytes (MAX_SYM_DATA). */
const MAX_SYM_DATA = 128

/** A new object's two areas. */
export interface CreatedAreas {
  readonly publicArea: TPMT_PUBLIC
  readonly sensitive: TPMT_SENSITIVE
}

/** Names of the parameters that a creation command takes its input in. */
export interface CreationFields {
  readonly inPublic: string
  readonly inSensitive: string
}

/** Throws TpmError when template and sensitive data cannot make an object under `parent`, or as a primary object. */
export function checkCreation(
  template: TPMT_PUBLIC,
  inSensitive: TPMS_SENSITIVE_CREATE,
  parent: TpmObject | undefined,
  fields: CreationFields,
): void {
  const given = inSensitive.data.length > 0
  const origin = (template.objectAttributes & TPMA_OBJECT.sensitiveDataOrigin) !== 0
  const fixed = TPMA_OBJECT.fixedParent | TPMA_OBJECT.fixedTPM
  const use = TPMA_OBJECT.sign | TPMA_OBJECT.decrypt
  const wrong = (message: string): TpmError => new TpmError(TPM_RC.ATTRIBUTES, message, fields.inPublic)
  if (!origin && !given) throw wrong('expected sensitiveDataOrigin, or data to make the object of')
  if (origin && given && parent !== undefined) throw wrong('expected no data with sensitiveDataOrigin')
  if (template.type === TPM_ALG.RSA || template.type === TPM_ALG.ECC) {
    if (!origin) throw wrong('expected sensitiveDataOrigin: an asymmetric key is made by the TPM')
  } else {
    const sealed = template.type === TPM_ALG.KEYEDHASH && (template.objectAttributes & use) === 0
    if (sealed && origin) throw wrong('expected sealed data from the caller, not sensitiveDataOrigin')
    const restricted = (template.objectAttributes & TPMA_OBJECT.restricted) !== 0
    if (restricted && !origin && (template.objectAttributes & fixed) !== 0) {
      throw wrong('expected a restricted key that is fixed to be made by the TPM')
    }
  }
  checkPublic(template, parent, fields.inPublic)
  checkAuthSize(inSensitive.userAuth, template.nameAlg, fields.inSensitive)
}

/** Throws TpmError SIZE for an authValue that is longer than a digest of the object's nameAlg. */
export function checkAuthSize(authValue: Uint8Array, nameAlg: number, at: string): void {
  const limit = nameAlg === TPM_ALG.NULL ? MAX_DIGEST_SIZE : digestSize(nameAlg)
  if (trimAuth(authValue).length > limit) {
    throw new TpmError(TPM_RC.SIZE, `expected an authValue of at most ${String(limit)} bytes`, at)
  }
}

/** Makes the areas of an object from a checked template; random parts come from `next`. */
export function createAreas(
  template: TPMT_PUBLIC,
  inSensitive: TPMS_SENSITIVE_CREATE,
  next: Entropy,
  fields: CreationFields,
): CreatedAreas {
  const authValue = trimAuth(inSensitive.userAuth)
  const size = digestSize(template.nameAlg)
  switch (template.type) {
    case TPM_ALG.RSA: {
      const { keyBits, exponent } = template.parameters
      const key = withKeyErrors(fields.inPublic, () => generateRsaKey(keyBits, exponent, next))
      const seedValue = storageSeed(template, next, size)
      return {
        publicArea: { ...template, unique: key.modulus },
        sensitive: { sensitiveType: template.type, authValue, seedValue, sensitive: key.prime },
      }
    }
    case TPM_ALG.ECC: {
      const key = generateEccKey(template.parameters.curveID, next)
      const seedValue = storageSeed(template, next, size)
      return {
        publicArea: { ...template, unique: key.point },
        sensitive: { sensitiveType: template.type, authValue, seedValue, sensitive: key.scalar },
      }
    }
    default: {
      const key = secretOf(template, inSensitive.data, next, fields)
      const seedValue = next(size)
      return {
        publicArea: { ...template, unique: hash(template.nameAlg, seedValue, key) },
        sensitive: { sensitiveType: template.type, authValue, seedValue, sensitive: key },
      }
    }
  }
}

/** Only a storage key has a seed of its own; other asymmetric keys need none. */
function storageSeed(template: TPMT_PUBLIC, next: Entropy, size: number): Uint8Array {
  const storage = TPMA_OBJECT.restricted | TPMA_OBJECT.decrypt
  return (template.objectAttributes & storage) === storage ? next(size) : new Uint8Array(0)
}

/** The secret of a symmetric or keyed-hash object: the caller's data, or made here. */
function secretOf(
  template: Extract<TPMT_PUBLIC, { unique: Uint8Array }>,
  data: Uint8Array,
  next: Entropy,
  fields: CreationFields,
): Uint8Array {
  const origin = (template.objectAttributes & TPMA_OBJECT.sensitiveDataOrigin) !== 0
  if (template.type === TPM_ALG.SYMCIPHER) {
    const { sym } = template.parameters
    const bytes = sym.keyBits / 8
    if (!origin && data.length !== bytes) {
      throw new TpmError(TPM_RC.KEY_SIZE, `expected a key of ${String(bytes)} bytes`, fields.inSensitive)
    }
    return origin ? next(bytes) : data
  }
  const scheme = template.type === TPM_ALG.KEYEDHASH ? template.parameters.scheme : undefined
  const hashAlg = scheme !== undefined && 'hashAlg' in scheme ? scheme.hashAlg : undefined
  const limit = hashAlg === undefined ? MAX_SYM_DATA : blockBytes(hashAlg)
  if (data.length > limit) {
    throw new TpmError(TPM_RC.SIZE, `expected at most ${String(limit)} bytes of data`, fields.inSensitive)
  }
  return origin ? next(digestSize(hashAlg ?? template.nameAlg)) : data
}

/** The stream of a primary object: from the hierarchy's seed, the template and the sensitive data, nothing else. */
function primaryStream(
  tpm: TpmState,
  hierarchy: number,
  template: Uint8Array,
  inSensitive: TPMS_SENSITIVE_CREATE,
  nameAlg: number,
): Entropy {
  const seed = permanentHierarchy(tpm.permanent, hierarchy)?.seed ?? tpm.volatile.reset.nullSeed
  // The authValue is no part of it: it can be changed without making another key (Part 3, 24.1).
  const data = marshal(TPMS_SENSITIVE_CREATE, { userAuth: new Uint8Array(0), data: inSensitive.data })
  return deterministicStream(nameAlg, seed, 'PRIMARY', handleName(hierarchy), hash(nameAlg, template, data))
}

/** The record of a new object under a parent object, or of a primary object of a hierarchy. */
export function recordUnder(parent: TpmObject | number, areas: CreatedAreas): ObjectRecord {
  const primary = typeof parent === 'number'
  const own = (areas.publicArea.objectAttributes & TPMA_OBJECT.stClear) !== 0
  return {
    ...areas,
    hierarchy: primary ? parent : parent.hierarchy,
    qualifiedName: qualifiedNameUnder(parent, areas.publicArea),
    external: false,
    stClear: own || (!primary && parent.record.stClear),
  }
}

/** What a creation certifies about its surroundings (Part 1, 26.6.3). */
export function creationData(
  tpm: TpmState,
  parent: TpmObject | number,
  nameAlg: number,
  creationPCR: TPML_PCR_SELECTION,
  outsideInfo: Uint8Array,
): TPMS_CREATION_DATA {
  const pcrSelect = implementedSelection(tpm, creationPCR, 'creationPCR')
  const root = typeof parent === 'number'
  const name = root ? handleName(parent) : parent.name
  return {
    pcrSelect,
    pcrDigest: selectedDigest(tpm, pcrSelect, nameAlg),
    locality: tpm.locality < 5 ? 1 << tpm.locality : tpm.locality,
    parentNameAlg: root ? TPM_ALG.NULL : parent.publicArea.nameAlg,
    parentName: name,
    parentQualifiedName: root ? name : parent.qualifiedName,
    outsideInfo,
  }
}

/** A primary object of a hierarchy (TPM_RH): the NULL hierarchy's live until the next TPM Reset. */
export function createPrimary(
  tpm: TpmState,
  hierarchy: number,
  template: TPMT_PUBLIC,
  inSensitive: TPMS_SENSITIVE_CREATE,
  fields: CreationFields,
): TpmObject {
  checkCreation(template, inSensitive, undefined, fields)
  const next = primaryStream(tpm, hierarchy, marshal(TPMT_PUBLIC, template), inSensitive, template.nameAlg)
  return new TpmObject(recordUnder(hierarchy, createAreas(template, inSensitive, next, fields)))
}
