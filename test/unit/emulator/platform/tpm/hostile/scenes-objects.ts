// Scenes of sessions, objects, duplication and contexts: clauses 9 to 13, 24.1 and 28 of Part 3.

import {
  startHmacSession,
  TPM2_ActivateCredential,
  TPM2_ContextLoad,
  TPM2_ContextSave,
  TPM2_Create,
  TPM2_CreateLoaded,
  TPM2_CreatePrimary,
  TPM2_Duplicate,
  TPM2_EvictControl,
  TPM2_FlushContext,
  TPM2_GetTestResult,
  TPM2_Import,
  TPM2_IncrementalSelfTest,
  TPM2_Load,
  TPM2_LoadExternal,
  TPM2_MakeCredential,
  TPM2_ObjectChangeAuth,
  TPM2_PolicyCommandCode,
  TPM2_PolicyRestart,
  TPM2_ReadPublic,
  TPM2_Rewrap,
  TPM2_SelfTest,
  TPM2_Shutdown,
  TPM2_StartAuthSession,
  TPM2_Startup,
  TPM2_Unseal,
  TPM_ALG,
  TPM_CC,
  TPM_RH,
  TPM_SE,
  TPM_SU,
  TPMA_OBJECT,
  type TPMT_PUBLIC,
  marshal,
  selectPcrs,
  TPMT_PUBLIC as PUBLIC_CODEC,
} from '../../../../../../sdk/tpm2/index.ts'
import { loadAes, SIGN } from '../commands/crypto-rig.ts'
import {
  defineNv,
  eccKey,
  NONE,
  NV_INDEX,
  policy,
  policyDigest,
  primary,
  type Rig,
  type Scene,
  scene,
  sealed,
  SIGNING,
  STORAGE,
  utf8,
} from './scene.ts'

const AES = { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB } as const
const NO_SYMMETRIC = { algorithm: TPM_ALG.NULL } as const
const DATA = utf8('sealed data')
const PERSISTENT = 0x81000001

interface Child {
  readonly parentHandle: number
  readonly inPrivate: Uint8Array
  readonly inPublic: TPMT_PUBLIC
}

/** An object with data of the caller's under a new storage key, not loaded. */
async function child(
  rig: Rig,
  inPublic: TPMT_PUBLIC = sealed(),
  userAuth: Uint8Array = NONE,
): Promise<Child> {
  const { objectHandle: parentHandle } = await primary(rig)
  const inSensitive = { userAuth, data: DATA }
  const { outPrivate, outPublic } = await rig.call(TPM2_Create, {
    parentHandle,
    inSensitive,
    inPublic,
    outsideInfo: NONE,
    creationPCR: [],
  })
  return { parentHandle, inPrivate: outPrivate, inPublic: outPublic }
}

async function loadedChild(rig: Rig, inPublic?: TPMT_PUBLIC, userAuth?: Uint8Array) {
  const made = await child(rig, inPublic, userAuth)
  return { ...made, ...(await rig.call(TPM2_Load, made)) }
}

const mayDuplicate = (policySession: number) => (rig: Rig) =>
  rig.call(TPM2_PolicyCommandCode, { policySession, code: TPM_CC.Duplicate })

/** An object that may be duplicated, with the session that allows it. */
async function movable(rig: Rig) {
  const authPolicy = await policyDigest(rig, (session) => mayDuplicate(session)(rig))
  const object = await loadedChild(rig, sealed(TPMA_OBJECT.userWithAuth | TPMA_OBJECT.noDA, authPolicy))
  const session = await policy(rig, (handle) => mayDuplicate(handle)(rig))
  return { object, session }
}

async function duplicated(rig: Rig, newParentHandle: number) {
  const { object, session } = await movable(rig)
  const request = {
    objectHandle: object.objectHandle,
    newParentHandle,
    encryptionKeyIn: NONE,
    symmetricAlg: NO_SYMMETRIC,
  }
  return { object, ...(await rig.call(TPM2_Duplicate, request, [session.use()])) }
}

const nonceCaller = new Uint8Array(32).fill(0x33)
const start = {
  tpmKey: TPM_RH.NULL,
  bind: TPM_RH.NULL,
  nonceCaller,
  encryptedSalt: NONE,
  sessionType: TPM_SE.HMAC,
  symmetric: NO_SYMMETRIC,
  authHash: TPM_ALG.SHA256,
} as const

const creation = { inSensitive: { userAuth: utf8('a'), data: DATA }, outsideInfo: utf8('info') }

