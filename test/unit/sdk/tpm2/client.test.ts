// The client: what it sends, what it believes, and what it refuses. Its partner is a TPM of one session and two
// commands, written with node:crypto alone; real TPMs are in test/peers.
// Source: TPM 2.0 Library, Part 1, clauses 16 and 19.6, revision 1.59.

import { createHash, createHmac, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  passwordSession,
  startHmacSession,
  TPM2_Clear,
  TPM2_GetRandom,
  TPM2_PCR_Reset,
  TPM2_ReadClock,
  TPM2_StirRandom,
  TPM2_Unseal,
  Tpm2Error,
  TPM_CC,
  TPM_RC,
  TPM_RH,
  TpmClient,
  TpmResponseError,
} from '../../../../sdk/tpm2/index.ts'

const sha256 = (...parts: readonly Uint8Array[]) => {
  const state = createHash('sha256')
  for (const part of parts) state.update(part)
  return state.digest()
}
const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff])
const u32 = (value: number) =>
  Buffer.from([value >>> 24, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff])
const tpm2b = (bytes: Uint8Array) => Buffer.concat([u16(bytes.length), bytes])

function message(tag: number, code: number, ...body: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat(body)
  return Buffer.concat([u16(tag), u32(10 + bytes.length), u32(code), bytes])
}

const refusal = (rc: number) => message(0x8001, rc)

/** A TPM with one unsalted, unbound session, which makes TPM2_GetRandom return 1, 2, 3 … */
class SmallTpm {
  readonly commands: Buffer[] = []
  /** Given instead of the next responses, without the command being run. */
  readonly answers: Uint8Array[] = []
  /** Changes the next response on its way. */
  corrupt: (response: Buffer) => Uint8Array = (response) => response
  #nonceTPM = Buffer.alloc(0)

