// Defining, reading and writing NV indices: our TPM against swtpm, command by command.

import { describe, it } from 'vitest'
import {
  passwordSession,
  TPM2_NV_Extend,
  TPM2_NV_Increment,
  TPM2_NV_ReadLock,
  TPM2_NV_SetBits,
  TPM2_NV_Write,
  TPM2_NV_WriteLock,
  TPM_ALG,
  TPM_NT,
  TPM_RH,
  TPMA_NV,
} from '../../sdk/tpm2/index.ts'
import {
  BASE,
  both,
  bytes,
  define,
  type Definition,
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

describe('NV indices as swtpm has them', () => {
  it('definitions and their refusals', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const cases: Record<string, Definition> = {
        ordinary: { attributes: BASE, dataSize: 16 },
        empty: { attributes: BASE, dataSize: 0 },
        largest: { attributes: BASE, dataSize: 2048 },
        'too large': { attributes: BASE, dataSize: 2049 },
        'too large to be written whole': { attributes: BASE | TPMA_NV.WRITEALL, dataSize: 1025 },
        'just written whole': { attributes: BASE | TPMA_NV.WRITEALL, dataSize: 1024 },
        'policy of another size': { attributes: BASE, dataSize: 8, authPolicy: new Uint8Array(20) },
        'policy of its size': { attributes: BASE, dataSize: 8, authPolicy: new Uint8Array(32) },
        'long authValue': { attributes: BASE, dataSize: 8, auth: new Uint8Array(33).fill(1) },
        'authValue with zeros': { attributes: BASE, dataSize: 8, auth: new Uint8Array(40) },
        'SHA-1 as its hash': { attributes: BASE, dataSize: 8, nameAlg: TPM_ALG.SHA1 },
        counter: { attributes: ofType(TPM_NT.COUNTER), dataSize: 8 },
        'long counter': { attributes: ofType(TPM_NT.COUNTER), dataSize: 9 },
        'counter cleared at startup': {
          attributes: ofType(TPM_NT.COUNTER, TPMA_NV.CLEAR_STCLEAR),
          dataSize: 8,
        },
        bits: { attributes: ofType(TPM_NT.BITS), dataSize: 8 },
        'short bits': { attributes: ofType(TPM_NT.BITS), dataSize: 4 },
        extend: { attributes: ofType(TPM_NT.EXTEND), dataSize: 32 },
        'short extend': { attributes: ofType(TPM_NT.EXTEND), dataSize: 20 },
        'type 3': { attributes: ofType(3), dataSize: 8 },
        'type 15': { attributes: ofType(15), dataSize: 8 },
        'PIN_FAIL with AUTHWRITE': { attributes: ofType(TPM_NT.PIN_FAIL), dataSize: 8 },
        PIN_FAIL: { attributes: ofType(TPM_NT.PIN_FAIL) & ~TPMA_NV.AUTHWRITE, dataSize: 8 },
        'PIN_FAIL without NO_DA': {
          attributes: ofType(TPM_NT.PIN_FAIL) & ~TPMA_NV.AUTHWRITE & ~TPMA_NV.NO_DA,
          dataSize: 8,
        },
        PIN_PASS: { attributes: ofType(TPM_NT.PIN_PASS) & ~TPMA_NV.AUTHWRITE & ~TPMA_NV.NO_DA, dataSize: 8 },
        'PIN_PASS with GLOBALLOCK': {
          attributes: (ofType(TPM_NT.PIN_PASS) & ~TPMA_NV.AUTHWRITE) | TPMA_NV.GLOBALLOCK,
          dataSize: 8,
        },
        'PIN_PASS with WRITEDEFINE': {
          attributes: (ofType(TPM_NT.PIN_PASS) & ~TPMA_NV.AUTHWRITE) | TPMA_NV.WRITEDEFINE,
          dataSize: 8,
        },
        written: { attributes: BASE | TPMA_NV.WRITTEN, dataSize: 8 },
        'locked for writing': { attributes: BASE | TPMA_NV.WRITELOCKED, dataSize: 8 },
        'locked for reading': { attributes: BASE | TPMA_NV.READLOCKED, dataSize: 8 },
        unreadable: { attributes: TPMA_NV.OWNERWRITE, dataSize: 8 },
        unwritable: { attributes: TPMA_NV.OWNERREAD, dataSize: 8 },
        'cleared and defined': {
          attributes: BASE | TPMA_NV.CLEAR_STCLEAR | TPMA_NV.WRITEDEFINE,
          dataSize: 8,
        },
        'the platform by the owner': { attributes: BASE | TPMA_NV.PLATFORMCREATE, dataSize: 8 },
        'the owner by the platform': { attributes: BASE, dataSize: 8, authHandle: TPM_RH.PLATFORM },
        'POLICY_DELETE by the owner': { attributes: BASE | TPMA_NV.POLICY_DELETE, dataSize: 8 },
        orderly: { attributes: BASE | TPMA_NV.ORDERLY, dataSize: 8 },
        'all locks': {
          attributes:
            (BASE |
              TPMA_NV.WRITE_STCLEAR |
              TPMA_NV.WRITEDEFINE |
              TPMA_NV.GLOBALLOCK |
              TPMA_NV.READ_STCLEAR) >>>
            0,
          dataSize: 8,
        },
      }
      for (const [label, definition] of Object.entries(cases)) {
        await define(probe, label, { ...definition, attributes: definition.attributes >>> 0 })
        await showPublic(probe, label)
        await undefine(probe, label)
      }
      await define(probe, 'once', { attributes: BASE, dataSize: 8 })
      await define(probe, 'twice', { attributes: BASE, dataSize: 8 })
      await define(probe, 'by the platform', {
        nvIndex: INDEX + 1,
        authHandle: TPM_RH.PLATFORM,
        attributes: BASE | TPMA_NV.PLATFORMCREATE,
        dataSize: 8,
      })
      await undefine(probe, "the platform's by the owner", INDEX + 1)
      await undefine(probe, "the owner's by the platform", INDEX, TPM_RH.PLATFORM)
      await undefine(probe, 'none', INDEX, TPM_RH.OWNER)
      await undefine(probe, "the platform's by the platform", INDEX + 1, TPM_RH.PLATFORM)
    })
  })

  it('reading and writing ranges', async (context) => {
    await sameOnBoth(context, async (probe) => {
      await define(probe, 'define', { attributes: BASE, dataSize: 16 })
      await read(probe, 'unwritten', 8)
      await write(probe, 'part of an unwritten index', bytes(1, 2, 3), 4)
      await showPublic(probe, 'written')
      await read(probe, 'all', 16)
      await read(probe, 'none', 0, 16)
      await read(probe, 'beyond', 1, 16)
      await read(probe, 'offset beyond', 0, 17)
      await read(probe, 'too much', 1025)
      await write(probe, 'at the end', bytes(9), 15)
      await write(probe, 'over the end', bytes(9, 9), 15)
      await write(probe, 'offset over the end', NONE, 17)
      await write(probe, 'nothing', NONE, 16)
      await read(probe, 'after', 16)
      await write(probe, 'by the owner', bytes(7), 0, TPM_RH.OWNER)
      await write(probe, 'by the platform', bytes(8), 1, TPM_RH.PLATFORM)
      await read(probe, 'by the owner', 4, 0, TPM_RH.OWNER)
      await probe.try('increment', TPM2_NV_Increment, both, { sessions: [pw] })
      await probe.try('extend', TPM2_NV_Extend, { ...both, data: bytes(1) }, { sessions: [pw] })
      await probe.try('set bits', TPM2_NV_SetBits, { ...both, bits: 1n }, { sessions: [pw] })
      await undefine(probe, 'undefine')
      await define(probe, 'whole', { attributes: BASE | TPMA_NV.WRITEALL, dataSize: 4 })
      await write(probe, 'a part', bytes(1, 2), 0)
      await write(probe, 'a part at an offset', bytes(1, 2), 2)
      await write(probe, 'all', bytes(1, 2, 3, 4), 0)
      await read(probe, 'all', 4)
      await undefine(probe, 'undefine')
      await define(probe, 'orderly', { attributes: BASE | TPMA_NV.ORDERLY, dataSize: 4 })
      await write(probe, 'a part', bytes(1), 1)
      await read(probe, 'all', 4)
    })
  })

  it('who may read and write', async (context) => {
    await sameOnBoth(context, async (probe) => {
      const cases = {
        owner: TPMA_NV.OWNERREAD | TPMA_NV.OWNERWRITE,
        platform: TPMA_NV.PPREAD | TPMA_NV.PPWRITE,
        index: TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE,
        policy: TPMA_NV.POLICYREAD | TPMA_NV.POLICYWRITE,
        'owner writes, index reads': TPMA_NV.OWNERWRITE | TPMA_NV.AUTHREAD,
      }
      for (const [label, attributes] of Object.entries(cases)) {
        await define(probe, label, { attributes: attributes | TPMA_NV.NO_DA, dataSize: 4 })
        for (const authHandle of [TPM_RH.OWNER, TPM_RH.PLATFORM, INDEX]) {
          const by = `${label}, by 0x${authHandle.toString(16)}`
          await write(probe, by, bytes(1, 2, 3, 4), 0, authHandle)
          await read(probe, by, 4, 0, authHandle)
          const request = { authHandle, nvIndex: INDEX }
          await probe.try(by, TPM2_NV_WriteLock, request, { sessions: [pw] })
          await probe.try(by, TPM2_NV_ReadLock, request, { sessions: [pw] })
        }
        await undefine(probe, label)
      }
      await define(probe, 'one', { attributes: BASE, dataSize: 4 })
      await define(probe, 'other', { attributes: BASE, dataSize: 4, nvIndex: INDEX + 1 })
      await write(probe, 'by another index', bytes(1), 0, INDEX + 1)
      await probe.try(
        'wrong authValue',
        TPM2_NV_Write,
        { ...both, data: bytes(1), offset: 0 },
        { sessions: [passwordSession(bytes(1))] },
      )
      await probe.try('no authorization', TPM2_NV_Write, { ...both, data: bytes(1), offset: 0 })
      await probe.try(
        'no index',
        TPM2_NV_Write,
        { authHandle: TPM_RH.OWNER, nvIndex: INDEX + 2, data: bytes(1), offset: 0 },
        { sessions: [pw] },
      )
    })
  })
})
