// Clients that are wrong, slow, greedy or random: the others get their answers meanwhile, and memory stays bounded.

import { afterEach, describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { bytes } from './client.ts'
import type { Client } from './client.ts'
import { cleanUp, served } from './setup.ts'
import type { Served } from './setup.ts'
import { getRandom, random, startupClear } from './toy-tpm.ts'

afterEach(cleanUp)

const protocols = ['mssim', 'swtpm'] as const
type Protocol = (typeof protocols)[number]

function prefixed(part: Uint8Array): Buffer {
  return bytes(8, '00', part.length, part)
}

const answer = bytes(20, random(8), 0).toString('hex')

/** A server that is on and started, with the prefix that both protocols take. */
async function stage(protocol: Protocol, options: Parameters<typeof served>[1] = {}): Promise<Served> {
  return served(protocol, { powerOn: true, firstCommand: startupClear, ...options })
}

async function expectAnswer(client: Client): Promise<void> {
  expect(await client.ask(28, prefixed(getRandom))).toBe(answer)
}

describe.each(protocols)('%s', (protocol) => {
  it('closes a client that does not finish its message in time, however slowly it goes on', async () => {
    const { data, log } = await stage(protocol, { limits: { patience: 200 } })
    const [slow, silent, other] = [await data(), await data(), await data()]
    const dripping = setInterval(() => slow.socket.write(Uint8Array.of(0)), 20)
    slow.send(8, '00', 1000)
    await slow.untilEnd()
    clearInterval(dripping)
    expect(log).toContainEqual(expect.stringMatching(/neither finished its message/))
    // Having sent nothing is no fault.
    await expectAnswer(silent)
    await expectAnswer(other)
  })

  it('leaves a client be whose control channel rests after the padding of a locality', async () => {
    const { control, data } = await stage(protocol, { limits: { patience: 100 } })
    const channel = protocol === 'swtpm' ? await control() : await data()
    if (protocol === 'swtpm') expect(await channel.ask(4, 5, '00000000')).toBe('00000000')
    expect(await channel.within(300)).toBe('')
    if (protocol === 'swtpm') expect(await channel.ask(8, 1)).toBe('000000000001efff')
    else await expectAnswer(channel)
  })

  it('reads no more from a client that does not read its answers, and ends it after a while', async () => {
    const { data, log, tpm } = await stage(protocol, { limits: { patience: 500 } })
    const [greedy, other] = [await data(), await data()]
    greedy.socket.pause()
    const many = Buffer.concat(Array.from({ length: 10_000 }, () => prefixed(getRandom)))
    for (let round = 0; round < 100; round += 1) greedy.socket.write(many)
    await expect
      .poll(() => log, { timeout: 10_000 })
      .toContainEqual(expect.stringMatching(/nor read its answer/))
    // What fits between the two sockets was answered; the rest of the million commands was never read.
    expect(tpm.localities.length).toBeLessThan(500_000)
    await expectAnswer(other)
  })

  it('answers others while one sends thousands of commands at once', async () => {
    const { data } = await stage(protocol)
    const [busy, other] = [await data(), await data()]
    busy.send(Buffer.concat(Array.from({ length: 20_000 }, () => prefixed(getRandom))))
    let finished = false
    const all = busy.read(20_000 * 28).then(() => {
      finished = true
    })
    for (let round = 0; round < 10; round += 1) await expectAnswer(other)
    expect(finished).toBe(false)
    await all
  })

  it('makes room for new clients by ending the oldest that never asked anything', async () => {
    const { data } = await stage(protocol, { limits: { connections: 4 } })
    const useful = await data()
    await expectAnswer(useful)
    const idle = [await data(), await data(), await data()]
    const late = await data()
    await expectAnswer(late)
    await idle[0]?.untilEnd()
    await expectAnswer(useful)
    if (idle[1] !== undefined) await expectAnswer(idle[1])
    if (idle[2] !== undefined) await expectAnswer(idle[2])
    // All four are of use now.
    const refused = await data()
    await refused.untilEnd()
    await expectAnswer(useful)
  })

  it('refuses more memory to clients than all together may have', async () => {
    const { data, log } = await stage(protocol, { limits: { memory: 1024 * 1024 } })
    const greedy = [await data(), await data(), await data()]
    const endings: string[] = []
    for (const client of greedy) {
      client.send(8, '00', 1024 * 1024, new Uint8Array(900_000))
      void client.untilEnd().then(
        (text) => endings.push(text),
        () => undefined,
      )
    }
    const other = await data()
    await expectAnswer(other)
    await expect.poll(() => endings.length).toBeGreaterThanOrEqual(2)
    expect(log).toContainEqual(expect.stringMatching(/too much memory/))
    for (const client of greedy) client.end()
    // What they held is free again.
    const large = prefixed(new Uint8Array(900_000))
    await expect
      .poll(async () => (await data()).ask(4, large).catch(() => 'still full'), { timeout: 10_000 })
      .toBe('0000000a')
  })

  it('outlives clients that go in the middle of everything', async () => {
    const { data, control } = await stage(protocol)
    for (let round = 0; round < 50; round += 1) {
      const client = await (round % 2 === 0 ? data() : control())
      client.send(prefixed(getRandom).subarray(0, round % 21))
      if (round % 3 === 0) client.socket.resetAndDestroy()
      else client.end()
    }
    await expectAnswer(await data())
  })

  it('survives random bytes on both ports', async () => {
    const { data, control, server } = await stage(protocol, { limits: { patience: 300 } })
    const other = await data()
    let over = false
    void server.closed.then(() => {
      over = true
    })
    const word = fc.oneof(
      fc.integer({ min: 0, max: 40 }).map((code) => bytes(code)),
      fc.constantFrom(bytes(0xffffffff), bytes(0x7fffffff), bytes(0x100000), bytes(0x100001)),
      fc.constantFrom(prefixed(getRandom), Buffer.from(getRandom), bytes('80010000000c')),
      fc.uint8Array({ maxLength: 40 }).map((part) => Buffer.from(part)),
    )
    const ending = protocol === 'mssim' ? 21 : 3
    const message = fc
      .array(word, { minLength: 1, maxLength: 8 })
      .map((parts) => Buffer.concat(parts))
      // STOP and SHUTDOWN are no fault.
      .filter((part) => !part.includes(ending))
    await fc.assert(
      fc.asyncProperty(message, fc.boolean(), async (part, atControl) => {
        const client = await (atControl ? control() : data())
        client.socket.end(part)
        await client.untilEnd()
      }),
      { numRuns: 150 },
    )
    expect(over).toBe(false)
    await other.ask(protocol === 'mssim' ? 8 : 18, prefixed(startupClear))
    expect(over).toBe(false)
  })
})
