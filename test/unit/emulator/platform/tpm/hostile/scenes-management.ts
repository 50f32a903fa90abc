// Scenes of audit, hierarchies, dictionary attack, physical presence, clocks and NV memory: clauses 21, 24 to 26, 29 and
// 31 of Part 3.

import {
  hash,
  startHmacSession,
  TPM2_ChangeEPS,
  TPM2_ChangePPS,
  TPM2_Clear,
  TPM2_ClearControl,
  TPM2_ClockRateAdjust,
  TPM2_ClockSet,
  TPM2_DictionaryAttackLockReset,
  TPM2_DictionaryAttackParameters,
  TPM2_HierarchyChangeAuth,
  TPM2_HierarchyControl,
  TPM2_NV_Certify,
  TPM2_NV_ChangeAuth,
  TPM2_NV_DefineSpace,
  TPM2_NV_Extend,
  TPM2_NV_GlobalWriteLock,
  TPM2_NV_Increment,
  TPM2_NV_Read,
  TPM2_NV_ReadLock,
  TPM2_NV_ReadPublic,
  TPM2_NV_SetBits,
  TPM2_NV_UndefineSpace,
  TPM2_NV_UndefineSpaceSpecial,
  TPM2_NV_Write,
  TPM2_NV_WriteLock,
  TPM2_PolicyCommandCode,
  TPM2_PP_Commands,
  TPM2_ReadClock,
  TPM2_SetCommandCodeAuditStatus,
  TPM2_SetPrimaryPolicy,
  TPM_ALG,
  TPM_CC,
  TPM_CLOCK_ADJUST,
  TPM_NT,
  TPM_RH,
  TPMA_NV,
  marshal,
  passwordSession,
  TPMS_NV_PIN_COUNTER_PARAMETERS,
} from '../../../../../../sdk/tpm2/index.ts'
import {
  defineNv,
  NV_INDEX,
  nvTypeBits,
  OWNER_NV,
  policy,
  policyDigest,
  primary,
  PW,
  type Rig,
  type Scene,
  scene,
  SIGNING,
  STORAGE,
  utf8,
} from './scene.ts'

const DIGEST = hash(TPM_ALG.SHA256, utf8('policy'))
const AUTH = utf8('secret')
const OWNER = { authHandle: TPM_RH.OWNER, nvIndex: NV_INDEX }
const ITSELF = { authHandle: NV_INDEX, nvIndex: NV_INDEX }
const EIGHT = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)

const HIERARCHIES: readonly Scene[] = [
  scene(TPM2_HierarchyControl, '', async (rig) => {
    await primary(rig)
    const request = { authHandle: TPM_RH.PLATFORM, enable: TPM_RH.OWNER, state: false }
    await rig.call(TPM2_HierarchyControl, request)
  }),
  scene(TPM2_SetPrimaryPolicy, '', (rig) => {
    const request = { authHandle: TPM_RH.OWNER, authPolicy: DIGEST, hashAlg: TPM_ALG.SHA256 }
    return rig.call(TPM2_SetPrimaryPolicy, request)
  }),
  scene(TPM2_ChangePPS, '', async (rig) => {
    await primary(rig, STORAGE, TPM_RH.PLATFORM)
    await rig.call(TPM2_ChangePPS, { authHandle: TPM_RH.PLATFORM })
  }),
  scene(TPM2_ChangeEPS, '', async (rig) => {
    await primary(rig, STORAGE, TPM_RH.ENDORSEMENT)
    await rig.call(TPM2_ChangeEPS, { authHandle: TPM_RH.PLATFORM })
  }),
  scene(TPM2_Clear, '', async (rig) => {
    await primary(rig)
    await defineNv(rig)
    await rig.call(TPM2_Clear, { authHandle: TPM_RH.LOCKOUT })
  }),
  scene(TPM2_ClearControl, '', (rig) => rig.call(TPM2_ClearControl, { auth: TPM_RH.LOCKOUT, disable: true })),
  scene(TPM2_HierarchyChangeAuth, '', (rig) =>
    rig.call(TPM2_HierarchyChangeAuth, { authHandle: TPM_RH.OWNER, newAuth: AUTH }),
  ),
  scene(TPM2_HierarchyChangeAuth, 'by an HMAC session, encrypted', async (rig) => {
    await rig.call(TPM2_HierarchyChangeAuth, { authHandle: TPM_RH.OWNER, newAuth: AUTH })
    const symmetric = { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB } as const
    const session = await startHmacSession(rig.client, { symmetric })
    const newAuth = utf8('another')
    const use = session.use({ auth: AUTH, authAfter: newAuth, decrypt: true })
    await rig.call(TPM2_HierarchyChangeAuth, { authHandle: TPM_RH.OWNER, newAuth }, [use])
  }),
]

