/** The end of a server: health first, streams aborted, unary calls finished, sockets removed, nothing hangs. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { connect, createServer, implement } from '../../../sdk/rpc/index.ts'
import { Health } from '../../../sdk/rpc/contract/grpc/health/v1/health.ts'
import { EchoService } from '../../vectors/rpc/contract/index.ts'
import { chunks, collect, failure, scratchFolder, startClient, startPair, startServer } from './support.ts'

const answer = { text: 'hello', subject: '', certificateDigest: new Uint8Array() }

describe('close', () => {
  it('ends open streams at once with UNAVAILABLE and lets unary calls finish', async () => {
    let aborted = false
    const { server, client } = await startPair({
      echo: () => sleep(300, answer),
      async *repeat(_request, { signal }) {
        yield* chunks(1, 1)
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve)
        })
        aborted = true
      },
    })
    const stream = client.repeat({ count: 0, size: 0 })
    await stream.next()
    const unary = client.echo({ text: '' })
    await sleep(50)
    const closed = server.close({ graceMs: 2000 })
    expect(await failure(stream.next())).toMatchObject({
      code: 'UNAVAILABLE',
      message: 'the server is shutting down',
    })
    expect(await unary).toEqual(answer)
    await closed
    expect(aborted).toBe(true)
  })

  it('cuts what does not end within the grace', async () => {
    const { server, client } = await startPair({ echo: () => new Promise(() => undefined) })
    const call = failure(client.echo({ text: '' }))
    await sleep(50)
    const start = Date.now()
    await server.close({ graceMs: 200 })
    expect(Date.now() - start).toBeLessThan(1500)
    expect(['UNAVAILABLE', 'CANCELLED']).toContain((await call).code)
  })

  it('does not wait for a stream whose handler ignores its signal', async () => {
    const { server, client } = await startPair({
      async *repeat() {
        yield* chunks(1, 1)
        await new Promise(() => undefined)
      },
    })
    const stream = client.repeat({ count: 0, size: 0 })
    await stream.next()
    const rest = failure(collect(stream))
    await server.close({ graceMs: 100 })
    expect((await rest).code).toBe('UNAVAILABLE')
  })

  it('is the same for everybody who asks', async () => {
    const { server } = await startPair({ echo: () => answer })
    expect(server.close()).toBe(server.close())
    await server.close()
  })

  it('says NOT_SERVING to watchers of the health service first', async () => {
    const { server, address } = await startServer({ echo: () => answer })
    const connection = connect({ address })
    onTestFinished(() => {
      connection.close()
    })
    const health = connection.client(Health)
    const service = 'palimpsest.test.v1.EchoService'
    expect(await health.check({ service: '' })).toEqual({ status: 'serving' })
    expect(await health.check({ service })).toEqual({ status: 'serving' })
    expect((await failure(health.check({ service: 'nobody' }))).status).toBe('NOT_FOUND')
    expect(Object.keys((await health.list({})).statuses).sort()).toEqual(['', service])
    const watch = health.watch({ service })
    expect((await watch.next()).value).toEqual({ status: 'serving' })
    const closed = server.close()
    expect((await watch.next()).value).toEqual({ status: 'not-serving' })
    expect((await failure(watch.next())).code).toBe('UNAVAILABLE')
    await closed
  })
})

describe('UNIX sockets', () => {
  it('are for their owner only and go away with the server', async () => {
    const { server, address } = await startServer({ echo: () => answer })
    const file = address.slice('unix:'.length)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    await server.close()
    expect(existsSync(file)).toBe(false)
  })

  it('that nobody answers are replaced', async () => {
    const file = path.join(scratchFolder(), 's.sock')
    const script = `require('node:net').createServer().listen(${JSON.stringify(file)}, () => process.kill(process.pid, 'SIGKILL'))`
    await once(spawn(process.execPath, ['-e', script]), 'exit')
    expect(existsSync(file)).toBe(true)
    const { address } = await startServer({ echo: () => answer }, { address: `unix:${file}` })
    expect(await startClient(address).echo({ text: '' })).toEqual(answer)
  })

  it('that somebody answers are left alone', async () => {
    const { address } = await startServer({ echo: () => answer })
    const second = createServer({ services: [implement(EchoService, {})], reflection: false })
    expect(await failure(second.listen(address))).toMatchObject({ code: 'ALREADY_EXISTS' })
    expect(await startClient(address).echo({ text: '' })).toEqual(answer)
  })

  it('do not replace another file or a link to one', async () => {
    const folder = scratchFolder()
    const file = path.join(folder, 'precious')
    writeFileSync(file, 'x')
    symlinkSync(file, path.join(folder, 'link'))
    for (const name of ['precious', 'link']) {
      const server = createServer({ services: [implement(EchoService, {})], reflection: false })
      const error = await failure(server.listen(`unix:${path.join(folder, name)}`))
      expect(error.code).toBe('ALREADY_EXISTS')
    }
  })

  it('of a later server survive the close of an earlier one', async () => {
    const { server, address } = await startServer({ echo: () => answer })
    const file = address.slice('unix:'.length)
    const later = net.createServer()
    onTestFinished(() => {
      later.close()
    })
    const { rmSync } = await import('node:fs')
    rmSync(file)
    later.listen(file)
    await once(later, 'listening')
    await server.close()
    expect(existsSync(file)).toBe(true)
  })

  it('with a path that is too long are refused by name', async () => {
    const server = createServer({ services: [implement(EchoService, {})], reflection: false })
    const address = `unix:${path.join(scratchFolder(), 'x'.repeat(120))}`
    expect((await failure(server.listen(address))).message).toMatch(/socket path of at most/)
  })
})

describe('addresses', () => {
  it('can be several at once', async () => {
    const server = createServer({
      services: [implement(EchoService, { echo: () => answer })],
      reflection: false,
    })
    onTestFinished(() => server.close({ graceMs: 0 }))
    const bound = await server.listen(`unix:${path.join(scratchFolder(), 'a')}`, '127.0.0.1:0', '127.0.0.1:0')
    expect(new Set(bound).size).toBe(3)
    for (const address of bound) expect(await startClient(address).echo({ text: '' })).toEqual(answer)
  })

  it('that are taken give UNAVAILABLE', async () => {
    const { address } = await startServer({ echo: () => answer }, { address: '127.0.0.1:0' })
    const second = createServer({ services: [implement(EchoService, {})], reflection: false })
    expect((await failure(second.listen(address))).code).toBe('UNAVAILABLE')
  })
})

describe('a dead peer', () => {
  it('is noticed by keepalive', async () => {
    const { address } = await startServer({ echo: () => new Promise(() => undefined) })
    // Passes bytes on until it is told to be silent, as a machine that lost power is.
    let silent = false
    const proxy = net.createServer((inbound) => {
      const outbound = net.connect(address.slice('unix:'.length))
      for (const [from, to] of [
        [inbound, outbound],
        [outbound, inbound],
      ] as const) {
        from.on('error', () => undefined)
        from.on('data', (bytes) => {
          if (!silent) to.write(bytes)
        })
      }
    })
    onTestFinished(() => {
      proxy.close()
    })
    proxy.listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    const { port } = proxy.address() as net.AddressInfo
    const client = startClient(`127.0.0.1:${port}`, { limits: { keepaliveMs: 200, keepaliveTimeoutMs: 200 } })
    await client.waitForReady()
    const call = failure(client.echo({ text: '' }))
    await sleep(100)
    silent = true
    const start = Date.now()
    expect((await call).code).toBe('UNAVAILABLE')
    expect(Date.now() - start).toBeLessThan(5000)
  })
})