const STARTUP: readonly Scene[] = [
  scene(TPM2_Startup, '', (rig) => rig.startup(), { off: true }),
  scene(
    TPM2_Startup,
    'after Shutdown(STATE)',
    async (rig) => {
      await rig.startup()
      await rig.call(TPM2_Shutdown, { shutdownType: TPM_SU.STATE })
      rig.tpm.reset()
      await rig.call(TPM2_Startup, { startupType: TPM_SU.STATE })
    },
    { off: true },
  ),
  scene(TPM2_Shutdown, '', (rig) => rig.call(TPM2_Shutdown, { shutdownType: TPM_SU.STATE })),
  scene(TPM2_SelfTest, '', async (rig) => {
    await rig.call(TPM2_SelfTest, { fullTest: false })
    await rig.call(TPM2_SelfTest, { fullTest: false })
  }),
  scene(TPM2_IncrementalSelfTest, '', (rig) =>
    rig.call(TPM2_IncrementalSelfTest, { toTest: [TPM_ALG.SHA256, TPM_ALG.AES] }),
  ),
  scene(TPM2_GetTestResult, '', async (rig) => {
    await rig.call(TPM2_GetTestResult, {})
    await rig.call(TPM2_GetTestResult, {})
  }),
]

const SESSIONS: readonly Scene[] = [
  scene(TPM2_StartAuthSession, '', (rig) => rig.call(TPM2_StartAuthSession, start)),
  scene(TPM2_StartAuthSession, 'of a policy that encrypts', (rig) =>
    rig.call(TPM2_StartAuthSession, { ...start, sessionType: TPM_SE.POLICY, symmetric: AES }),
  ),
  scene(
    TPM2_StartAuthSession,
    'salted and bound',
    async (rig) => {
      const { objectHandle, outPublic } = await primary(rig)
      await defineNv(rig)
      await startHmacSession(rig.client, {
        salt: { handle: objectHandle, key: outPublic },
        bind: { handle: NV_INDEX, auth: NONE },
        symmetric: { algorithm: TPM_ALG.XOR, hashAlg: TPM_ALG.SHA256 },
      })
    },
    { dear: true },
  ),
  scene(TPM2_PolicyRestart, '', async (rig) => {
    const { handle } = await policy(rig)
    await rig.call(TPM2_PolicyRestart, { sessionHandle: handle })
  }),
]

const OBJECTS: readonly Scene[] = [
  scene(TPM2_Create, '', async (rig) => {
    const { objectHandle } = await primary(rig)
    const creationPCR = [selectPcrs(TPM_ALG.SHA256, [0, 7])]
    await rig.call(TPM2_Create, { ...creation, parentHandle: objectHandle, inPublic: sealed(), creationPCR })
  }),
  scene(
    TPM2_Create,
    'of an ECC key',
    async (rig) => {
      const { objectHandle } = await primary(rig)
      await rig.call(TPM2_Create, {
        parentHandle: objectHandle,
        inSensitive: { userAuth: NONE, data: NONE },
        inPublic: SIGNING,
        outsideInfo: NONE,
        creationPCR: [],
      })
    },
    { dear: true },
  ),
  scene(
    TPM2_CreatePrimary,
    '',
    (rig) =>
      rig.call(TPM2_CreatePrimary, {
        primaryHandle: TPM_RH.OWNER,
        inSensitive: { userAuth: utf8('a'), data: NONE },
        inPublic: STORAGE,
        outsideInfo: utf8('info'),
        creationPCR: [selectPcrs(TPM_ALG.SHA256, [0, 7])],
      }),
    { dear: true },
  ),
  scene(TPM2_CreateLoaded, '', async (rig) => {
    const { objectHandle } = await primary(rig)
    const inPublic = marshal(PUBLIC_CODEC, sealed())
    await rig.call(TPM2_CreateLoaded, {
      parentHandle: objectHandle,
      inPublic,
      inSensitive: creation.inSensitive,
    })
  }),
  scene(TPM2_Load, '', async (rig) => rig.call(TPM2_Load, await child(rig)), { dear: true }),
  scene(TPM2_LoadExternal, 'with a private area', (rig) =>
    loadAes(rig.client, new Uint8Array(16).fill(1), SIGN, TPM_ALG.CFB),
  ),
  scene(
    TPM2_LoadExternal,
    'of a public area',
    async (rig) => {
      const { outPublic } = await primary(rig)
      await rig.call(TPM2_LoadExternal, {
        inPrivate: undefined,
        inPublic: outPublic,
        hierarchy: TPM_RH.OWNER,
      })
    },
    { dear: true },
  ),
  scene(TPM2_ReadPublic, '', async (rig) => {
    const { objectHandle } = await primary(rig)
    await rig.call(TPM2_ReadPublic, { objectHandle })
  }),
  scene(TPM2_Unseal, '', async (rig) => {
    const { objectHandle: itemHandle } = await loadedChild(rig)
    await rig.call(TPM2_Unseal, { itemHandle })
  }),
  scene(TPM2_Unseal, 'protected against guessing, by an HMAC session that encrypts', async (rig) => {
    const auth = utf8('secret')
    const { objectHandle: itemHandle } = await loadedChild(rig, sealed(TPMA_OBJECT.userWithAuth), auth)
    const session = await startHmacSession(rig.client, { symmetric: AES })
    await rig.call(TPM2_Unseal, { itemHandle }, [session.use({ auth, encrypt: true, audit: true })])
  }),
  scene(TPM2_ObjectChangeAuth, '', async (rig) => {
    const { objectHandle, parentHandle } = await loadedChild(rig)
    await rig.call(TPM2_ObjectChangeAuth, { objectHandle, parentHandle, newAuth: utf8('new') })
  }),
  scene(TPM2_MakeCredential, '', async (rig) => {
    const { objectHandle: handle, name } = await primary(rig)
    await rig.call(TPM2_MakeCredential, { handle, credential: utf8('credential'), objectName: name })
  }),
  scene(
    TPM2_ActivateCredential,
    '',
    async (rig) => {
      const { objectHandle: keyHandle } = await primary(rig, STORAGE, TPM_RH.ENDORSEMENT)
      const { objectHandle: activateHandle, name } = await primary(rig, SIGNING)
      const made = await rig.call(TPM2_MakeCredential, {
        handle: keyHandle,
        credential: utf8('credential'),
        objectName: name,
      })
      await rig.call(TPM2_ActivateCredential, { activateHandle, keyHandle, ...made })
    },
    { dear: true },
  ),
]

