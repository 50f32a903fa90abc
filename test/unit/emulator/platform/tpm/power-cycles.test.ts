// What must not survive a power cycle, and what must: promises about PCRs, startup localities, contexts and failure mode.
// Source: TPM 2.0 Library, Part 1, clauses 10.2.3 (startup) and 30.3 (contexts), and Part 3, clauses 9.3 and 9.4, r1.59.

import { expect, it } from 'vitest'
import { MemoryTpmStore, type StateKind } from '../../../../../emulator/platform/tpm/index.ts'
import {
  passwordSession,
  selectPcrs,
  startPolicyDirectly,
  TPM2_ContextLoad,
  TPM2_ContextSave,
  TPM2_Create,
  TPM2_GetCapability,
  TPM2_HierarchyChangeAuth,
  TPM2_Load,
  TPM2_PCR_Allocate,
  TPM2_PolicyGetDigest,
  TPM2_PolicyPCR,
  TPM2_Unseal,
  TPM_ALG,
  TPM_CAP,
  TPM_RC,
  TPM_RH,
  TPM_SU,
  TPMA_OBJECT,
} from '../../../../../sdk/tpm2/index.ts'
import { NONE, Powered, rcOf, responseCode, utf8 } from './powered.ts'

const pcrs = [selectPcrs(TPM_ALG.SHA256, [7])]

/** Data that opens while PCR 7 is as now, loaded; and how to open it with a policy session that is satisfied now. */
function sealed(p: Powered) {
  const execute = (command: Uint8Array): Uint8Array => p.tpm.execute(command)
  const satisfied = () => {
    const session = startPolicyDirectly(execute)
    p.call(TPM2_PolicyPCR, { policySession: session.handle, pcrDigest: NONE, pcrs })
    return session
  }
  const authPolicy = p.call(TPM2_PolicyGetDigest, { policySession: satisfied().handle }).policyDigest
  const parent = p.primary().objectHandle
  const { outPrivate, outPublic } = p.call(
    TPM2_Create,
    {
      parentHandle: parent,
      inSensitive: { userAuth: NONE, data: utf8('sealed') },
      inPublic: {
        type: TPM_ALG.KEYEDHASH,
        nameAlg: TPM_ALG.SHA256,
        objectAttributes: TPMA_OBJECT.fixedTPM | TPMA_OBJECT.fixedParent,
        authPolicy,
        parameters: { scheme: { scheme: TPM_ALG.NULL } },
        unique: NONE,
      },
      outsideInfo: NONE,
      creationPCR: [],
    },
    [passwordSession()],
  )
  const load = () =>
    p.call(
      TPM2_Load,
      { parentHandle: p.primary().objectHandle, inPrivate: outPrivate, inPublic: outPublic },
      [passwordSession()],
    ).objectHandle
  return { satisfied, load }
}

it('a satisfied PCR policy is worth nothing after a TPM Restart; before it, it is', () => {
  const p = Powered.started()
  p.extend(7)
  const { satisfied, load } = sealed(p)
  const unseal = (session: ReturnType<typeof satisfied>) =>
    p.call(TPM2_Unseal, { itemHandle: load() }, [session.use({ proof: 'policy' })]).outData
  expect(unseal(satisfied())).toEqual(utf8('sealed'))

  const session = satisfied()
  const { context } = p.call(TPM2_ContextSave, { saveHandle: session.handle })
  p.shutdown(TPM_SU.STATE)
  p.tpm.reset()
  p.startup()
  p.call(TPM2_ContextLoad, { context })
  expect(rcOf(() => unseal(session))).toBe(TPM_RC.PCR_CHANGED)
})

it('TPM2_Startup(STATE) is from the locality of the startup before; PCR 0 tells no other story', () => {
  for (const [before, after, rc] of [
    [3, 0, TPM_RC.LOCALITY],
    [0, 3, TPM_RC.LOCALITY],
    [3, 3, undefined],
  ] as const) {
    const p = new Powered()
    p.locality = before
    p.startup()
    p.shutdown(TPM_SU.STATE)
    p.tpm.reset()
    p.locality = after
    expect(
      rcOf(() => {
        p.startup(TPM_SU.STATE)
      }),
    ).toBe(rc)
  }
})

