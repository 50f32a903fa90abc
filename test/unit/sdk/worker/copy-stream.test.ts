// The copy stream: answers in the order of completion, refusals as answers, bounded work, and an end.
import { describe, expect, it } from 'vitest'
import { Refusal } from '../../../../sdk/attest/index.ts'
import {
  type CopyRequest,
  type CopyResponse,
  PalimpsestError,
  silentLogger,
} from '../../../../sdk/rpc/index.ts'
import { copyStream } from '../../../../sdk/worker/copy-stream.ts'

const request = (session: bigint): CopyRequest => ({
  session,
  registration: 'r',
  writer: 'destination',
  mode: 'store',
  blocks: [],
})

async function* requests(count: number): AsyncGenerator<CopyRequest> {
  for (let session = 1; session <= count; session += 1) yield await Promise.resolve(request(BigInt(session)))
}

const data: CopyResponse['result'] = { case: 'data', value: { ciphertext: new Uint8Array(1) } }

async function collect(stream: AsyncIterable<CopyResponse>): Promise<CopyResponse[]> {
  const all: CopyResponse[] = []
  for await (const response of stream) all.push(response)
  return all
}

describe('copyStream', () => {
  it('answers every request once, and ends when the requests do', async () => {
    const answers = await collect(copyStream(requests(50), () => Promise.resolve(data), silentLogger))
    expect(answers.map(({ session }) => session).sort((a, b) => Number(a - b))).toEqual(
      Array.from({ length: 50 }, (_unused, index) => BigInt(index + 1)),
    )
  })

  it('lets a fast session pass a slow one', async () => {
    let release: () => void = () => undefined
    const slow = new Promise<void>((resolve) => {
      release = resolve
    })
    const answers = await collect(
      copyStream(
        requests(2),
        async ({ session }) => {
          if (session === 1n) await slow
          else release()
          return data
        },
        silentLogger,
      ),
    )
    expect(answers.map(({ session }) => session)).toEqual([2n, 1n])
  })

  it('never works on more than eight sessions at once', async () => {
    let working = 0
    let most = 0
    const session = async (): Promise<CopyResponse['result']> => {
      working += 1
      most = Math.max(most, working)
      await new Promise((resolve) => setTimeout(resolve, 1))
      working -= 1
      return data
    }
    await collect(copyStream(requests(40), session, silentLogger))
    expect(most).toBe(8)
  })

  it('answers a refused session with its code and goes on', async () => {
    const session = ({ session: id }: CopyRequest): Promise<CopyResponse['result']> => {
      if (id === 1n) return Promise.reject(new PalimpsestError('GRANT_SPENT', 'copied before'))
      if (id === 2n)
        return Promise.reject(new Refusal('GRANT_INVALID', 'grant', { expected: 'a', found: 'b' }))
      return Promise.resolve(data)
    }
    const answers = await collect(copyStream(requests(3), session, silentLogger))
    const codes = new Map(
      answers.map(({ session: id, result }) => [id, result?.case === 'error' ? result.value.code : 'ok']),
    )
    expect(codes).toEqual(
      new Map([
        [1n, 'GRANT_SPENT'],
        [2n, 'GRANT_INVALID'],
        [3n, 'ok'],
      ]),
    )
  })

  it('keeps the cause of an unknown failure to itself', async () => {
    const session = (): Promise<CopyResponse['result']> => Promise.reject(new Error('secret path /etc/keys'))
    const [answer] = await collect(copyStream(requests(1), session, silentLogger))
    expect(answer?.result).toEqual({
      case: 'error',
      value: { code: 'INTERNAL', message: 'the worker failed; see its log' },
    })
  })
})
