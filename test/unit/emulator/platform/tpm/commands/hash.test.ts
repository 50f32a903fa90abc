// Sequences against node:crypto; also swapped out between two of their commands.

import { createHash, createHmac } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import {
  passwordSession,
  selectPcrs,
  startHmacSession,
  TPM2_ContextLoad,
  TPM2_ContextSave,
  TPM2_EventSequenceComplete,
  TPM2_HashSequenceStart,
  TPM2_HMAC_Start,
  TPM2_PCR_Read,
  TPM2_SequenceComplete,
  TPM2_SequenceUpdate,
  TPM2_Sign,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  type TpmClient,
} from '../../../../../../sdk/tpm2/index.ts'
import {
  atHandle,
  atParameter,
  flush,
  loadKeyedHash,
  NONE,
  primaryAk,
  PW,
  refusal,
  rig,
  SIGN,
  utf8,
} from './crypto-rig.ts'

const auth = { sessions: [PW] }
const two = { sessions: [PW, PW] }
const HASHES = [
  ['sha1', TPM_ALG.SHA1],
  ['sha256', TPM_ALG.SHA256],
  ['sha384', TPM_ALG.SHA384],
  ['sha512', TPM_ALG.SHA512],
] as const
const MAGIC = Uint8Array.of(0xff, 0x54, 0x43, 0x47)

let client: TpmClient
beforeEach(async () => {
  ;({ client } = await rig())
})

async function complete(hashAlg: number, parts: readonly Uint8Array[], hierarchy: number = TPM_RH.NULL) {
  const { sequenceHandle } = await client.call(TPM2_HashSequenceStart, { auth: NONE, hashAlg })
  for (const buffer of parts.slice(0, -1))
    await client.call(TPM2_SequenceUpdate, { sequenceHandle, buffer }, auth)
  return client.call(TPM2_SequenceComplete, { sequenceHandle, buffer: parts.at(-1) ?? NONE, hierarchy }, auth)
}

describe('hash sequences', () => {
  it('are the hash of all parts', async () => {
    const parts = [utf8('abcd'), NONE, new Uint8Array(1024).fill(1), new Uint8Array(777).fill(2)]
    for (const [name, hashAlg] of HASHES) {
      const { result } = await complete(hashAlg, parts)
      expect(result).toEqual(new Uint8Array(createHash(name).update(Buffer.concat(parts)).digest()))
    }
  })

  it('are used up by their end', async () => {
    const { sequenceHandle } = await client.call(TPM2_HashSequenceStart, {
      auth: NONE,
      hashAlg: TPM_ALG.SHA256,
    })
    const request = { sequenceHandle, buffer: NONE, hierarchy: TPM_RH.NULL }
    await client.call(TPM2_SequenceComplete, request, auth)
    expect(await refusal(client.call(TPM2_SequenceComplete, request, auth))).toBe(TPM_RC.REFERENCE_H0)
  })

  it('give a ticket when the first buffer begins with another word than the TPM itself would', async () => {
    const { objectHandle: keyHandle } = await primaryAk(client, TPM_RH.OWNER)
    const sign = async (...parts: Uint8Array[]) => {
      const { result: digest, validation } = await complete(TPM_ALG.SHA256, parts, TPM_RH.OWNER)
      return client.call(
        TPM2_Sign,
        { keyHandle, digest, inScheme: { scheme: TPM_ALG.NULL }, validation },
        auth,
      )
    }
    const noTicket = atParameter(TPM_RC.TICKET, 3)
    await sign(utf8('abcd'), MAGIC)
    await sign(utf8('abcd'))
    expect(await refusal(sign(MAGIC, utf8('abcd')))).toBe(noTicket)
    expect(await refusal(sign(MAGIC.slice(0, 2), MAGIC.slice(2)))).toBe(noTicket)
    expect(await refusal(sign(utf8('ab'), utf8('cd')))).toBe(noTicket)
    expect(await refusal(sign(NONE, utf8('abcd')))).toBe(noTicket)
  })

  it('have an authorization of their own, by password or HMAC', async () => {
    const secret = utf8('secret')
    const start = { auth: Uint8Array.from([...secret, 0, 0]), hashAlg: TPM_ALG.SHA256 }
    const { sequenceHandle } = await client.call(TPM2_HashSequenceStart, start)
    const buffer = utf8('abcd')
    const wrong = client.call(
      TPM2_SequenceUpdate,
      { sequenceHandle, buffer },
      { sessions: [passwordSession(utf8('no'))] },
    )
    expect(await refusal(wrong)).toBe(TPM_RC.BAD_AUTH + 0x900)
    await client.call(
      TPM2_SequenceUpdate,
      { sequenceHandle, buffer },
      { sessions: [passwordSession(secret)] },
    )
    const session = await startHmacSession(client)
    const options = { sessions: [session.use({ auth: secret })], names: new Map([[sequenceHandle, NONE]]) }
    const { result } = await client.call(
      TPM2_SequenceComplete,
      { sequenceHandle, buffer, hierarchy: TPM_RH.NULL },
      options,
    )
    expect(result).toEqual(new Uint8Array(createHash('sha256').update('abcdabcd').digest()))
  })

  it('go on after they were saved and loaded', async () => {
    for (const [name, hashAlg] of HASHES) {
      const { sequenceHandle } = await client.call(TPM2_HashSequenceStart, { auth: NONE, hashAlg })
      await client.call(TPM2_SequenceUpdate, { sequenceHandle, buffer: utf8('one') }, auth)
      const { context } = await client.call(TPM2_ContextSave, { saveHandle: sequenceHandle })
      await flush(client, sequenceHandle)
      const { loadedHandle } = await client.call(TPM2_ContextLoad, { context })
      const request = { sequenceHandle: loadedHandle, buffer: utf8('two'), hierarchy: TPM_RH.NULL }
      const { result } = await client.call(TPM2_SequenceComplete, request, auth)
      expect(result).toEqual(new Uint8Array(createHash(name).update('onetwo').digest()))
    }
  })
})