const MANAGEMENT: readonly Scene[] = [
  scene(TPM2_SetCommandCodeAuditStatus, '', (rig) => {
    const lists = { setList: [TPM_CC.GetRandom, TPM_CC.PCR_Read], clearList: [] }
    return rig.call(TPM2_SetCommandCodeAuditStatus, { auth: TPM_RH.OWNER, auditAlg: TPM_ALG.NULL, ...lists })
  }),
  scene(TPM2_SetCommandCodeAuditStatus, 'with another hash', (rig) => {
    const request = { auth: TPM_RH.OWNER, auditAlg: TPM_ALG.SHA1, setList: [], clearList: [] }
    return rig.call(TPM2_SetCommandCodeAuditStatus, request)
  }),
  scene(TPM2_DictionaryAttackLockReset, '', (rig) =>
    rig.call(TPM2_DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT }),
  ),
  scene(TPM2_DictionaryAttackLockReset, 'with a lockoutAuth', async (rig) => {
    await rig.call(TPM2_HierarchyChangeAuth, { authHandle: TPM_RH.LOCKOUT, newAuth: AUTH })
    await rig.call(TPM2_DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT }, [passwordSession(AUTH)])
  }),
  scene(TPM2_DictionaryAttackParameters, '', (rig) => {
    const numbers = { newMaxTries: 5, newRecoveryTime: 100, lockoutRecovery: 200 }
    return rig.call(TPM2_DictionaryAttackParameters, { lockHandle: TPM_RH.LOCKOUT, ...numbers })
  }),
  scene(TPM2_PP_Commands, '', (rig) => {
    rig.tpm.setPhysicalPresence(true)
    const lists = { setList: [TPM_CC.Clear, TPM_CC.ClockSet], clearList: [] }
    return rig.call(TPM2_PP_Commands, { auth: TPM_RH.PLATFORM, ...lists })
  }),
  scene(TPM2_ReadClock, '', (rig) => rig.call(TPM2_ReadClock, {})),
  scene(TPM2_ClockSet, '', (rig) => rig.call(TPM2_ClockSet, { auth: TPM_RH.OWNER, newTime: 5_000_000n })),
  scene(TPM2_ClockRateAdjust, '', (rig) => {
    const request = { auth: TPM_RH.OWNER, rateAdjust: TPM_CLOCK_ADJUST.FINE_FASTER }
    return rig.call(TPM2_ClockRateAdjust, request)
  }),
]

/** A policy for one command, and a session that satisfies it. */
async function only(rig: Rig, code: number) {
  const assertion = (policySession: number) => rig.call(TPM2_PolicyCommandCode, { policySession, code })
  return { authPolicy: await policyDigest(rig, assertion), session: () => policy(rig, assertion) }
}

const DEFINITION = { nvIndex: NV_INDEX, nameAlg: TPM_ALG.SHA256, authPolicy: DIGEST, dataSize: 32 }

const NV_SPACE: readonly Scene[] = [
  scene(TPM2_NV_DefineSpace, '', (rig) =>
    rig.call(TPM2_NV_DefineSpace, {
      authHandle: TPM_RH.OWNER,
      auth: AUTH,
      publicInfo: { ...DEFINITION, attributes: OWNER_NV },
    }),
  ),
  scene(TPM2_NV_UndefineSpace, '', async (rig) => {
    await defineNv(rig)
    await rig.call(TPM2_NV_UndefineSpace, OWNER)
  }),
  scene(TPM2_NV_UndefineSpaceSpecial, '', async (rig) => {
    const { authPolicy, session } = await only(rig, TPM_CC.NV_UndefineSpaceSpecial)
    const attributes =
      TPMA_NV.PPREAD | TPMA_NV.PPWRITE | TPMA_NV.PLATFORMCREATE | TPMA_NV.POLICY_DELETE | TPMA_NV.NO_DA
    await defineNv(rig, { attributes, authPolicy, authHandle: TPM_RH.PLATFORM })
    const uses = [(await session()).use(), PW]
    await rig.call(TPM2_NV_UndefineSpaceSpecial, { nvIndex: NV_INDEX, platform: TPM_RH.PLATFORM }, uses)
  }),
  scene(TPM2_NV_ReadPublic, '', async (rig) => {
    await defineNv(rig)
    await rig.call(TPM2_NV_ReadPublic, { nvIndex: NV_INDEX })
  }),
  scene(TPM2_NV_ChangeAuth, '', async (rig) => {
    const { authPolicy, session } = await only(rig, TPM_CC.NV_ChangeAuth)
    await defineNv(rig, { authPolicy })
    await rig.call(TPM2_NV_ChangeAuth, { nvIndex: NV_INDEX, newAuth: AUTH }, [(await session()).use()])
  }),
]

