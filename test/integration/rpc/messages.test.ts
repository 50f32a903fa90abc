/** What proto-loader and grpc-js let through or answer wrongly, over a real socket: each is refused, with the field. */
import { Client, credentials, status, type ServiceError } from '@grpc/grpc-js'
import path from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  type PalimpsestError,
  type TapEvent,
  openTranscript,
  readTranscript,
} from '../../../sdk/rpc/index.ts'
import { fromCallError } from '../../../sdk/rpc/status.ts'
import type { EchoRequest } from '../../vectors/rpc/contract/index.ts'
import { everything } from '../../vectors/rpc/everything.ts'
import { collect, failure, scratchFolder, startClient, startPair, startServer } from './support.ts'

const answer = { text: 'hello', subject: '', certificateDigest: new Uint8Array() }

/** Sends bytes as they are, as a client in another language might. */
async function sendRaw(address: string, bytes: Uint8Array): Promise<PalimpsestError> {
  const client = new Client(address, credentials.createInsecure())
  onTestFinished(() => {
    client.close()
  })
  const method = '/palimpsest.test.v1.EchoService/Echo'
  const pass = (message: Buffer) => message
  const error = await new Promise<ServiceError | null>((resolve) => {
    client.makeUnaryRequest(method, pass, pass, Buffer.from(bytes), resolve)
  })
  if (!error) throw new Error('expected the call to fail, it succeeded')
  expect(error.code).not.toBe(status.INTERNAL)
  return fromCallError(error, method)
}

function request(fields: Readonly<Record<string, unknown>>): EchoRequest {
  return { text: '', everything: { ...everything, ...fields } }
}

describe('a client sends nothing that the contract does not allow', () => {
  it.each<[string, Readonly<Record<string, unknown>>, string]>([
    ['text as a uint64', { u64: 'xyz' }, 'everything.u64'],
    ['a uint64 that is too large', { u64: 1n << 64n }, 'everything.u64'],
    ['an unknown enum value', { colour: 'blue' }, 'everything.colour'],
    ['an unspecified enum value', { colour: 'unspecified' }, 'everything.colour'],
    ['a misspelt field', { colours: ['green'], coulour: 'green' }, 'everything.coulour'],
    [
      'two arms of a oneof',
      { choice: { case: 'asText', value: 'a', asNumber: 1n } },
      'everything.choice.asNumber',
    ],
    ['text as bytes', { data: 'aGVsbG8=' }, 'everything.data'],
    ['a missing field', { flag: undefined }, 'everything.flag'],
  ])('%s', async (_case, fields, field) => {
    let calls = 0
    const { client } = await startPair({
      echo: () => {
        calls++
        return answer
      },
    })
    const error = await failure(client.echo(request(fields)))
    expect(error.code).toBe('INVALID_ARGUMENT')
    expect(error.violations?.map((violation) => violation.field)).toEqual([field])
    await client.echo(request({}))
    expect(calls).toBe(1)
  })
})

describe('a server accepts nothing that the contract does not allow', () => {
  const field = (number: number, type: number) => [
    (((number << 3) | type) & 0x7f) | (number > 15 ? 0x80 : 0),
    ...(number > 15 ? [number >> 4] : []),
  ]
  const inner = (bytes: readonly number[]) => Uint8Array.from([0x12, bytes.length, ...bytes])
  const legal = [...field(16, 0), 2]

  it.each<[string, Uint8Array, RegExp]>([
    ['a truncated message', Uint8Array.from([0x0a, 5, 0x61]), /truncated/],
    [
      'both arms of a oneof',
      inner([...legal, ...field(34, 2), 1, 0x61, ...field(35, 0), 1]),
      /one arm of choice/,
    ],
    ['a singular field twice', Uint8Array.from([0x0a, 1, 0x61, 0x0a, 1, 0x62]), /found it twice/],
    ['an enum value outside the contract', inner([...field(16, 0), 9]), /everything\.colour/],
    ['an unspecified enum value', inner([]), /everything\.colour/],
    ['text that is not UTF-8', Uint8Array.from([0x0a, 1, 0xff]), /UTF-8/],
  ])('%s', async (_case, bytes, message) => {
    const { address } = await startServer({ echo: () => answer })
    const error = await sendRaw(address, bytes)
    expect(error.code).toBe('INVALID_ARGUMENT')
    expect(error.message).toMatch(message)
    expect(error.violations?.length).toBeGreaterThan(0)
    expect(await startClient(address).echo({ text: '' })).toEqual(answer)
  })

  it('tells the log, not the caller, when its own handler answers against the contract', async () => {
    const { client } = await startPair({ echo: () => ({ ...answer, text: 7 as unknown as string }) })
    const error = await failure(client.echo({ text: '' }))
    expect(error.code).toBe('INTERNAL')
    expect(error.violations).toBeUndefined()
  })
})

