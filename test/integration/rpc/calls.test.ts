/** The four kinds of call over real sockets: results, errors, cancellation, deadlines. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { PalimpsestError, type CallContext } from '../../../sdk/rpc/index.ts'
import type { Chunk } from '../../vectors/rpc/contract/index.ts'
import { chunks, collect, failure, startClient, startPair, startServer } from './support.ts'

const answer = { text: 'hello', subject: '', certificateDigest: new Uint8Array() }

describe('calls', () => {
  it('carries unary messages both ways', async () => {
    const { client } = await startPair({ echo: ({ text }) => ({ ...answer, text: `${text}!` }) })
    expect(await client.echo({ text: 'hello' })).toEqual({ ...answer, text: 'hello!' })
  })

  it('works over TCP', async () => {
    const { address } = await startServer({ echo: () => answer }, { address: '127.0.0.1:0' })
    expect(address).toMatch(/^127\.0\.0\.1:[1-9]\d+$/)
    expect(await startClient(address).echo({ text: '' })).toEqual(answer)
  })

  it('carries server streams, client streams and bidirectional streams', async () => {
    const { client } = await startPair({
      repeat: ({ count, size }) => chunks(count, size),
      async collect(requests) {
        const all = await collect(requests)
        return { chunks: all.length, bytes: BigInt(all.reduce((sum, { data }) => sum + data.length, 0)) }
      },
      async *exchange(requests) {
        for await (const chunk of requests) yield { ...chunk, sequence: chunk.sequence + 100n }
      },
    })
    const repeated = await collect(client.repeat({ count: 3, size: 5 }))
    expect(repeated.map(({ sequence, data }) => [sequence, data.length])).toEqual([
      [0n, 5],
      [1n, 5],
      [2n, 5],
    ])
    expect(await client.collect(chunks(4, 10))).toEqual({ chunks: 4, bytes: 40n })
    expect((await collect(client.exchange(chunks(3, 1)))).map(({ sequence }) => sequence)).toEqual([
      100n,
      101n,
      102n,
    ])
  })

  it('lets a handler stop reading and go on answering', async () => {
    const { client } = await startPair({
      async *exchange(requests) {
        for await (const chunk of requests) {
          yield chunk
          break
        }
        yield { sequence: 7n, data: new Uint8Array() }
      },
    })
    expect((await collect(client.exchange(chunks(100, 10)))).map(({ sequence }) => sequence)).toEqual([
      0n,
      7n,
    ])
  })

  it('gives the handler the request id, the metadata, the deadline and the peer', async () => {
    let seen: CallContext | undefined
    const { client } = await startPair({
      echo: (_request, context) => {
        seen = context
        return answer
      },
    })
    await client.echo({ text: '' }, { deadlineMs: 5000, metadata: { 'x-request-id': 'r-1', colour: 'red' } })
    expect(seen).toMatchObject({ requestId: 'r-1', method: '/palimpsest.test.v1.EchoService/Echo' })
    expect(seen?.metadata.colour).toBe('red')
    expect(seen?.peer.address).toBe('unix')
    expect(seen?.peer.certificateDigest).toBeUndefined()
    expect(seen?.deadline?.getTime()).toBeGreaterThan(Date.now())
    expect(seen?.signal.aborted).toBe(false)
  })
})

describe('errors', () => {
  it('arrive as the same class with code, metadata, violations and retry delay', async () => {
    const { client } = await startPair({
      echo: () => {
        throw new PalimpsestError('REFUSED_SVN', 'expected SVN 7, found 3: update the firmware', {
          metadata: { expected: '7', found: '3' },
          violations: [{ field: 'manifest', description: 'SVN too small' }],
          retryAfterMs: 1500,
          cause: new Error('internal path'),
        })
      },
    })
    const error = await failure(client.echo({ text: '' }))
    expect(error).toMatchObject({
      code: 'REFUSED_SVN',
      status: 'PERMISSION_DENIED',
      message: 'expected SVN 7, found 3: update the firmware',
      metadata: { expected: '7', found: '3' },
      violations: [{ field: 'manifest', description: 'SVN too small' }],
      retryAfterMs: 1500,
    })
    expect(error.cause).toBeUndefined()
  })

  it.each(['echo', 'repeat', 'collect', 'exchange'] as const)(
    'of any other kind tell nothing (%s)',
    async (name) => {
      const fail = () => {
        throw new Error('password is 1234')
      }
      const { client } = await startPair({ [name]: fail })
      const calls = {
        echo: () => client.echo({ text: '' }),
        repeat: () => collect(client.repeat({ count: 1, size: 1 })),
        collect: () => client.collect(chunks(2, 1)),
        exchange: () => collect(client.exchange(chunks(2, 1))),
      }
      const error = await failure(calls[name]())
      expect(error.code).toBe('INTERNAL')
      expect(error.message).not.toContain('1234')
      expect(error.metadata.requestId).toMatch(/^[0-9a-f-]{36}$/)
    },
  )

  it('in the middle of a stream come after what was sent before', async () => {
    const { client } = await startPair({
      async *repeat() {
        yield* chunks(3, 1)
        throw new PalimpsestError('STALLED', 'no copy in time')
      },
    })
    const got: Chunk[] = []
    const error = await failure(
      (async () => {
        for await (const chunk of client.repeat({ count: 0, size: 0 })) got.push(chunk)
      })(),
    )
    expect(got).toHaveLength(3)
    expect(error).toMatchObject({ code: 'STALLED', status: 'UNAVAILABLE' })
  })

  it('say UNIMPLEMENTED for an rpc without handler', async () => {
    const { client } = await startPair({ echo: () => answer })
    expect((await failure(client.missing({ text: '' }))).code).toBe('UNIMPLEMENTED')
  })

  it('of a producer of requests reach the caller unchanged', async () => {
    const { client } = await startPair({
      async collect(requests) {
        return { chunks: (await collect(requests)).length, bytes: 0n }
      },
    })
    async function* broken() {
      yield* chunks(1, 1)
      throw new RangeError('the disk is gone')
    }
    await expect(client.collect(broken())).rejects.toThrow(RangeError)
  })

  it('survive texts that HTTP/2 could not carry', async () => {
    const { client } = await startPair({
      echo: ({ text }) => {
        throw new PalimpsestError('UNKNOWN_VM', text === '' ? `a\ud800b\n${'x'.repeat(100_000)}` : text)
      },
    })
    const error = await failure(client.echo({ text: '' }))
    expect(error.code).toBe('UNKNOWN_VM')
    expect(error.message.length).toBeLessThanOrEqual(1024)
    expect((await failure(client.echo({ text: 'größer als 100 %' }))).message).toBe('größer als 100 %')
  })

  it('of a server that is not there are UNAVAILABLE', async () => {
    const client = startClient('unix:/nonexistent/palimpsest.sock')
    expect((await failure(client.echo({ text: '' }))).code).toBe('UNAVAILABLE')
    expect((await failure(client.waitForReady({ deadlineMs: 100 }))).code).toBe('UNAVAILABLE')
  })
})

describe('cancellation and deadlines', () => {
  it('abort the handler with the reason', async () => {
    let seen: unknown
    const controller = new AbortController()
    const { client } = await startPair({
      echo: async (_request, { signal }) => {
        controller.abort()
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve)
        })
        seen = signal.reason
        return answer
      },
    })
    const error = await failure(client.echo({ text: '' }, { signal: controller.signal }))
    expect(error.code).toBe('CANCELLED')
    await expect.poll(() => seen).toMatchObject({ code: 'CANCELLED' })
  })

  it('pass the deadline on to the handler and end the call', async () => {
    let seen: unknown
    const { client } = await startPair({
      echo: async (_request, { signal }) => {
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve)
        })
        seen = signal.reason
        return answer
      },
    })
    const error = await failure(client.echo({ text: '' }, { deadlineMs: 100 }))
    expect(error.code).toBe('DEADLINE_EXCEEDED')
    await expect.poll(() => seen).toBeInstanceOf(PalimpsestError)
    // The client's clock may be the first to see the deadline, and then cancels.
    expect(['DEADLINE_EXCEEDED', 'CANCELLED']).toContain((seen as PalimpsestError).code)
  })

  it('uses the default deadline of the client', async () => {
    const { address } = await startServer({ echo: () => sleep(5000, answer, { ref: false }) })
    const client = startClient(address, { defaults: { deadlineMs: 50 } })
    expect((await failure(client.echo({ text: '' }))).code).toBe('DEADLINE_EXCEEDED')
  })

  it('leaving a server stream early cancels it and ends the generator', async () => {
    let ended = false
    const { client } = await startPair({
      async *repeat() {
        try {
          for (;;) yield* chunks(1, 10)
        } finally {
          ended = true
        }
      },
    })
    for await (const chunk of client.repeat({ count: 0, size: 0 })) if (chunk.data.length === 10) break
    await expect.poll(() => ended).toBe(true)
  })

  it('refuses a call whose signal is aborted already', async () => {
    const { client } = await startPair({ echo: () => answer })
    const error = await failure(client.echo({ text: '' }, { signal: AbortSignal.abort() }))
    expect(error.code).toBe('CANCELLED')
  })

  it('does not abort the signal of a call that succeeded', async () => {
    let signal: AbortSignal | undefined
    const { client } = await startPair({
      echo: (_request, context) => {
        signal = context.signal
        return answer
      },
    })
    await client.echo({ text: '' })
    await sleep(50)
    expect(signal?.aborted).toBe(false)
  })

  it('a bidirectional stream whose producer never ends stops when the server ends it', async () => {
    const { client } = await startPair({
      async *exchange(requests) {
        for await (const chunk of requests) {
          yield chunk
          return
        }
      },
    })
    async function* endless() {
      yield* chunks(1, 1)
      await new Promise(() => undefined)
    }
    expect(await collect(client.exchange(endless()))).toHaveLength(1)
  })
})
