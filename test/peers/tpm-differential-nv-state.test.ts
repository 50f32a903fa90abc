// Counters, locks, PINs and attestation of NV indices: our TPM against swtpm, command by command.

import { describe, it } from 'vitest'
import {
  passwordSession,
  TPM2_HierarchyControl,
  TPM2_NV_Certify,
  TPM2_NV_ChangeAuth,
  TPM2_NV_Extend,
  TPM2_NV_GlobalWriteLock,
  TPM2_NV_Increment,
  TPM2_NV_Read,
  TPM2_NV_ReadLock,
  TPM2_NV_SetBits,
  TPM2_NV_UndefineSpaceSpecial,
  TPM2_NV_WriteLock,
  TPM2_Shutdown,
  TPM_ALG,
  TPM_NT,
  TPM_RH,
  TPM_SU,
  TPMA_NV,
} from '../../sdk/tpm2/index.ts'
import {
  BASE,
  both,
  bytes,
  define,
  INDEX,
  NONE,
  ofType,
  pw,
  read,
  showPublic,
  undefine,
  write,
} from './tpm-differential/nv-steps.ts'
import { sameOnBoth } from './tpm-differential/probe.ts'

describe('the state of NV indices as swtpm has it', () => {
  it('counters, bit fields and extended digests', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const increment = async (label: string, nvIndex = INDEX): Promise<void> => {
        await probe.try(label, TPM2_NV_Increment, { authHandle: nvIndex, nvIndex }, { sessions: [pw] })
      }
      await define(probe, 'counter', { attributes: ofType(TPM_NT.COUNTER), dataSize: 8 })
      await read(probe, 'before the first', 8)
      await increment('first')
      await read(probe, 'first', 8)
      await increment('second')
      await increment('third')
      await read(probe, 'third', 8)
      await write(probe, 'written', new Uint8Array(8))
      await undefine(probe, 'counter')
      await define(probe, 'next counter', { attributes: ofType(TPM_NT.COUNTER), dataSize: 8 })
      await increment('starts above')
      await read(probe, 'starts above', 8)
      await undefine(probe, 'next counter')
      await define(probe, 'bits', { attributes: ofType(TPM_NT.BITS), dataSize: 8 })
      await probe.try('bits', TPM2_NV_SetBits, { ...both, bits: 0x8000000000000001n }, { sessions: [pw] })
      await probe.try('more bits', TPM2_NV_SetBits, { ...both, bits: 0x10n }, { sessions: [pw] })
      await read(probe, 'bits', 8)
      await write(probe, 'written', new Uint8Array(8))
      await increment('bits')
      await undefine(probe, 'bits')
      await define(probe, 'extend', { attributes: ofType(TPM_NT.EXTEND), dataSize: 32 })
      await probe.try('extend', TPM2_NV_Extend, { ...both, data: bytes(1, 2, 3) }, { sessions: [pw] })
      await read(probe, 'extend', 32)
      await probe.try('extend', TPM2_NV_Extend, { ...both, data: NONE }, { sessions: [pw] })
      await read(probe, 'extend', 32)
      await write(probe, 'written', new Uint8Array(8))
    })
  })

  it('locks', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const lock = async (label: string, row: typeof TPM2_NV_WriteLock): Promise<void> => {
        await probe.try(label, row, both, { sessions: [pw] })
        await showPublic(probe, label)
      }
      const kinds = {
        none: 0,
        'until restart': TPMA_NV.WRITE_STCLEAR | TPMA_NV.READ_STCLEAR,
        'for good': TPMA_NV.WRITEDEFINE,
        'global until restart': TPMA_NV.GLOBALLOCK,
        'global for good': TPMA_NV.GLOBALLOCK | TPMA_NV.WRITEDEFINE,
        'cleared at startup': TPMA_NV.CLEAR_STCLEAR | TPMA_NV.WRITE_STCLEAR,
        orderly: TPMA_NV.ORDERLY | TPMA_NV.WRITE_STCLEAR,
      }
      for (const shutdown of [true, false]) {
        for (const [kind, more] of Object.entries(kinds)) {
          await define(probe, kind, { attributes: (BASE | more) >>> 0, dataSize: 4 })
          await lock(`${kind}, unwritten`, TPM2_NV_ReadLock)
          await write(probe, kind, bytes(1, 2, 3, 4))
          await lock(`${kind}, write`, TPM2_NV_WriteLock)
          await lock(`${kind}, read`, TPM2_NV_ReadLock)
          await probe.try(kind, TPM2_NV_GlobalWriteLock, { authHandle: TPM_RH.OWNER }, { sessions: [pw] })
          await showPublic(probe, `${kind}, globally`)
          await write(probe, `${kind}, locked`, bytes(1, 2, 3, 4))
          await read(probe, `${kind}, locked`, 4)
          await lock(`${kind}, write again`, TPM2_NV_WriteLock)
          await lock(`${kind}, read again`, TPM2_NV_ReadLock)
          if (shutdown) await probe.try(kind, TPM2_Shutdown, { shutdownType: TPM_SU.STATE })
          await probe.restart(shutdown ? TPM_SU.STATE : TPM_SU.CLEAR)
          await showPublic(probe, `${kind}, after a startup`)
          await probe.try(kind, TPM2_Shutdown, { shutdownType: TPM_SU.CLEAR })
          await probe.restart()
          await showPublic(probe, `${kind}, after a reset`)
          await read(probe, `${kind}, after a reset`, 4)
          await write(probe, `${kind}, after a reset`, bytes(5))
          await read(probe, `${kind}, after a write`, 4)
          await undefine(probe, kind)
        }
      }
    })
  })

  it('PIN indices', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const auth = bytes(1, 2, 3)
      for (const type of [TPM_NT.PIN_FAIL, TPM_NT.PIN_PASS]) {
        const attributes = ofType(type) & ~TPMA_NV.AUTHWRITE
        const label = `type ${String(type)}`
        const tryPin = async (what: string, pin: Uint8Array): Promise<void> => {
          const request = { ...both, size: 8, offset: 0 }
          await probe.try(`${label}, ${what}`, TPM2_NV_Read, request, { sessions: [passwordSession(pin)] })
          await read(probe, `${label}, ${what}`, 8, 0, TPM_RH.OWNER)
        }
        await define(probe, label, { attributes: attributes >>> 0, dataSize: 8, auth })
        await tryPin('unwritten', auth)
        await write(probe, label, bytes(0, 0, 0, 0, 0, 0, 0, 3), 0, TPM_RH.OWNER)
        await tryPin('right', auth)
        await tryPin('wrong', bytes(1))
        await tryPin('wrong', NONE)
        await tryPin('right', auth)
        await tryPin('wrong', bytes(1))
        await tryPin('wrong', bytes(1))
        await tryPin('wrong', bytes(1))
        await tryPin('right', auth)
        await write(probe, label, bytes(0, 0, 0, 0), 0, TPM_RH.OWNER)
        await tryPin('after a reset', auth)
        await undefine(probe, label)
      }
    })
  })

  it('what needs a policy, or the platform', async (context) => {
    await sameOnBoth(context, async (probe) => {
      await define(probe, 'owner', { attributes: BASE, dataSize: 4 })
      await probe.try(
        'new authValue',
        TPM2_NV_ChangeAuth,
        { nvIndex: INDEX, newAuth: bytes(1) },
        { sessions: [pw] },
      )
      await undefine(probe, 'owner')
      const attributes = BASE | TPMA_NV.PLATFORMCREATE | TPMA_NV.POLICY_DELETE
      const authPolicy = new Uint8Array(32)
      await define(probe, 'special', { attributes, authPolicy, dataSize: 4, authHandle: TPM_RH.PLATFORM })
      await undefine(probe, 'special', INDEX, TPM_RH.PLATFORM)
      const special = { nvIndex: INDEX, platform: TPM_RH.PLATFORM }
      await probe.try('special', TPM2_NV_UndefineSpaceSpecial, special, { sessions: [pw, pw] })
      const enable = TPM_RH.PLATFORM_NV
      const control = { authHandle: TPM_RH.PLATFORM, enable, state: false }
      await probe.try('hide', TPM2_HierarchyControl, control, { sessions: [pw] })
      await showPublic(probe, 'hidden')
      await define(probe, 'hidden', { attributes, authPolicy, dataSize: 4, authHandle: TPM_RH.PLATFORM })
      await probe.try('show', TPM2_HierarchyControl, { ...control, state: true }, { sessions: [pw] })
      await showPublic(probe, 'shown')
      const certify = {
        signHandle: TPM_RH.NULL,
        ...both,
        qualifyingData: bytes(1),
        inScheme: { scheme: TPM_ALG.NULL },
      }
      await probe.try('certify', TPM2_NV_Certify, { ...certify, size: 1, offset: 0 }, { sessions: [pw, pw] })
    })
  })

  it('attestation of NV data without a key', async (context) => {
    await sameOnBoth(context, async (probe) => {
      await define(probe, 'define', { attributes: BASE, dataSize: 8 })
      const inScheme = { scheme: TPM_ALG.NULL } as const
      const certify = async (
        label: string,
        size: number,
        offset: number,
        authHandle: number = INDEX,
      ): Promise<void> => {
        const request = {
          signHandle: TPM_RH.NULL,
          authHandle,
          nvIndex: INDEX,
          qualifyingData: bytes(1),
          inScheme,
          size,
          offset,
        }
        const response = await probe.try(label, TPM2_NV_Certify, request, { sessions: [pw, pw] })
        probe.show(label, response?.certifyInfo.subarray(0, 6))
        probe.show(label, response?.certifyInfo.length)
      }
      await certify('unwritten', 8, 0)
      await write(probe, 'write', bytes(1, 2, 3, 4, 5, 6, 7, 8))
      await certify('all', 8, 0)
      await certify('part', 3, 5)
      await certify('nothing at an offset', 0, 8)
      await certify('digest', 0, 0)
      await certify('beyond', 8, 1)
      await certify('far beyond', 0, 9)
      await certify('by the owner', 8, 0, TPM_RH.OWNER)
      await certify('too much', 2000, 0)
    })
  })
})
