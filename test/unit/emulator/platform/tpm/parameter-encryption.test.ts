// Encrypted parameters at the edges: commands in a Buffer, and sizes that no parameter has.
// Source: TPM 2.0 Library, Part 1, clause 21 (session-based encryption), revision 1.59.

import { expect, it } from 'vitest'
import { Tpm } from '../../../../../emulator/platform/tpm/index.ts'
import {
  startHmacSession,
  TPM2_GetRandom,
  TPM2_Hash,
  TPM2_Startup,
  TPM_ALG,
  TPM_CC,
  TPM_RC,
  TPM_RH,
  TPM_ST,
  TPM_SU,
  TPMA_SESSION,
  TpmClient,
  Writer,
} from '../../../../../sdk/tpm2/index.ts'
import { responseCode, utf8 } from './powered.ts'

const CIPHERS = [
  { name: 'AES-CFB', symmetric: { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB } },
  { name: 'XOR', symmetric: { algorithm: TPM_ALG.XOR, hashAlg: TPM_ALG.SHA256 } },
] as const

async function started(send: (tpm: Tpm, command: Uint8Array) => Uint8Array) {
  const tpm = new Tpm()
  tpm.powerOn()
  const client = new TpmClient({ send: (command) => send(tpm, command) })
  await client.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
  return { tpm, client }
}

it.each(CIPHERS)(
  '$name: a command in a Buffer is decrypted as any, and left as it is',
  async ({ symmetric }) => {
    const { client } = await started((tpm, command) => {
      const pooled = Buffer.concat([Buffer.from('before'), command, Buffer.from('after')])
      const response = tpm.execute(pooled.subarray(6, 6 + command.length))
      expect(pooled.subarray(6, 6 + command.length).equals(command)).toBe(true)
      return response
    })
    const session = await startHmacSession(client, { symmetric })
    const request = { data: utf8('data'), hashAlg: TPM_ALG.SHA256, hierarchy: TPM_RH.NULL }
    const plain = await client.call(TPM2_Hash, request)
    const sessions = [session.use({ decrypt: true })]
    expect((await client.call(TPM2_Hash, request, { sessions })).outHash).toEqual(plain.outHash)
  },
)

/** TPM2_Hash of `size` bytes that a session without a key is to decrypt. */
function hashCommand(sessionHandle: number, size: number): Uint8Array {
  const writer = new Writer()
  writer.uint16(TPM_ST.SESSIONS)
  writer.uint32(10 + 4 + 25 + 2 + size + 6)
  writer.uint32(TPM_CC.Hash)
  writer.uint32(25)
  writer.uint32(sessionHandle)
  writer.uint16(16)
  writer.bytes(new Uint8Array(16))
  writer.uint8(TPMA_SESSION.continueSession | TPMA_SESSION.decrypt)
  writer.uint16(0)
  writer.uint16(size)
  writer.bytes(new Uint8Array(size))
  writer.uint16(TPM_ALG.SHA256)
  writer.uint32(TPM_RH.NULL)
  return writer.finish()
}

it.each(CIPHERS)(
  '$name: more than a parameter has is a wrong size, not a failure; as much as it has is taken',
  async ({ symmetric }) => {
    const { tpm, client } = await started((one, command) => one.execute(command))
    const { handle } = await startHmacSession(client, { symmetric })
    expect(responseCode(tpm.execute(hashCommand(handle, 1024)))).toBe(TPM_RC.SUCCESS)
    for (const size of [1025, 2048, 2049, 4000]) {
      expect(responseCode(tpm.execute(hashCommand(handle, size))), String(size)).toBe(TPM_RC.SIZE + 0x140)
    }
    expect((await client.call(TPM2_GetRandom, { bytesRequested: 8 })).randomBytes).toHaveLength(8)
  },
)