it('TPM2_Shutdown(STATE) is refused while new banks wait for a reset; TPM2_Shutdown(CLEAR) brings them', () => {
  const p = Powered.started()
  const pcrAllocation = [selectPcrs(TPM_ALG.SHA1, [])]
  p.call(TPM2_PCR_Allocate, { authHandle: TPM_RH.PLATFORM, pcrAllocation }, [passwordSession()])
  expect(
    rcOf(() => {
      p.shutdown(TPM_SU.STATE)
    }),
  ).toBe(TPM_RC.TYPE)
  p.shutdown()
  p.tpm.reset()
  p.startup()
  expect(p.pcr(0, TPM_ALG.SHA1)).toBe('')
  expect(p.pcr(0)).not.toBe('')
})

it('contexts of one number before and after a reset have nothing in common', () => {
  const p = Powered.started()
  const save = () => p.call(TPM2_ContextSave, { saveHandle: p.primary().objectHandle }).context
  const before = save()
  p.tpm.reset()
  p.startup()
  const after = save()
  expect(after.sequence).toBe(before.sequence)
  const integrity = 2 + 64
  expect(after.contextBlob.slice(integrity, integrity + 32)).not.toEqual(
    before.contextBlob.slice(integrity, integrity + 32),
  )
  expect(rcOf(() => p.call(TPM2_ContextLoad, { context: before }))).toBe(TPM_RC.INTEGRITY)
  expect(rcOf(() => p.call(TPM2_ContextLoad, { context: after }))).toBeUndefined()
})

class BrokenOnce extends MemoryTpmStore {
  broken = false
  override save(kind: StateKind, state: Uint8Array | undefined): void {
    if (this.broken) {
      this.broken = false
      throw new Error('no space left')
    }
    super.save(kind, state)
  }
}

it('what was answered with TPM_RC_FAILURE is never stored, however long the TPM stays in failure mode', () => {
  const store = new BrokenOnce()
  const told: unknown[] = []
  let now = 0n
  const p = Powered.started({ store, now: () => now, onFailure: (error) => told.push(error) })
  store.broken = true
  const newAuth = utf8('new')
  const change = { authHandle: TPM_RH.OWNER, newAuth }
  expect(rcOf(() => p.call(TPM2_HierarchyChangeAuth, change, [passwordSession()]))).toBe(TPM_RC.FAILURE)
  expect(told).toEqual([new Error('no space left')])
  now += 3_600_000n
  p.call(TPM2_GetCapability, { capability: TPM_CAP.TPM_PROPERTIES, property: 0x100, propertyCount: 1 })
  p.tpm.reset()
  p.startup()
  expect(rcOf(() => p.call(TPM2_HierarchyChangeAuth, change, [passwordSession()]))).toBeUndefined()
})

it('failure mode goes with a TPM that is put aside; a power cycle ends it', () => {
  const p = Powered.started()
  p.tpm.enterFailureMode()
  p.tpm.putAside()
  p.tpm.reset()
  expect(rcOf(() => p.random())).toBe(TPM_RC.FAILURE)
  p.tpm.reset()
  p.startup()
  expect(p.random()).toHaveLength(16)
})

it('a damaged volatile state leaves the TPM without power, until it is gone', () => {
  const store = new MemoryTpmStore()
  const p = Powered.started({ store })
  p.tpm.powerOff()
  store.save('volatile', Uint8Array.of(1, 2, 3))
  expect(() => {
    p.tpm.powerOn()
  }).toThrow()
  expect(p.tpm.powered).toBe(false)
  expect(p.tpm.execute(Uint8Array.of())).toHaveLength(0)
  store.save('volatile', undefined)
  p.tpm.powerOn()
  expect(responseCode(p.tpm.execute(new Uint8Array(10)))).toBe(TPM_RC.BAD_TAG)
})