const STCLEAR = TPMA_NV.WRITE_STCLEAR | TPMA_NV.READ_STCLEAR

/** A PIN index that was written: its authValue is AUTH, and counts. */
async function pin(rig: Rig, type: number): Promise<void> {
  const attributes =
    TPMA_NV.OWNERWRITE | TPMA_NV.OWNERREAD | TPMA_NV.AUTHREAD | TPMA_NV.NO_DA | nvTypeBits(type)
  await defineNv(rig, { attributes, auth: AUTH })
  const data = marshal(TPMS_NV_PIN_COUNTER_PARAMETERS, { pinCount: 0, pinLimit: 100_000 })
  await rig.call(TPM2_NV_Write, { ...OWNER, data, offset: 0 })
}

const NV_DATA: readonly Scene[] = [
  scene(TPM2_NV_Write, '', async (rig) => {
    await defineNv(rig)
    await rig.call(TPM2_NV_Write, { ...OWNER, data: EIGHT, offset: 0 })
  }),
  scene(TPM2_NV_Write, 'protected against guessing', async (rig) => {
    await defineNv(rig, { attributes: OWNER_NV & ~TPMA_NV.NO_DA, auth: AUTH })
    await rig.call(TPM2_NV_Write, { ...ITSELF, data: EIGHT, offset: 0 }, [passwordSession(AUTH)])
  }),
  scene(TPM2_NV_Increment, '', async (rig) => {
    await defineNv(rig, { attributes: OWNER_NV | nvTypeBits(TPM_NT.COUNTER) })
    await rig.call(TPM2_NV_Increment, OWNER)
  }),
  scene(TPM2_NV_Extend, '', async (rig) => {
    await defineNv(rig, { attributes: OWNER_NV | nvTypeBits(TPM_NT.EXTEND), dataSize: 32 })
    await rig.call(TPM2_NV_Extend, { ...ITSELF, data: EIGHT })
  }),
  scene(TPM2_NV_SetBits, '', async (rig) => {
    await defineNv(rig, { attributes: OWNER_NV | nvTypeBits(TPM_NT.BITS) })
    await rig.call(TPM2_NV_SetBits, { ...OWNER, bits: 0x8000_0000_0000_0005n })
  }),
  scene(TPM2_NV_WriteLock, '', async (rig) => {
    await defineNv(rig, { attributes: (OWNER_NV | STCLEAR) >>> 0 })
    await rig.call(TPM2_NV_WriteLock, OWNER)
  }),
  scene(TPM2_NV_GlobalWriteLock, '', async (rig) => {
    await defineNv(rig, { attributes: OWNER_NV | TPMA_NV.GLOBALLOCK })
    await rig.call(TPM2_NV_GlobalWriteLock, { authHandle: TPM_RH.OWNER })
  }),
  scene(TPM2_NV_Read, '', async (rig) => {
    await defineNv(rig)
    await rig.call(TPM2_NV_Write, { ...OWNER, data: EIGHT, offset: 0 })
    await rig.call(TPM2_NV_Read, { ...OWNER, size: 4, offset: 2 })
  }),
  ...[TPM_NT.PIN_FAIL, TPM_NT.PIN_PASS].map((type) =>
    scene(TPM2_NV_Read, type === TPM_NT.PIN_FAIL ? 'by a PIN_FAIL' : 'by a PIN_PASS', async (rig) => {
      await pin(rig, type)
      await rig.call(TPM2_NV_Read, { ...ITSELF, size: 8, offset: 0 }, [passwordSession(AUTH)])
    }),
  ),
  scene(TPM2_NV_ReadLock, '', async (rig) => {
    await defineNv(rig, { attributes: (OWNER_NV | STCLEAR) >>> 0 })
    await rig.call(TPM2_NV_ReadLock, OWNER)
  }),
  scene(
    TPM2_NV_Certify,
    '',
    async (rig) => {
      await defineNv(rig)
      await rig.call(TPM2_NV_Write, { ...OWNER, data: EIGHT, offset: 0 })
      const { objectHandle: signHandle } = await primary(rig, SIGNING)
      const about = { qualifyingData: utf8('nonce'), inScheme: { scheme: TPM_ALG.NULL }, size: 8, offset: 0 }
      await rig.call(TPM2_NV_Certify, { signHandle, ...OWNER, ...about })
    },
    { dear: true },
  ),
]

/** Scenes of this file. */
export const MANAGEMENT_SCENES: readonly Scene[] = [...HIERARCHIES, ...MANAGEMENT, ...NV_SPACE, ...NV_DATA]
