// The mssim protocol as a client on a socket sees it: every row of both tables, and what is refused.

import { afterEach, describe, expect, it } from 'vitest'
import { cleanUp, served } from './setup.ts'
import { getRandom, random, response, startupClear } from './toy-tpm.ts'
import { bytes } from './client.ts'

afterEach(cleanUp)

const hex = (part: Uint8Array): string => Buffer.from(part).toString('hex')
const framed = (part: Uint8Array): string => bytes(part.length, part, 0).toString('hex')
const command = (part: Uint8Array, locality = 0): Buffer =>
  bytes(8, Uint8Array.of(locality), part.length, part)

describe('the command port', () => {
  it('answers a command with its size before and a zero behind, in one segment', async () => {
    const { data, tpm } = await served('mssim', { powerOn: true })
    const client = await data()
    expect(await client.ask(18, command(startupClear))).toBe(framed(response(0)))
    expect(await client.ask(28, command(getRandom, 3))).toBe(framed(random(8)))
    expect(client.pieces).toEqual([18, 28])
    expect(tpm.localities).toEqual([0, 3])
  })

  it('gives an empty response while the power is off', async () => {
    const { data } = await served('mssim')
    expect(await (await data()).ask(8, command(getRandom))).toBe('0000000000000000')
  })

  it('takes a locality that does not exist for locality 0', async () => {
    const { data, tpm } = await served('mssim', { powerOn: true })
    const client = await data()
    for (const locality of [4, 5, 31, 32, 255]) await client.ask(18, command(getRandom, locality))
    expect(tpm.localities).toEqual([4, 0, 0, 32, 255])
  })

  it('carries a dynamic launch to the TPM only while the power is on', async () => {
    const { data, tpm } = await served('mssim')
    const client = await data()
    expect(await client.ask(4, 5)).toBe('00000000')
    expect(tpm.calls).toEqual([])
    tpm.powerOn()
    expect(await client.ask(12, 5, 6, 3, 'aabbcc', 7)).toBe('000000000000000000000000')
    expect(tpm.calls).toEqual(['powerOn', 'hashStart', 'hashData 3', 'hashEnd'])
  })

  it('greets a client with twelve bytes in one segment, and drops one of version 0', async () => {
    const { data } = await served('mssim')
    const client = await data()
    expect(await client.ask(12, 15, 1)).toBe('000000010000000d00000000')
    expect(client.pieces).toEqual([12])
    expect(await client.ask(4, 16, 0)).toBe('00000000')
    const old = await data()
    old.send(15, 0)
    expect(await old.untilEnd()).toBe('')
  })

  it('ends a session without an answer, and closes on a code it does not know', async () => {
    const { data } = await served('mssim')
    for (const code of [20, 1, 0, 99, 0xffffffff]) {
      const client = await data()
      client.send(code)
      expect(await client.untilEnd(), `code ${code}`).toBe('')
    }
    // Others are not hurt.
    expect(await (await data()).ask(12, 15, 1)).toBe('000000010000000d00000000')
  })

  it('answers messages that came in pieces, and several that came at once in their order', async () => {
    const { data } = await served('mssim', { powerOn: true })
    const client = await data()
    for (const byte of command(startupClear)) {
      client.send(Uint8Array.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await client.read(18)).toBe(framed(response(0)))
    client.send(command(getRandom), command(startupClear), command(getRandom).subarray(0, 5))
    expect(await client.read(28 + 18)).toBe(framed(random(8)) + framed(response(0x100)))
    client.send(command(getRandom).subarray(5))
    expect(await client.read(28)).toBe(framed(random(8)))
  })

  it('takes a message of 1 MiB and closes on one that is larger', async () => {
    const { data } = await served('mssim', { powerOn: true })
    const client = await data()
    expect(await client.ask(18, command(new Uint8Array(1024 * 1024)))).toBe(framed(response(0x142)))
    client.send(8, '00', 1024 * 1024 + 1)
    expect(await client.untilEnd()).toBe('')
    const other = await data()
    other.send(6, 0xffffffff)
    expect(await other.untilEnd()).toBe('')
  })
})

describe('the platform port', () => {
  it('passes each signal on and acknowledges it', async () => {
    const { control, tpm } = await served('mssim')
    const client = await control()
    const rows: readonly (readonly [number, string | null])[] = [
      [1, 'powerOn'],
      [11, 'setNvAvailable true'],
      [12, 'setNvAvailable false'],
      [3, 'setPhysicalPresence true'],
      [4, 'setPhysicalPresence false'],
      [9, 'setCancel true'],
      [10, 'setCancel false'],
      [13, null],
      [14, null],
      [17, 'reset'],
      [18, null],
      [30, 'enterFailureMode'],
      [2, 'powerOff'],
      [2, null],
    ]
    for (const [code, call] of rows) {
      tpm.calls.length = 0
      expect(await client.ask(4, code), `code ${code}`).toBe('00000000')
      expect(tpm.calls, `code ${code}`).toEqual(call === null ? [] : [call])
    }
  })

  it('tells the largest command and response once', async () => {
    const { data, control } = await served('mssim', { powerOn: true })
    const [commands, platform] = [await data(), await control()]
    await commands.ask(18, command(startupClear))
    await commands.ask(28, command(getRandom))
    expect(await platform.ask(24, 25)).toBe(bytes(16, 12, 0x144, 20, 0x17b, 0).toString('hex'))
    expect(await platform.ask(24, 25)).toBe(bytes(16, 0, 0, 0, 0, 0).toString('hex'))
  })

  it('knows no countdown timer that ran out, and takes firmware hash and version', async () => {
    const { control } = await served('mssim')
    const client = await control()
    expect(await client.ask(8, 26, 0x40000110)).toBe('0000000000000000')
    expect(await client.ask(8, 35, 7, 36, 1)).toBe('0000000000000000')
  })

  it('refuses a code it does not know and closes', async () => {
    const { control, log } = await served('mssim')
    const client = await control()
    client.send(99)
    expect(await client.untilEnd()).toBe('00000001')
    expect(log).toEqual(['warning: the platform port knows no code 99'])
  })

  it('ends the server on STOP at either port, and says why', async () => {
    for (const port of ['data', 'control'] as const) {
      const stage = await served('mssim')
      const client = await stage[port]()
      client.send(21)
      expect(await stage.server.closed).toBe('stop')
      expect(await client.untilEnd()).toBe('')
      await expect(stage.data()).rejects.toThrow('ECONNREFUSED')
      expect(stage.tpm.calls).toEqual(['flush'])
    }
  })
})

it('serves several clients side by side', async () => {
  const { data } = await served('mssim', { powerOn: true })
  const clients = await Promise.all(Array.from({ length: 20 }, data))
  await clients[0]?.ask(18, command(startupClear))
  const answers = await Promise.all(clients.map(async (client) => client.ask(28, command(getRandom))))
  expect(new Set(answers)).toEqual(new Set([framed(random(8))]))
  expect(hex(random(8))).toHaveLength(40)
})
