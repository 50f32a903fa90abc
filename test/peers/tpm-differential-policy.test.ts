// Policy assertions: our TPM against swtpm, command by command, digest by digest.

import { describe, it } from 'vitest'
import {
  selectPcrs,
  TPM2_NV_Write,
  TPM2_PCR_Extend,
  TPM2_PolicyAuthorizeNV,
  TPM2_PolicyAuthValue,
  TPM2_PolicyCommandCode,
  TPM2_PolicyCounterTimer,
  TPM2_PolicyCpHash,
  TPM2_PolicyDuplicationSelect,
  TPM2_PolicyLocality,
  TPM2_PolicyNameHash,
  TPM2_PolicyNV,
  TPM2_PolicyNvWritten,
  TPM2_PolicyOR,
  TPM2_PolicyPassword,
  TPM2_PolicyPCR,
  TPM2_PolicyPhysicalPresence,
  TPM2_PolicyRestart,
  TPM2_PolicyTemplate,
  TPM_ALG,
  TPM_CC,
  TPM_EO,
  TPM_RH,
} from '../../sdk/tpm2/index.ts'
import {
  byOwner,
  bytes,
  define,
  HASHES,
  inSessions,
  NONE,
  OWNER,
  pw,
  sha256,
  showDigest,
  SIZES,
} from './tpm-differential/policy-steps.ts'
import { sameOnBoth } from './tpm-differential/probe.ts'

