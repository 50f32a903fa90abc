// Objects: create, load, read, change and unseal them; credentials.
// Source: TPM 2.0 Library, Part 3, clauses 12 and 24.1 (TPM2_CreatePrimary), revision 1.59.

import { equalBytes } from '../../../../sdk/crypto/index.ts'
import {
  digestSize,
  hash,
  makeCredential,
  marshal,
  protectorOf,
  TPM2_ActivateCredential,
  TPM2_Create,
  TPM2_CreatePrimary,
  TPM2_Load,
  TPM2_LoadExternal,
  TPM2_MakeCredential,
  TPM2_ObjectChangeAuth,
  TPM2_ReadPublic,
  TPM2_Unseal,
  TPM2B_DIGEST,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPM_ST,
  TPMA_OBJECT,
  type TPML_PCR_SELECTION,
  TPMS_CREATION_DATA,
  type TPMT_PUBLIC,
  trimAuth,
  unmarshal,
  unwrapOuter,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import {
  checkAuthSize,
  checkCreation,
  createAreas,
  createPrimary,
  creationData,
  type CreationFields,
  recordUnder,
} from '../entities/creation.ts'
import { checkAreas, type LoadFields } from '../entities/loading.ts'
import { externalRecord, qualifiedNameUnder, TpmObject } from '../entities/object.ts'
import {
  addTransient,
  checkFreeSlot,
  hierarchyEnabled,
  loadedObject,
  objectAt,
} from '../entities/object-store.ts'
import { recover } from '../entities/secrets.ts'
import { Sequence } from '../entities/sequence.ts'
import { parentAt, unwrapUnder, wrapUnder } from '../entities/storage.ts'
import { checkImplemented, checkPublic } from '../entities/template.ts'
import { makeTicket } from '../entities/tickets.ts'
import { TpmError, withKeyErrors } from '../errors.ts'
import { checkNotCanceled, type TpmState } from '../state/tpm-state.ts'

const CREATION: CreationFields = { inPublic: 'inPublic', inSensitive: 'inSensitive' }
const LOADING: LoadFields = { inPublic: 'inPublic', inPrivate: 'inPrivate' }

/** The three results about a creation: data, its hash, and a ticket by which the TPM knows them again. */
function certified(
  tpm: TpmState,
  parent: TpmObject | number,
  publicArea: TPMT_PUBLIC,
  name: Uint8Array,
  outsideInfo: Uint8Array,
  creationPCR: TPML_PCR_SELECTION,
) {
  const data = creationData(tpm, parent, publicArea.nameAlg, creationPCR, outsideInfo)
  const creationHash = hash(publicArea.nameAlg, marshal(TPMS_CREATION_DATA, data))
  const hierarchy = typeof parent === 'number' ? parent : parent.hierarchy
  const creationTicket = makeTicket(tpm, TPM_ST.CREATION, hierarchy, { name, creationHash })
  return { creationData: data, creationHash, creationTicket }
}

const create = implement(TPM2_Create, (tpm, request) => {
  const { inSensitive, inPublic, outsideInfo, creationPCR } = request
  const parent = parentAt(tpm, request.parentHandle, 'parentHandle')
  checkCreation(inPublic, inSensitive, parent, CREATION)
  checkNotCanceled(tpm)
  const areas = createAreas(inPublic, inSensitive, tpm.random.next, CREATION)
  const { name } = new TpmObject(recordUnder(parent, areas))
  return {
    outPrivate: wrapUnder(tpm, parent, areas.publicArea, areas.sensitive),
    outPublic: areas.publicArea,
    ...certified(tpm, parent, areas.publicArea, name, outsideInfo, creationPCR),
  }
})

const primary = implement(TPM2_CreatePrimary, (tpm, request) => {
  const { primaryHandle, inSensitive, inPublic, outsideInfo, creationPCR } = request
  checkFreeSlot(tpm)
  checkNotCanceled(tpm)
  const object = createPrimary(tpm, primaryHandle, inPublic, inSensitive, CREATION)
  const { publicArea, name } = object
  // It refuses a bad creationPCR, so the object takes its slot after it.
  const certificate = certified(tpm, primaryHandle, publicArea, name, outsideInfo, creationPCR)
  return { objectHandle: addTransient(tpm, object), outPublic: publicArea, ...certificate, name }
})

const load = implement(TPM2_Load, (tpm, { parentHandle, inPrivate, inPublic }) => {
  const parent = parentAt(tpm, parentHandle, 'parentHandle')
  checkFreeSlot(tpm)
  const sensitive = unwrapUnder(parent, inPublic, inPrivate, 'inPrivate')
  checkPublic(inPublic, parent, 'inPublic')
  checkAreas(inPublic, sensitive, LOADING)
  const object = new TpmObject(recordUnder(parent, { publicArea: inPublic, sensitive }))
  return { objectHandle: addTransient(tpm, object), name: object.name }
})

const loadExternal = implement(TPM2_LoadExternal, (tpm, { inPrivate, inPublic, hierarchy }) => {
  checkFreeSlot(tpm)
  if (!hierarchyEnabled(tpm, hierarchy)) {
    throw new TpmError(TPM_RC.HIERARCHY, 'expected an enabled hierarchy, found a disabled one', 'hierarchy')
  }
  const bound = TPMA_OBJECT.fixedTPM | TPMA_OBJECT.fixedParent | TPMA_OBJECT.restricted
  if (inPrivate !== undefined) {
    if (hierarchy !== TPM_RH.NULL) {
      throw new TpmError(
        TPM_RC.HIERARCHY,
        'expected TPM_RH_NULL for an object with a private area',
        'hierarchy',
      )
    }
    if ((inPublic.objectAttributes & bound) !== 0) {
      const message = 'expected an object from outside without fixedTPM, fixedParent and restricted'
      throw new TpmError(TPM_RC.ATTRIBUTES, message, 'inPublic')
    }
    if (inPublic.nameAlg !== TPM_ALG.NULL) checkPublic(inPublic, undefined, 'inPublic')
  }
  checkImplemented(inPublic, 'inPublic')
  const sensitive = inPrivate && { ...inPrivate, authValue: trimAuth(inPrivate.authValue) }
  checkAreas(inPublic, sensitive, LOADING)
  const object = new TpmObject(externalRecord(inPublic, sensitive, hierarchy))
  return { objectHandle: addTransient(tpm, object), name: object.name }
})

const readPublic = implement(TPM2_ReadPublic, (tpm, { objectHandle }) => {
  const object = loadedObject(tpm, objectHandle, 'objectHandle')
  if (object instanceof Sequence) throw new TpmError(TPM_RC.SEQUENCE, 'expected an object, found a sequence')
  return { outPublic: object.publicArea, name: object.name, qualifiedName: object.qualifiedName }
})

/** A restricted decryption key: what credentials are for. Throws TpmError TYPE. */
function endorsementKeyAt(tpm: TpmState, handle: number, at: string): TpmObject {
  const key = objectAt(tpm, handle, at)
  const asymmetric = key.publicArea.type === TPM_ALG.RSA || key.publicArea.type === TPM_ALG.ECC
  if (asymmetric && key.has('decrypt') && key.has('restricted')) return key
  throw new TpmError(TPM_RC.TYPE, 'expected a restricted RSA or ECC decryption key, found another object', at)
}

const activateCredential = implement(TPM2_ActivateCredential, (tpm, request) => {
  const activated = objectAt(tpm, request.activateHandle, 'activateHandle')
  const key = endorsementKeyAt(tpm, request.keyHandle, 'keyHandle')
  const { credentialBlob, secret } = request
  const seed = recover(key, secret, 'IDENTITY', 'secret')
  const certInfo = withKeyErrors('credentialBlob', () => {
    const data = unwrapOuter(protectorOf(key.publicArea), seed, activated.name, credentialBlob)
    return unmarshal(TPM2B_DIGEST, data)
  })
  return { certInfo }
})

const makeCredentialCommand = implement(TPM2_MakeCredential, (tpm, { handle, credential, objectName }) => {
  const key = endorsementKeyAt(tpm, handle, 'handle')
  if (key.publicArea.nameAlg === TPM_ALG.NULL) {
    throw new TpmError(
      TPM_RC.SIZE,
      'expected a key with a nameAlg, found none: no credential fits',
      'credential',
    )
  }
  if (credential.length > digestSize(key.publicArea.nameAlg)) {
    throw new TpmError(
      TPM_RC.SIZE,
      "expected a credential of at most a digest of the key's nameAlg",
      'credential',
    )
  }
  return withKeyErrors('handle', () =>
    makeCredential({ ekPublic: key.publicArea, objectName, secret: credential }),
  )
})

const unseal = implement(TPM2_Unseal, (tpm, { itemHandle }) => {
  const object = objectAt(tpm, itemHandle, 'itemHandle')
  if (object.publicArea.type !== TPM_ALG.KEYEDHASH) {
    throw new TpmError(TPM_RC.TYPE, 'expected a sealed data object, found a key', 'itemHandle')
  }
  if (object.has('decrypt') || object.has('sign') || object.has('restricted')) {
    throw new TpmError(TPM_RC.ATTRIBUTES, 'expected a sealed data object, found a key', 'itemHandle')
  }
  return { outData: object.sensitive('itemHandle').sensitive }
})

const objectChangeAuth = implement(TPM2_ObjectChangeAuth, (tpm, request) => {
  const object = objectAt(tpm, request.objectHandle, 'objectHandle')
  const parent = parentAt(tpm, request.parentHandle, 'parentHandle')
  const { publicArea } = object
  checkAuthSize(request.newAuth, publicArea.nameAlg, 'newAuth')
  if (!equalBytes(qualifiedNameUnder(parent, publicArea), object.qualifiedName)) {
    throw new TpmError(TPM_RC.TYPE, "expected the object's parent, found another key", 'parentHandle')
  }
  const sensitive = { ...object.sensitive('objectHandle'), authValue: trimAuth(request.newAuth) }
  return { outPrivate: wrapUnder(tpm, parent, publicArea, sensitive) }
})

/** Clause 12 without TPM2_CreateLoaded, and clause 24.1. */
export const objectCommands: readonly Implementation[] = [
  create,
  primary,
  load,
  loadExternal,
  readPublic,
  activateCredential,
  makeCredentialCommand,
  unseal,
  objectChangeAuth,
]