describe('HMAC sequences', () => {
  it('are the HMAC of all parts, with keys shorter and longer than a block', async () => {
    for (const [name, hashAlg] of HASHES) {
      for (const length of [1, 64, 128]) {
        const key = new Uint8Array(length).fill(7)
        const scheme = { scheme: TPM_ALG.NULL } as const
        const { handle } = await loadKeyedHash(client, key, SIGN | 0x20000, scheme)
        const { sequenceHandle } = await client.call(TPM2_HMAC_Start, { handle, auth: NONE, hashAlg }, auth)
        await client.call(TPM2_SequenceUpdate, { sequenceHandle, buffer: utf8('abcd') }, auth)
        const request = { sequenceHandle, buffer: utf8('efgh'), hierarchy: TPM_RH.OWNER }
        const { result, validation } = await client.call(TPM2_SequenceComplete, request, auth)
        expect(result).toEqual(new Uint8Array(createHmac(name, key).update('abcdefgh').digest()))
        expect(validation.digest).toEqual(NONE)
        await flush(client, handle)
      }
    }
  })

  it('are no hashes of keys: MODE for what is no sequence', async () => {
    const { handle } = await loadKeyedHash(client, utf8('key'), SIGN)
    const call = client.call(TPM2_SequenceUpdate, { sequenceHandle: handle, buffer: NONE }, auth)
    expect(await refusal(call)).toBe(atHandle(TPM_RC.MODE, 1))
  })
})

describe('event sequences', () => {
  const pcr = async (bank: number, number: number) => {
    const { pcrValues } = await client.call(TPM2_PCR_Read, { pcrSelectionIn: [selectPcrs(bank, [number])] })
    return pcrValues[0]
  }

  it('extend a PCR in every bank with the hash of the event', async () => {
    const { sequenceHandle } = await client.call(TPM2_HashSequenceStart, {
      auth: NONE,
      hashAlg: TPM_ALG.NULL,
    })
    await client.call(TPM2_SequenceUpdate, { sequenceHandle, buffer: utf8('an ') }, auth)
    const request = { pcrHandle: 16, sequenceHandle, buffer: utf8('event') }
    const { results } = await client.call(TPM2_EventSequenceComplete, request, two)
    expect(results).toHaveLength(HASHES.length)
    for (const [index, [name, hashAlg]] of HASHES.entries()) {
      const digest = createHash(name).update('an event').digest()
      expect(results[index]).toEqual({ hashAlg, digest: new Uint8Array(digest) })
      const value = createHash(name).update(Buffer.alloc(digest.length)).update(digest).digest()
      expect(await pcr(hashAlg, 16)).toEqual(new Uint8Array(value))
    }
  })

  it('extend nothing for TPM_RH_NULL, and nothing where the locality may not', async () => {
    const before = await pcr(TPM_ALG.SHA256, 17)
    const { sequenceHandle } = await client.call(TPM2_HashSequenceStart, {
      auth: NONE,
      hashAlg: TPM_ALG.NULL,
    })
    const request = { pcrHandle: 17, sequenceHandle, buffer: utf8('event') }
    expect(await refusal(client.call(TPM2_EventSequenceComplete, request, two))).toBe(TPM_RC.LOCALITY)
    expect(await pcr(TPM_ALG.SHA256, 17)).toEqual(before)
    const { results } = await client.call(
      TPM2_EventSequenceComplete,
      { ...request, pcrHandle: TPM_RH.NULL },
      two,
    )
    expect(results[1]?.digest).toEqual(new Uint8Array(createHash('sha256').update('event').digest()))
  })

  it("and hash sequences do not end in each other's place", async () => {
    const event = await client.call(TPM2_HashSequenceStart, { auth: NONE, hashAlg: TPM_ALG.NULL })
    const hashing = await client.call(TPM2_HashSequenceStart, { auth: NONE, hashAlg: TPM_ALG.SHA256 })
    const asHash = { sequenceHandle: event.sequenceHandle, buffer: NONE, hierarchy: TPM_RH.NULL }
    expect(await refusal(client.call(TPM2_SequenceComplete, asHash, auth))).toBe(atHandle(TPM_RC.MODE, 1))
    const asEvent = { pcrHandle: 16, sequenceHandle: hashing.sequenceHandle, buffer: NONE }
    expect(await refusal(client.call(TPM2_EventSequenceComplete, asEvent, two))).toBe(
      atHandle(TPM_RC.MODE, 2),
    )
  })
})