  send(bytes: Uint8Array): Promise<Uint8Array> {
    const command = Buffer.from(bytes)
    this.commands.push(command)
    const answer = this.answers.shift()
    return Promise.resolve(answer ?? this.corrupt(this.#run(command)))
  }

  #run(command: Buffer): Buffer {
    if (command.readUInt32BE(2) !== command.length) return refusal(TPM_RC.COMMAND_SIZE)
    const code = command.readUInt32BE(6)
    if (code === TPM_CC.StartAuthSession) {
      this.#nonceTPM = randomBytes(32)
      return message(0x8001, 0, u32(0x02000000), tpm2b(this.#nonceTPM))
    }
    if (code !== TPM_CC.GetRandom) return refusal(TPM_RC.COMMAND_CODE)
    const values = (parameters: Buffer) =>
      tpm2b(Buffer.from(Array.from({ length: parameters.readUInt16BE(0) }, (_, at) => at + 1)))
    if (command.readUInt16BE(0) === 0x8001) return message(0x8001, 0, values(command.subarray(10)))
    return this.#withSession(code, command, values)
  }

  #withSession(code: number, command: Buffer, values: (parameters: Buffer) => Buffer): Buffer {
    const size = command.readUInt32BE(10)
    const nonceCaller = command.subarray(20, 20 + command.readUInt16BE(18))
    const attributes = command.subarray(20 + nonceCaller.length, 21 + nonceCaller.length)
    const mac = command.subarray(23 + nonceCaller.length, 14 + size)
    const parameters = command.subarray(14 + size)
    const hmac = (digest: Buffer, newer: Buffer, older: Buffer) =>
      createHmac('sha256', '').update(digest).update(newer).update(older).update(attributes).digest()
    const cpHash = sha256(u32(code), parameters)
    if (!hmac(cpHash, nonceCaller, this.#nonceTPM).equals(mac)) return refusal(TPM_RC.AUTH_FAIL + 0x900)
    this.#nonceTPM = randomBytes(32)
    const response = values(parameters)
    const rpHash = sha256(u32(0), u32(code), response)
    const area = [tpm2b(this.#nonceTPM), attributes, tpm2b(hmac(rpHash, this.#nonceTPM, nonceCaller))]
    return message(0x8002, 0, u32(response.length), response, ...area)
  }
}

const request = { bytesRequested: 8 }
/** Bytes in the response to it in a session: header, parameterSize, parameters, nonceTPM, attributes, HMAC. */
const LENGTH = 10 + 4 + 10 + 34 + 1 + 34
const expected = { randomBytes: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) }

function small() {
  const tpm = new SmallTpm()
  return { tpm, client: new TpmClient(tpm) }
}

const malformed = (rc: number): unknown => expect.objectContaining({ code: 'MALFORMED', rc })

describe('a call without sessions', () => {
  it('marshals by the table and reads the response by it', async () => {
    const { tpm, client } = small()
    await expect(client.call(TPM2_GetRandom, request)).resolves.toEqual(expected)
    expect(tpm.commands[0]?.toString('hex')).toBe('80010000000c0000017b0008')
  })

  it('keeps nothing of the memory that the transport used', async () => {
    const { tpm, client } = small()
    const sent: Buffer[] = []
    tpm.corrupt = (response) => {
      sent.push(response)
      return response
    }
    const { randomBytes: kept } = await client.call(TPM2_GetRandom, request)
    sent[0]?.fill(0)
    expect(sent).toHaveLength(1)
    expect(kept).toEqual(expected.randomBytes)
  })

  it('a refusal is an error with the command and the code in words', async () => {
    const { tpm, client } = small()
    tpm.answers.push(refusal(0x1c4))
    const refused = client.call(TPM2_GetRandom, request)
    await expect(refused).rejects.toBeInstanceOf(TpmResponseError)
    await expect(refused).rejects.toMatchObject({ rc: 0x1c4, command: 'TPM2_GetRandom' })
    await expect(refused).rejects.toThrow(
      'TPM2_GetRandom: expected success, found TPM_RC_VALUE, parameter 1 (0x1c4)',
    )
  })

  it('values that do not fit are not sent', async () => {
    const { tpm, client } = small()
    await expect(client.call(TPM2_GetRandom, { bytesRequested: 65_536 })).rejects.toThrow(RangeError)
    expect(tpm.commands).toEqual([])
  })

  it.each([
    ['shorter than a header', Uint8Array.of(0x80, 0x01, 0, 0), TPM_RC.INSUFFICIENT],
    [
      'longer than its size says',
      Buffer.concat([message(0x8001, 0, tpm2b(Buffer.alloc(8))), u16(0)]),
      TPM_RC.VALUE,
    ],
    ['with parameters of another command', message(0x8001, 0, tpm2b(Buffer.alloc(8)), u16(0)), TPM_RC.SIZE],
    ['with too few parameters', message(0x8001, 0, u16(8)), TPM_RC.INSUFFICIENT],
    ['of a failure, with parameters', message(0x8001, TPM_RC.FAILURE, u16(0)), TPM_RC.SIZE],
    ['with a tag of a command with sessions', message(0x8002, 0, tpm2b(Buffer.alloc(8))), TPM_RC.VALUE],
  ])('does not believe a response %s', async (_, answer, rc) => {
    const { tpm, client } = small()
    tpm.answers.push(answer)
    await expect(client.call(TPM2_GetRandom, request)).rejects.toThrow(malformed(rc))
  })
})

describe('when the TPM asks for the command again', () => {
  it.each([TPM_RC.RETRY, TPM_RC.YIELDED])('sends the same bytes: %s', async (rc) => {
    const { tpm, client } = small()
    tpm.answers.push(refusal(rc), refusal(rc))
    await expect(client.call(TPM2_GetRandom, request)).resolves.toEqual(expected)
    expect(tpm.commands).toHaveLength(3)
    expect(new Set(tpm.commands.map((command) => command.toString('hex'))).size).toBe(1)
  })

  it('gives up after five times, and does not for other warnings', async () => {
    const { tpm, client } = small()
    tpm.answers.push(...Array.from({ length: 9 }, () => refusal(TPM_RC.RETRY)))
    await expect(client.call(TPM2_GetRandom, request)).rejects.toMatchObject({ rc: TPM_RC.RETRY })
    expect(tpm.commands).toHaveLength(6)
    tpm.answers.splice(0, 9, refusal(TPM_RC.LOCKOUT))
    await expect(client.call(TPM2_GetRandom, request)).rejects.toMatchObject({ rc: TPM_RC.LOCKOUT })
    expect(tpm.commands).toHaveLength(7)
  })
})

describe('a password', () => {
  it('goes in plain sight, one for each handle', async () => {
    const { tpm, client } = small()
    tpm.answers.push(message(0x8002, 0, u32(0), u16(0), Uint8Array.of(1), u16(0)))
    await client.call(
      TPM2_Clear,
      { authHandle: TPM_RH.LOCKOUT },
      { sessions: [passwordSession(Buffer.from('pw'))] },
    )
    expect(tpm.commands[0]?.toString('hex')).toBe(
      '80020000001d00000126' + '4000000a' + '0000000b' + '40000009' + '0000' + '01' + '00027077',
    )
  })

  it('an HMAC in answer to it is not believed', async () => {
    const { tpm, client } = small()
    tpm.answers.push(message(0x8002, 0, u32(0), u16(0), Uint8Array.of(1), tpm2b(Buffer.alloc(32))))
    const reset = client.call(TPM2_PCR_Reset, { pcrHandle: 16 }, { sessions: [passwordSession()] })
    await expect(reset).rejects.toThrow(expect.objectContaining({ code: 'BAD_HMAC' }))
  })
})

describe('an HMAC session', () => {
  it('rolls its nonces with every command', async () => {
    const { client } = small()
    const session = await startHmacSession(client)
    const nonces = new Set([Buffer.from(session.nonceTPM).toString('hex')])
    for (let round = 0; round < 3; round += 1) {
      await expect(
        client.call(TPM2_GetRandom, request, { sessions: [session.use({ audit: true })] }),
      ).resolves.toEqual(expected)
      nonces.add(Buffer.from(session.nonceTPM).toString('hex'))
    }
    expect(nonces.size).toBe(4)
  })

  it('goes on after a refusal', async () => {
    const { tpm, client } = small()
    const session = await startHmacSession(client)
    tpm.answers.push(refusal(TPM_RC.LOCALITY))
    const call = () => client.call(TPM2_GetRandom, request, { sessions: [session.use()] })
    await expect(call()).rejects.toMatchObject({ rc: TPM_RC.LOCALITY })
    await expect(call()).resolves.toEqual(expected)
  })

  it('believes no response of which one bit is another', async () => {
    const { tpm, client } = small()
    for (let bit = 0; bit < 8 * LENGTH; bit += 1) {
      const session = await startHmacSession(client)
      let length = 0
      tpm.corrupt = (response) => {
        length = response.length
        response.writeUInt8(response.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
        return response
      }
      const call = client.call(TPM2_GetRandom, request, { sessions: [session.use()] })
      await expect(call, `bit ${String(bit)}`).rejects.toBeInstanceOf(Tpm2Error)
      expect(length).toBe(LENGTH)
      tpm.corrupt = (response) => response
    }
  })

  it('believes no response that ends early', async () => {
    const { tpm, client } = small()
    for (let length = 0; length < LENGTH; length += 1) {
      const session = await startHmacSession(client)
      tpm.corrupt = (response) => {
        const cut = response.subarray(0, length)
        if (length >= 6) cut.writeUInt32BE(length, 2)
        return cut
      }
      const call = client.call(TPM2_GetRandom, request, { sessions: [session.use()] })
      await expect(call, `length ${String(length)}`).rejects.toBeInstanceOf(Tpm2Error)
      tpm.corrupt = (response) => response
    }
  })

  it('without a symmetric algorithm sends nothing of what it was to encrypt', async () => {
    const { tpm, client } = small()
    const session = await startHmacSession(client)
    tpm.commands.splice(0)
    const stir = client.call(
      TPM2_StirRandom,
      { inData: Buffer.from('secret') },
      { sessions: [session.use({ decrypt: true })] },
    )
    await expect(stir).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    expect(tpm.commands).toEqual([])
  })

  it('asks for names where an HMAC needs them and they were not given', async () => {
    const { tpm, client } = small()
    const session = await startHmacSession(client)
    const itemHandle = 0x81000001
    const codes = () => tpm.commands.splice(0).map((command) => command.readUInt32BE(6))
    codes()
    const names = new Map([[itemHandle, Uint8Array.of(0, 11)]])
    await client
      .call(TPM2_Unseal, { itemHandle }, { sessions: [session.use()], names })
      .catch(() => undefined)
    expect(codes()).toEqual([TPM_CC.Unseal])
    await client.call(TPM2_Unseal, { itemHandle }, { sessions: [passwordSession()] }).catch(() => undefined)
    expect(codes()).toEqual([TPM_CC.Unseal])
    await client.call(TPM2_Unseal, { itemHandle }, { sessions: [session.use()] }).catch(() => undefined)
    expect(codes()).toEqual([TPM_CC.ReadPublic])
    await client.call(TPM2_ReadClock, {}, { sessions: [session.use({ audit: true })] }).catch(() => undefined)
    expect(codes()).toEqual([TPM_CC.ReadClock])
  })
})
