// Where a server listens, and how it ends.

import { existsSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { closeOnSignals, serveAt, serveTpm } from '../../../emulator/tpm-server/index.ts'
import { afterwards, cleanUp, client, served, temporaryFolder } from './setup.ts'
import { getRandom, response, ToyTpm } from './toy-tpm.ts'

afterEach(cleanUp)

const refusedBeforeInit = Buffer.from(response(0x101)).toString('hex')

describe('TCP', () => {
  it('finds a free pair of ports on the loopback address and says what to give tpm2-tools', async () => {
    const servers = await Promise.all(Array.from({ length: 10 }, async () => served('mssim')))
    const ports = servers.map(({ server }) => {
      const { data, control, tcti } = server.addresses
      if (data?.kind !== 'tcp' || control?.kind !== 'tcp') throw new Error('expected TCP addresses')
      expect(control.port).toBe(data.port + 1)
      expect(data.host).toBe('127.0.0.1')
      expect(tcti).toBe(`mssim:host=127.0.0.1,port=${data.port}`)
      return data.port
    })
    expect(new Set(ports).size).toBe(10)
  })

  it('fails when a named port or its neighbour is taken, and leaves nothing open', async () => {
    const { server } = await served('swtpm')
    const { data } = server.addresses
    if (data?.kind !== 'tcp') throw new Error('expected a TCP address')
    for (const tcpPort of [data.port, data.port - 1]) {
      await expect(serveTpm({ port: new ToyTpm(), protocol: 'swtpm', tcpPort })).rejects.toThrow('EADDRINUSE')
    }
    const below = createServer()
    await new Promise<void>((resolve, reject) => {
      below.once('error', reject)
      below.listen(data.port - 1, '127.0.0.1', resolve)
    })
    await new Promise((resolve) => below.close(resolve))
    await expect(serveTpm({ port: new ToyTpm(), protocol: 'mssim', tcpPort: 65_535 })).rejects.toThrow(
      RangeError,
    )
  })
})

describe('UNIX sockets', () => {
  it('listens at a path and at that path with .ctrl, for the owner only, and removes both', async () => {
    const unixPath = join(temporaryFolder(), 'tpm')
    const { server, data, control } = await served('swtpm', { unixPath })
    expect(server.addresses.tcti).toBe(`swtpm:path=${unixPath}`)
    expect(statSync(unixPath).mode & 0o777).toBe(0o600)
    expect(statSync(`${unixPath}.ctrl`).mode & 0o777).toBe(0o600)
    expect(await (await data()).ask(10, getRandom)).toBe(refusedBeforeInit)
    expect(await (await control()).ask(8, 1)).toBe('000000000001efff')
    await server.close()
    expect(existsSync(unixPath) || existsSync(`${unixPath}.ctrl`)).toBe(false)
  })

  it('takes the place of a socket that nobody listens on, but of nothing else', async () => {
    const folder = temporaryFolder()
    const path = join(folder, 'tpm')
    const holder = createServer()
    await new Promise<void>((resolve) => holder.listen(path, resolve))
    const options = { port: new ToyTpm(), protocol: 'swtpm', unixPath: path } as const
    await expect(serveTpm(options)).rejects.toThrow('EADDRINUSE')
    writeFileSync(join(folder, 'file'), 'keep')
    await expect(serveTpm({ ...options, unixPath: join(folder, 'file') })).rejects.toThrow('EADDRINUSE')
    await expect(serveTpm({ ...options, unixPath: `/tmp/${'x'.repeat(108)}` })).rejects.toThrow('107 bytes')
    expect(existsSync(`${path}.ctrl`)).toBe(false)
    await new Promise((resolve) => holder.close(resolve))
  })

  it('serves control beside TCP data, or nowhere', async () => {
    const path = join(temporaryFolder(), 'control')
    const both = await serveAt({
      port: new ToyTpm(),
      protocol: 'swtpm',
      data: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      control: { kind: 'unix', path, mode: 0o660 },
    })
    afterwards(async () => both.close())
    expect(statSync(path).mode & 0o777).toBe(0o660)
    expect(await (await client(both.addresses.control)).ask(4, 2, 0)).toBe('00000000')
    expect(await (await client(both.addresses.data)).ask(10, getRandom)).toBe(
      Buffer.from(response(0x100)).toString('hex'),
    )
    const { server, data } = await served('mssim', { control: null })
    expect(server.addresses).toMatchObject({ control: null, tcti: null })
    expect(await (await data()).ask(12, 15, 1)).toBe('000000010000000d00000000')
  })
})

describe('the end', () => {
  it('writes the state, ends every client, and is the same end for everybody who asks', async () => {
    const { server, tpm, data } = await served('mssim', { powerOn: true })
    const connected = await data()
    await Promise.all([server.close(), server.close()])
    expect(await server.closed).toBe('closed')
    expect(await connected.untilEnd()).toBe('')
    expect(tpm.calls).toEqual(['powerOn', 'flush'])
    expect(tpm.powered).toBe(true)
  })

  it('ends a client that does not read, too', async () => {
    const { server, data } = await served('swtpm', { powerOn: true })
    const connected = await data()
    connected.socket.pause()
    connected.socket.write(Buffer.concat(Array.from({ length: 500_000 }, () => getRandom)))
    await new Promise((resolve) => setTimeout(resolve, 300))
    const before = performance.now()
    await server.close()
    expect(performance.now() - before).toBeLessThan(3000)
  })

  it('says when the state could not be written', async () => {
    class Unwritable extends ToyTpm {
      override flush(): void {
        throw new Error('expected room on the disk, found none')
      }
    }
    const server = await serveTpm({ port: new Unwritable(), protocol: 'mssim', tcpPort: 0 })
    await expect(server.close()).rejects.toThrow('found none')
  })

  it('comes with SIGTERM when asked to', async () => {
    const { server } = await served('mssim')
    const stop = closeOnSignals(server, ['SIGTERM'])
    process.kill(process.pid, 'SIGTERM')
    expect(await server.closed).toBe('closed')
    stop()
    expect(process.listenerCount('SIGTERM')).toBe(0)
  })
})