describe('policy digests and refusals as swtpm has them', () => {
  it('assertions without conditions', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const work = async (policySession: number, label: string): Promise<void> => {
        const size = SIZES[label.split(' ')[0] ?? ''] ?? 0
        const digest = new Uint8Array(size).fill(3)
        await probe.try(label, TPM2_PolicyAuthValue, { policySession })
        await showDigest(probe, label, policySession)
        await probe.try(label, TPM2_PolicyPassword, { policySession })
        await probe.try(label, TPM2_PolicyPhysicalPresence, { policySession })
        await probe.try(label, TPM2_PolicyNvWritten, { policySession, writtenSet: true })
        await probe.try(label, TPM2_PolicyNvWritten, { policySession, writtenSet: true })
        await probe.try(label, TPM2_PolicyNvWritten, { policySession, writtenSet: false })
        await showDigest(probe, label, policySession)
        await probe.try(label, TPM2_PolicyCommandCode, { policySession, code: 0x1000 })
        await probe.try(label, TPM2_PolicyCommandCode, { policySession, code: TPM_CC.NV_Read })
        await probe.try(label, TPM2_PolicyCommandCode, { policySession, code: TPM_CC.NV_Read })
        await probe.try(label, TPM2_PolicyCommandCode, { policySession, code: TPM_CC.NV_Write })
        await showDigest(probe, label, policySession)
        await probe.try(label, TPM2_PolicyCpHash, { policySession, cpHashA: digest.subarray(1) })
        await probe.try(label, TPM2_PolicyCpHash, { policySession, cpHashA: digest })
        await probe.try(label, TPM2_PolicyCpHash, { policySession, cpHashA: digest })
        await probe.try(label, TPM2_PolicyCpHash, { policySession, cpHashA: new Uint8Array(size) })
        await probe.try(label, TPM2_PolicyNameHash, { policySession, nameHash: digest })
        await probe.try(label, TPM2_PolicyTemplate, { policySession, templateHash: new Uint8Array(size) })
        await showDigest(probe, label, policySession)
        await probe.try(label, TPM2_PolicyRestart, { sessionHandle: policySession })
        await showDigest(probe, label, policySession)
        await probe.try(label, TPM2_PolicyNameHash, { policySession, nameHash: NONE })
        await probe.try(label, TPM2_PolicyNameHash, { policySession, nameHash: digest })
        await probe.try(label, TPM2_PolicyNameHash, { policySession, nameHash: digest })
        await probe.try(label, TPM2_PolicyRestart, { sessionHandle: policySession })
        await probe.try(label, TPM2_PolicyTemplate, { policySession, templateHash: NONE })
        await probe.try(label, TPM2_PolicyTemplate, { policySession, templateHash: digest })
        await probe.try(label, TPM2_PolicyTemplate, { policySession, templateHash: digest })
        await probe.try(label, TPM2_PolicyTemplate, { policySession, templateHash: new Uint8Array(size) })
      }
      await inSessions(probe, work, [false, true], HASHES)
    })
  })

  it('duplication', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const names = { objectName: new Uint8Array(34).fill(1), newParentName: new Uint8Array(34).fill(2) }
      for (const includeObject of [true, false]) {
        await inSessions(probe, async (policySession, label) => {
          const request = { policySession, ...names, includeObject }
          await probe.try(label, TPM2_PolicyDuplicationSelect, request)
          await probe.try(label, TPM2_PolicyDuplicationSelect, request)
          await probe.try(label, TPM2_PolicyCommandCode, { policySession, code: TPM_CC.Duplicate })
          await probe.try(label, TPM2_PolicyCommandCode, { policySession, code: TPM_CC.Create })
          await probe.try(label, TPM2_PolicyNameHash, { policySession, nameHash: new Uint8Array(32) })
          await probe.try(label, TPM2_PolicyRestart, { sessionHandle: policySession })
          await probe.try(label, TPM2_PolicyCommandCode, { policySession, code: TPM_CC.Duplicate })
          await probe.try(label, TPM2_PolicyDuplicationSelect, request)
        })
      }
    })
  })

  it('branches', async (context) => {
    await sameOnBoth(context, async (probe) => {
      await inSessions(probe, async (policySession, label) => {
        const or = async (pHashList: readonly Uint8Array[]): Promise<void> => {
          await probe.try(`${label}, ${String(pHashList.length)}`, TPM2_PolicyOR, {
            policySession,
            pHashList,
          })
        }
        const [here, other] = [new Uint8Array(32), new Uint8Array(32).fill(1)]
        await or([other, other])
        await showDigest(probe, label, policySession)
        await or([here])
        await or([other, here])
        await showDigest(probe, label, policySession)
        await probe.try(label, TPM2_PolicyRestart, { sessionHandle: policySession })
        await or(Array.from({ length: 8 }, (_, index) => (index === 7 ? here : other)))
        await or([NONE, bytes(1)])
      })
    })
  })

  it('PCRs', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const digests = [{ hashAlg: TPM_ALG.SHA256, digest: new Uint8Array(32).fill(5) }]
      const extend = async (pcrHandle: number): Promise<void> => {
        await probe.try('extend', TPM2_PCR_Extend, { pcrHandle, digests }, { sessions: [pw] })
      }
      await extend(1)
      await inSessions(probe, async (policySession, label) => {
        const pcr = async (
          what: string,
          pcrDigest: Uint8Array,
          ...pcrs: readonly { hash: number; pcrSelect: Uint8Array }[]
        ): Promise<void> => {
          await probe.try(`${label}, ${what}`, TPM2_PolicyPCR, { policySession, pcrDigest, pcrs })
          await showDigest(probe, `${label}, ${what}`, policySession)
        }
        await pcr('now', NONE, selectPcrs(TPM_ALG.SHA256, [0, 1, 7]))
        await pcr('wrong', new Uint8Array(32), selectPcrs(TPM_ALG.SHA256, [0]))
        await pcr('right', sha256(new Uint8Array(64)), selectPcrs(TPM_ALG.SHA256, [2, 3]))
        await pcr('banks', NONE, selectPcrs(TPM_ALG.SHA1, [0, 23]), selectPcrs(TPM_ALG.SHA384, [17]))
        await pcr('none', NONE, selectPcrs(TPM_ALG.SHA256, []))
        await pcr('no bank', NONE)
        await pcr('short map', NONE, { hash: TPM_ALG.SHA256, pcrSelect: bytes(1, 0) })
        await pcr('long map', NONE, { hash: TPM_ALG.SHA256, pcrSelect: bytes(1, 0, 0, 1) })
        await pcr('no hash', NONE, { hash: TPM_ALG.AES, pcrSelect: bytes(1, 0, 0) })
        await pcr('five banks', NONE, ...Array.from({ length: 5 }, () => selectPcrs(TPM_ALG.SHA256, [0])))
        await extend(16)
        await pcr('after one that does not count', NONE, selectPcrs(TPM_ALG.SHA256, [16]))
        await extend(2)
        await pcr('after a change', NONE, selectPcrs(TPM_ALG.SHA256, [2]))
        await probe.try(label, TPM2_PolicyRestart, { sessionHandle: policySession })
        await pcr('after a restart', NONE, selectPcrs(TPM_ALG.SHA256, [2]))
      })
    })
  })

  it('localities', async (context) => {
    await sameOnBoth(context, async (probe) => {
      for (const sequence of [
        [0],
        [1, 1],
        [3, 1, 2],
        [31, 4],
        [31, 32],
        [32, 32],
        [32, 33],
        [255, 1],
        [33, 255],
        [5, 24],
      ]) {
        await inSessions(probe, async (policySession, label) => {
          for (const locality of sequence) {
            await probe.try(`${label}, ${String(locality)}`, TPM2_PolicyLocality, { policySession, locality })
          }
        })
      }
    })
  })

  it('comparisons with NV data', async (context) => {
    await sameOnBoth(context, async (probe) => {
      await define(probe, OWNER, NONE)
      const request = { ...byOwner, operandB: bytes(0x80), offset: 0, operation: TPM_EO.EQ }
      const nv = async (
        policySession: number,
        label: string,
        operandB: Uint8Array,
        offset: number,
        operation: number,
      ): Promise<void> => {
        const comparison = { ...byOwner, policySession, operandB, offset, operation }
        const what = `${label}, ${String(operandB[0])} at ${String(offset)} by ${String(operation)}`
        await probe.try(what, TPM2_PolicyNV, comparison, { sessions: [pw] })
        await showDigest(probe, what, policySession)
      }
      await inSessions(probe, async (policySession, label) => {
        await probe.try(
          `${label}, unwritten`,
          TPM2_PolicyNV,
          { ...request, policySession },
          { sessions: [pw] },
        )
      })
      const data = bytes(0x80, 1, 2, 3, 0x7f, 5, 6, 7)
      await probe.try('write', TPM2_NV_Write, { ...byOwner, data, offset: 0 }, { sessions: [pw] })
      await inSessions(probe, async (policySession, label) => {
        for (const operation of Object.values(TPM_EO)) {
          for (const operandB of [bytes(0x80), bytes(0x81), bytes(0x7f), bytes(0)]) {
            await nv(policySession, label, operandB, 0, operation)
          }
          for (const operandB of [bytes(2, 3), bytes(2, 4), bytes(1, 0xff), bytes(3, 4), NONE]) {
            await nv(policySession, label, operandB, 2, operation)
          }
        }
        await nv(policySession, label, data, 0, TPM_EO.EQ)
        await nv(policySession, label, bytes(7), 7, TPM_EO.EQ)
        await nv(policySession, label, bytes(7, 7), 7, TPM_EO.EQ)
        await nv(policySession, label, NONE, 8, TPM_EO.EQ)
        await nv(policySession, label, NONE, 9, TPM_EO.EQ)
        const other = { ...request, authHandle: TPM_RH.PLATFORM, policySession }
        await probe.try(`${label}, by the platform`, TPM2_PolicyNV, other, { sessions: [pw] })
        await probe.try(`${label}, by nobody`, TPM2_PolicyNV, { ...request, policySession })
      })
    })
  })

  it('comparisons with the clock', async (context) => {
    await sameOnBoth(context, async (probe) => {
      await inSessions(probe, async (policySession, label) => {
        const time = async (operandB: Uint8Array, offset: number, operation: number): Promise<void> => {
          const what = `${label}, ${String(operandB.length)} at ${String(offset)} by ${String(operation)}`
          await probe.try(what, TPM2_PolicyCounterTimer, { policySession, operandB, offset, operation })
        }
        await time(new Uint8Array(8), 0, TPM_EO.UNSIGNED_GE)
        await time(new Uint8Array(8).fill(0x7f), 8, TPM_EO.UNSIGNED_LT)
        await time(new Uint8Array(8).fill(0x7f), 8, TPM_EO.UNSIGNED_GT)
        await time(bytes(0, 0, 0, 0), 20, TPM_EO.EQ)
        await time(bytes(1), 24, TPM_EO.EQ)
        await time(bytes(1, 1), 24, TPM_EO.EQ)
        await time(NONE, 25, TPM_EO.EQ)
        await time(NONE, 26, TPM_EO.EQ)
        await time(bytes(1), 25, TPM_EO.EQ)
      })
    })
  })

  it('an authority that writes to an NV index', async (context) => {
    await sameOnBoth(context, async (probe) => {
      await define(probe, OWNER, NONE, 34)
      const attempt = async (label: string): Promise<void> => {
        await inSessions(probe, async (policySession, kind) => {
          await probe.try(kind, TPM2_PolicyAuthValue, { policySession })
          await probe.try(
            `${label}, ${kind}`,
            TPM2_PolicyAuthorizeNV,
            { ...byOwner, policySession },
            { sessions: [pw] },
          )
        })
      }
      const write = async (data: Uint8Array): Promise<void> => {
        await probe.try('write', TPM2_NV_Write, { ...byOwner, data, offset: 0 }, { sessions: [pw] })
      }
      await attempt('unwritten')
      const policy = sha256(new Uint8Array(32), bytes(0, 0, 1, 0x6b))
      await write(bytes(0, TPM_ALG.SHA256, ...policy))
      await attempt('right')
      await write(bytes(0, TPM_ALG.SHA256, ...new Uint8Array(32)))
      await attempt('another policy')
      await write(bytes(0, TPM_ALG.SHA1, ...policy))
      await attempt('another hash')
      await write(bytes(0, TPM_ALG.SHA512, ...policy))
      await attempt('too short')
      await write(bytes(0, TPM_ALG.AES))
      await attempt('no hash')
    })
  })
})
