// TPM2_CreateLoaded: a primary object, a child, or an object that is derived from a secret that its parent holds.
// Source: TPM 2.0 Library, Part 3, clause 12.9, and Part 1, clause 28 (object derivation), revision 1.59.

import {
  TPM2_CreateLoaded,
  TPM_ALG,
  TPM_HT,
  TPM_RC,
  TPMA_OBJECT,
  TPMS_DERIVE,
  type TPMS_SENSITIVE_CREATE,
  TPMT_PUBLIC,
  TPMT_TEMPLATE,
  unmarshal,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import {
  checkAuthSize,
  checkCreation,
  createAreas,
  createPrimary,
  type CreationFields,
  recordUnder,
} from '../entities/creation.ts'
import { handleKind } from '../entities/entity.ts'
import { TpmObject } from '../entities/object.ts'
import { addTransient, checkFreeSlot, objectAt } from '../entities/object-store.ts'
import { wrapUnder } from '../entities/storage.ts'
import { checkPublic } from '../entities/template.ts'
import { TpmError, withKeyErrors } from '../errors.ts'
import { deterministicStream } from '../keys/index.ts'
import { type TpmState } from '../state/tpm-state.ts'

const FIELDS: CreationFields = { inPublic: 'inPublic', inSensitive: 'inSensitive' }

interface Made {
  readonly object: TpmObject
  readonly outPrivate: Uint8Array
}

const NO_PRIVATE = new Uint8Array(0)

function make(tpm: TpmState, handle: number, template: Uint8Array, inSensitive: TPMS_SENSITIVE_CREATE): Made {
  if (handleKind(handle) === TPM_HT.PERMANENT) {
    const inPublic = withKeyErrors('inPublic', () => unmarshal(TPMT_PUBLIC, template))
    return { object: createPrimary(tpm, handle, inPublic, inSensitive, FIELDS), outPrivate: NO_PRIVATE }
  }
  const parent = objectAt(tpm, handle, 'parentHandle')
  if (parent.isDerivationParent)
    return { object: derive(parent, template, inSensitive), outPrivate: NO_PRIVATE }
  if (!parent.isParent)
    throw new TpmError(TPM_RC.TYPE, 'expected a parent, found another object', 'parentHandle')
  const inPublic = withKeyErrors('inPublic', () => unmarshal(TPMT_PUBLIC, template))
  checkCreation(inPublic, inSensitive, parent, FIELDS)
  const areas = createAreas(inPublic, inSensitive, tpm.random.next, FIELDS)
  const object = new TpmObject(recordUnder(parent, areas))
  return { object, outPrivate: wrapUnder(tpm, parent, areas.publicArea, areas.sensitive) }
}

/** An object made of nothing but its parent's secret, a label and a context. */
function derive(parent: TpmObject, bytes: Uint8Array, inSensitive: TPMS_SENSITIVE_CREATE): TpmObject {
  const template = withKeyErrors('inPublic', () => unmarshal(TPMT_TEMPLATE, bytes))
  if (template.type === TPM_ALG.RSA) {
    throw new TpmError(TPM_RC.TYPE, 'expected anything but an RSA key to derive', 'inPublic')
  }
  const { unique, ...rest } = template
  const publicArea = { ...rest, unique: emptyUnique(template.type) } as TPMT_PUBLIC
  checkPublic(publicArea, parent, 'inPublic')
  if ((publicArea.objectAttributes & TPMA_OBJECT.sensitiveDataOrigin) !== 0) {
    throw new TpmError(TPM_RC.ATTRIBUTES, 'expected a derived object without sensitiveDataOrigin', 'inPublic')
  }
  checkAuthSize(inSensitive.userAuth, publicArea.nameAlg, 'inSensitive')
  const given = inSensitive.data
  const own = given.length === 0 ? unique : withKeyErrors('inSensitive', () => unmarshal(TPMS_DERIVE, given))
  const label = own.label.length > 0 ? own.label : unique.label
  const context = own.context.length > 0 ? own.context : unique.context
  const next = derivedStream(parent, label, context)
  const origin = publicArea.objectAttributes | TPMA_OBJECT.sensitiveDataOrigin
  // With the attribute set for the moment, the object is made from the stream, not from the caller's data.
  const areas = createAreas(
    { ...publicArea, objectAttributes: origin },
    { userAuth: inSensitive.userAuth, data: new Uint8Array(0) },
    next,
    FIELDS,
  )
  const derived = {
    ...areas,
    publicArea: { ...areas.publicArea, objectAttributes: publicArea.objectAttributes },
  }
  return new TpmObject(recordUnder(parent, derived))
}

function emptyUnique(type: number): TPMT_PUBLIC['unique'] {
  const none = new Uint8Array(0)
  return type === TPM_ALG.ECC ? { x: none, y: none } : none
}

function derivedStream(parent: TpmObject, label: Uint8Array, context: Uint8Array) {
  const { parameters } = parent.publicArea
  const scheme = 'scheme' in parameters ? parameters.scheme : undefined
  const hashAlg = scheme !== undefined && 'hashAlg' in scheme ? scheme.hashAlg : TPM_ALG.SHA256
  const secret = parent.sensitive('parentHandle').sensitive
  return deterministicStream(hashAlg, secret, 'DERIVE', label, context)
}

const createLoaded = implement(TPM2_CreateLoaded, (tpm, { parentHandle, inPublic, inSensitive }) => {
  checkFreeSlot(tpm)
  const { object, outPrivate } = make(tpm, parentHandle, inPublic, inSensitive)
  return {
    objectHandle: addTransient(tpm, object),
    outPrivate,
    outPublic: object.publicArea,
    name: object.name,
  }
})

/** Clause 12.9. */
export const createLoadedCommands: readonly Implementation[] = [createLoaded]