const DUPLICATION: readonly Scene[] = [
  scene(TPM2_Duplicate, 'to nobody', (rig) => duplicated(rig, TPM_RH.NULL)),
  scene(TPM2_Duplicate, 'to a new parent, wrapped twice', async (rig) => {
    const { objectHandle: newParentHandle } = await primary(rig, STORAGE, TPM_RH.ENDORSEMENT)
    const { object, session } = await movable(rig)
    const request = {
      objectHandle: object.objectHandle,
      newParentHandle,
      encryptionKeyIn: NONE,
      symmetricAlg: AES,
    }
    await rig.call(TPM2_Duplicate, request, [session.use()])
  }),
  scene(
    TPM2_Rewrap,
    '',
    async (rig) => {
      const { objectHandle: oldParent } = await primary(rig, STORAGE, TPM_RH.ENDORSEMENT)
      const { object, duplicate, outSymSeed } = await duplicated(rig, oldParent)
      await rig.call(TPM2_Rewrap, {
        oldParent,
        newParent: object.parentHandle,
        inDuplicate: duplicate,
        name: object.name,
        inSymSeed: outSymSeed,
      })
    },
    { dear: true },
  ),
  scene(
    TPM2_Import,
    '',
    async (rig) => {
      const { objectHandle: parentHandle } = await primary(rig, STORAGE, TPM_RH.ENDORSEMENT)
      const { object, duplicate, outSymSeed } = await duplicated(rig, parentHandle)
      await rig.call(TPM2_Import, {
        parentHandle,
        encryptionKey: NONE,
        objectPublic: object.inPublic,
        duplicate,
        inSymSeed: outSymSeed,
        symmetricAlg: NO_SYMMETRIC,
      })
    },
    { dear: true },
  ),
]

const CONTEXTS: readonly Scene[] = [
  scene(TPM2_ContextSave, 'of an object', async (rig) => {
    const { objectHandle: saveHandle } = await primary(rig)
    await rig.call(TPM2_ContextSave, { saveHandle })
  }),
  scene(TPM2_ContextSave, 'of a session', async (rig) => {
    const { handle: saveHandle } = await policy(rig)
    await rig.call(TPM2_ContextSave, { saveHandle })
  }),
  scene(TPM2_ContextLoad, 'of an object', async (rig) => {
    const { objectHandle: saveHandle } = await primary(rig, eccKey(TPMA_OBJECT.sign))
    await rig.call(TPM2_ContextLoad, await rig.call(TPM2_ContextSave, { saveHandle }))
  }),
  scene(TPM2_ContextLoad, 'of a session', async (rig) => {
    const { handle: saveHandle } = await policy(rig)
    await rig.call(TPM2_ContextLoad, await rig.call(TPM2_ContextSave, { saveHandle }))
  }),
  scene(TPM2_FlushContext, '', async (rig) => {
    const { objectHandle: flushHandle } = await primary(rig)
    await rig.call(TPM2_FlushContext, { flushHandle })
  }),
  scene(TPM2_EvictControl, '', async (rig) => {
    const { objectHandle } = await primary(rig)
    await rig.call(TPM2_EvictControl, { auth: TPM_RH.OWNER, objectHandle, persistentHandle: PERSISTENT })
  }),
  scene(TPM2_EvictControl, 'of a persistent object', async (rig) => {
    const { objectHandle } = await primary(rig)
    const request = { auth: TPM_RH.OWNER, objectHandle, persistentHandle: PERSISTENT }
    await rig.call(TPM2_EvictControl, request)
    await rig.call(TPM2_EvictControl, { ...request, objectHandle: PERSISTENT })
  }),
]

/** Scenes of this file. */
export const OBJECT_SCENES: readonly Scene[] = [
  ...STARTUP,
  ...SESSIONS,
  ...OBJECTS,
  ...DUPLICATION,
  ...CONTEXTS,
]
