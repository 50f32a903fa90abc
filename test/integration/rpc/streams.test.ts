/** Backpressure: a slow reader holds its writer back, in both directions, so memory stays bounded. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { Chunk } from '../../vectors/rpc/contract/index.ts'
import { chunks, collect, startPair } from './support.ts'

const mebibyte = 1 << 20

/** Chunks of 1 MiB, counting how many were asked for. */
function counted(count: number): { readonly made: () => number; readonly items: AsyncGenerator<Chunk> } {
  let made = 0
  async function* items() {
    for await (const chunk of chunks(count, mebibyte)) {
      made++
      yield chunk
    }
  }
  return { made: () => made, items: items() }
}

/** Waits until a number no longer grows. */
async function settled(read: () => number): Promise<number> {
  let last = -1
  while (read() !== last) {
    last = read()
    await sleep(150)
  }
  return last
}

/** What sender, sockets and receiver may hold: 4 MiB paced, 8 MiB window, 16 messages each side, and some. */
const bound = 48

describe('backpressure', () => {
  it('holds a server back while its client does not read', async () => {
    const source = counted(400)
    const { client } = await startPair({ repeat: () => source.items })
    const stream = client.repeat({ count: 0, size: 0 })
    await stream.next()
    expect(await settled(source.made)).toBeLessThan(bound)
    expect((await collect(stream)).length).toBe(399)
    expect(source.made()).toBe(400)
  })

  it('holds a client back while its server does not read', async () => {
    const source = counted(400)
    let open: (() => void) | undefined
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const { client } = await startPair({
      async collect(requests) {
        await gate
        const sizes = (await collect(requests)).map(({ data }) => data.length)
        return { chunks: sizes.length, bytes: BigInt(sizes.reduce((sum, size) => sum + size, 0)) }
      },
    })
    const result = client.collect(source.items)
    expect(await settled(source.made)).toBeLessThan(bound)
    open?.()
    expect(await result).toEqual({ chunks: 400, bytes: BigInt(400 * mebibyte) })
  })

  it('holds both sides of a bidirectional stream back', async () => {
    const source = counted(300)
    const { client } = await startPair({ exchange: (requests) => requests })
    const stream = client.exchange(source.items)
    await stream.next()
    expect(await settled(source.made)).toBeLessThan(2 * bound)
    expect((await collect(stream)).length).toBe(299)
  })
})