describe('every construct survives the trip', () => {
  it('there and back', async () => {
    const { client } = await startPair({ echo: ({ everything: all }) => ({ ...answer, everything: all }) })
    expect((await client.echo({ text: '', everything })).everything).toEqual(everything)
  })
})

describe('sizes', () => {
  const big = (bytes: number) => ({ text: '', everything: { ...everything, data: new Uint8Array(bytes) } })

  it('lets 60 MiB pass and refuses 65 MiB before sending it', async () => {
    const { client } = await startPair({
      echo: ({ everything: all }) => ({ ...answer, text: String(all?.data.length) }),
    })
    expect((await client.echo(big(60 << 20))).text).toBe(String(60 << 20))
    const error = await failure(client.echo(big(65 << 20)))
    expect(error.code).toBe('RESOURCE_EXHAUSTED')
    expect(error.message).toMatch(/at most 67108864 bytes, found 6815\d+/)
  })

  it('refuses 65 MiB from a client that sends it nevertheless', async () => {
    const { address } = await startServer({ echo: () => answer })
    const client = startClient(address, { limits: { maxMessageBytes: 1 << 30 } })
    const error = await failure(client.echo(big(65 << 20)))
    expect(error.code).toBe('RESOURCE_EXHAUSTED')
    expect(error.message).toMatch(/larger than max/)
    expect(await client.echo({ text: '' })).toEqual(answer)
  })

  it('refuses a response that is too large, on the server', async () => {
    const { client } = await startPair(
      { echo: () => ({ ...answer, text: 'x'.repeat(2000) }) },
      { maxMessageBytes: 1000 },
    )
    expect((await failure(client.echo({ text: '' }))).code).toBe('RESOURCE_EXHAUSTED')
  })
})

describe('the tap', () => {
  it('sees every message of client and server, refused ones too', async () => {
    const seen: [string, string, number, boolean][] = []
    const tap = (side: string) => (event: TapEvent) => {
      seen.push([side, event.direction, event.bytes.length, event.decoded !== undefined])
    }
    const { address } = await startServer({ echo: () => answer }, { tap: tap('server') })
    await startClient(address, { tap: tap('client') }).echo({ text: 'abc' })
    await sendRaw(address, Uint8Array.from([0x0a, 9]))
    expect(seen).toEqual([
      ['client', 'out', 5, true],
      ['server', 'in', 5, true],
      ['server', 'out', 7, true],
      ['client', 'in', 7, true],
      ['server', 'in', 2, false],
    ])
  })
})

describe('a transcript file', () => {
  it('holds every message that reached a process', async () => {
    const file = path.join(scratchFolder(), 'transcript')
    const transcript = openTranscript(file)
    const { address } = await startServer({ echo: () => answer }, { tap: transcript.tap })
    await startClient(address).echo({ text: 'planted' })
    transcript.close()
    const entries = readTranscript(file)
    expect(entries.map(({ direction, method }) => [direction, method])).toEqual([
      ['in', '/palimpsest.test.v1.EchoService/Echo'],
      ['out', '/palimpsest.test.v1.EchoService/Echo'],
    ])
    expect(Buffer.from(entries[0]?.bytes ?? []).includes('planted')).toBe(true)
  })
})

describe('a stream of invalid messages', () => {
  it('ends with INVALID_ARGUMENT at the first', async () => {
    const { client } = await startPair({
      async *exchange(requests) {
        for await (const chunk of requests) yield chunk
      },
    })
    async function* bad() {
      yield await Promise.resolve({ sequence: 1n, data: new Uint8Array(1) })
      yield { sequence: -1n, data: new Uint8Array(1) }
    }
    const error = await failure(collect(client.exchange(bad())))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', violations: [{ field: 'sequence' }] })
  })
})
