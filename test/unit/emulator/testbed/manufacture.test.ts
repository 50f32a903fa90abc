// EK certificates for a TPM in process, as a user of the package gets them: through its published subpaths alone.

import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { manufactureTpm } from 'palimpsest/testing'
import { Tpm } from 'palimpsest/tpm'
import {
  baseCode,
  passwordSession,
  publicKeyOf,
  TPM2_HierarchyChangeAuth,
  TPM2_NV_Read,
  TPM2_NV_ReadPublic,
  TPM2_NV_Write,
  TPM2_ReadPublic,
  TPM2_Startup,
  TPM_RC,
  TPM_RH,
  TPM_SU,
  TpmClient,
  TpmResponseError,
} from 'palimpsest/tpm2'

/** Where TCG's profile has certificates, and where the EKs are. */
const PLACES = [
  { kind: 'RSA 2048', nvIndex: 0x01c00002, handle: 0x81010001 },
  { kind: 'P-256', nvIndex: 0x01c0000a, handle: 0x81010002 },
]

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manufacture-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true })
})

async function started(tpm: Tpm): Promise<TpmClient> {
  tpm.powerOn()
  const client = new TpmClient({ send: (command) => tpm.execute(command) })
  await client.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
  return client
}

async function certificateAt(client: TpmClient, nvIndex: number): Promise<Buffer> {
  const { nvPublic } = await client.call(TPM2_NV_ReadPublic, { nvIndex })
  const parts: Uint8Array[] = []
  for (let offset = 0; offset < nvPublic.dataSize; offset += 512) {
    const size = Math.min(512, nvPublic.dataSize - offset)
    const request = { authHandle: TPM_RH.OWNER, nvIndex, size, offset }
    const { data } = await client.call(TPM2_NV_Read, request, { sessions: [passwordSession()] })
    parts.push(data)
  }
  return Buffer.concat(parts)
}

/** How a call was refused, without what it points at. */
async function refusal(call: Promise<unknown>): Promise<number> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof TpmResponseError) return baseCode(error.rc)
  throw new Error('expected a refusal', { cause: error })
}

function rootOf(name: string): X509Certificate {
  return new X509Certificate(readFileSync(join(folder, name, 'root.pem')))
}

describe('a TPM in process that its manufacturer has certified', () => {
  it('has certificates of both EKs in NV memory, which that root signed and another did not', async () => {
    const tpm = new Tpm()
    manufactureTpm(tpm, join(folder, 'maker'))
    manufactureTpm(new Tpm(), join(folder, 'other'))
    expect(tpm.powered).toBe(false)
    const client = await started(tpm)
    for (const { kind, nvIndex, handle } of PLACES) {
      const certificate = new X509Certificate(await certificateAt(client, nvIndex))
      expect(certificate.verify(rootOf('maker').publicKey), kind).toBe(true)
      expect(certificate.verify(rootOf('other').publicKey), kind).toBe(false)
      const { outPublic } = await client.call(TPM2_ReadPublic, { objectHandle: handle })
      expect(certificate.publicKey.equals(publicKeyOf(outPublic)), kind).toBe(true)
      const request = { authHandle: TPM_RH.PLATFORM, nvIndex, data: Uint8Array.of(1), offset: 0 }
      const write = client.call(TPM2_NV_Write, request, { sessions: [passwordSession()] })
      expect(await refusal(write), kind).toBe(TPM_RC.NV_LOCKED)
    }
  })

  it('keeps what it has when it is certified again; one that was not has none', async () => {
    const tpm = new Tpm()
    const bare = await started(tpm)
    const [{ nvIndex }] = PLACES as [(typeof PLACES)[number]]
    expect(await refusal(certificateAt(bare, nvIndex))).toBe(TPM_RC.HANDLE)
    tpm.powerOff()
    const found: Buffer[] = []
    for (let times = 0; times < 2; times += 1) {
      manufactureTpm(tpm, join(folder, 'maker'))
      found.push(await certificateAt(await started(tpm), nvIndex))
      tpm.powerOff()
    }
    expect(found[0]?.equals(found[1] ?? Buffer.alloc(0))).toBe(true)
  })

  it('is left off and as it is when its owner does not let the EKs be made', async () => {
    const tpm = new Tpm()
    const client = await started(tpm)
    const request = { authHandle: TPM_RH.ENDORSEMENT, newAuth: Uint8Array.of(1) }
    await client.call(TPM2_HierarchyChangeAuth, request, { sessions: [passwordSession()] })
    tpm.powerOff()
    expect(() => {
      manufactureTpm(tpm, join(folder, 'maker'))
    }).toThrow(TpmResponseError)
    expect(tpm.powered).toBe(false)
    const again = await started(tpm)
    for (const { nvIndex } of PLACES) {
      expect(await refusal(certificateAt(again, nvIndex))).toBe(TPM_RC.HANDLE)
    }
  })
})
