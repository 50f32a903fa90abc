// Sockets that clients pass over the control channel, as QEMU's TPM backend does; and clients that pass everything else.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { serveAt, serveQemu } from '../../../emulator/tpm-server/index.ts'
import type { TpmServer } from '../../../emulator/tpm-server/index.ts'
import { endProcess, nodeArguments, spawnCommand } from '../../../emulator/testbed/index.ts'
import { bytes } from './client.ts'
import type { Client } from './client.ts'
import { datagramSocket, handleOn, pair, PassingClient } from './passing-client.ts'
import type { Handle } from './passing-client.ts'
import { afterwards, cleanUp, client, listens, temporaryFolder } from './setup.ts'
import { getRandom, random, response, startupClear, ToyTpm } from './toy-tpm.ts'

afterEach(cleanUp)

const ok = '00000000'
const badParameter = '00000003'
const ioError = '0000001f'
const getCapability = 0x01
const init = 0x02
const shutdown = 0x03
const getEstablished = 0x04
const setDataFd = 0x10
const answer = Buffer.from(random(8)).toString('hex')

interface Front {
  readonly path: string
  readonly server: TpmServer
  readonly log: string[]
  readonly control: () => Promise<PassingClient>
}

async function front(tcpPort?: number): Promise<Front> {
  const path = join(temporaryFolder(), 'tpm')
  const log: string[] = []
  const server = await serveQemu({
    port: new ToyTpm(),
    socketPath: path,
    log: (level, text) => log.push(`${level}: ${text}`),
    ...(tcpPort === undefined ? {} : { tcpPort }),
  })
  afterwards(async () => server.close())
  return { path, server, log, control: async () => PassingClient.to(path) }
}

/** Passes one end of a new connection with SET_DATAFD; the other end, and the result. */
async function passData(control: PassingClient, kind: 'tcp' | 'unix' = 'unix'): Promise<[Client, string]> {
  const { passed, client: data } = await pair(kind)
  control.pass(passed, setDataFd)
  const result = await control.client.read(4)
  passed.close()
  return [data, result]
}

async function expectAnswers(data: Client): Promise<void> {
  expect(await data.ask(20, getRandom)).toBe(answer)
}

describe('a socket that is passed', () => {
  it.each(['unix', 'tcp'] as const)('is where commands are taken: %s', async (kind) => {
    const { control } = await front()
    const channel = await control()
    expect(await channel.ask(8, getCapability)).toBe('000000000001ffff')
    const [data, result] = await passData(channel, kind)
    expect(result).toBe(ok)
    expect(await data.ask(10, getRandom)).toBe(Buffer.from(response(0x101)).toString('hex'))
    expect(await channel.ask(4, init, 0)).toBe(ok)
    await data.ask(10, startupClear)
    await expectAnswers(data)
  })

  it('is one at a time, as with swtpm, and the next when that one has gone', async () => {
    const { control } = await front()
    const [first, second] = [await control(), await control()]
    const [data] = await passData(first)
    await first.ask(4, init, 0)
    await data.ask(10, startupClear)
    const [refused, result] = await passData(second)
    expect(result).toBe(ioError)
    expect(await refused.untilEnd()).toBe('')
    await expectAnswers(data)
    data.end()
    const next = async (): Promise<string> => {
      const [, again] = await passData(await control())
      return again
    }
    await expect.poll(next, { timeout: 10_000 }).toBe(ok)
  })

  it('may come with bytes of other requests around it', async () => {
    const { control } = await front()
    const channel = await control()
    const { passed, client: data } = await pair('unix')
    channel.client.send(getCapability)
    channel.pass(passed, getCapability, setDataFd, getCapability)
    channel.client.send(getCapability)
    const capabilities = bytes(0, 0x1ffff).toString('hex')
    expect(await channel.client.read(36)).toBe(capabilities + capabilities + ok + capabilities + capabilities)
    passed.close()
    expect(await data.ask(10, getRandom)).toBe(Buffer.from(response(0x101)).toString('hex'))
  })

  it('leaves the TCP ports to tools beside the VM, on the same TPM', async () => {
    const { control, server } = await front(0)
    const channel = await control()
    const [data] = await passData(channel)
    expect(server.addresses.tcti).toMatch(/^swtpm:host=127\.0\.0\.1,port=\d+$/)
    await channel.ask(4, init, 0)
    await data.ask(10, startupClear)
    await expectAnswers(await client(server.addresses.data))
    expect(await (await client(server.addresses.control)).ask(4, setDataFd)).toBe(ioError)
    expect(await channel.ask(4, shutdown)).toBe(ok)
    expect(await server.closed).toBe('shutdown')
  })

  it('is not offered beside a data port, nor over TCP', async () => {
    const folder = temporaryFolder()
    const [path, data] = [join(folder, 'control'), join(folder, 'data')]
    const server = await serveAt({
      port: new ToyTpm(),
      protocol: 'swtpm',
      data: { kind: 'unix', path: data },
      control: { kind: 'unix', path },
    })
    afterwards(async () => server.close())
    const channel = await PassingClient.to(path)
    expect(await channel.ask(8, getCapability)).toBe('000000000001efff')
    const [refused, result] = await passData(channel)
    expect(result).toBe(ioError)
    expect(await refused.untilEnd()).toBe('')
  })
})

/** Descriptors of this process, and the processes that read for it. */
function held(): { readonly descriptors: number; readonly processes: number } {
  const processes = process.getActiveResourcesInfo().filter((kind) => kind === 'ProcessWrap').length
  return { descriptors: readdirSync('/proc/self/fd').length, processes }
}

function fifo(): Handle {
  const path = join(temporaryFolder(), 'fifo')
  spawnSync('mkfifo', [path])
  return handleOn(openSync(path, 'r+'))
}

describe('a client that passes what it should not', () => {
  it.each([
    { what: 'a FIFO', make: fifo, expected: badParameter },
    { what: 'a folder', make: () => handleOn(openSync('/', 'r')), expected: badParameter },
    { what: 'a datagram socket', make: datagramSocket, expected: badParameter },
    // Node's own code ends the process that receives one of these.
    { what: 'a file', make: () => handleOn(openSync('/etc/passwd', 'r')), expected: '' },
    { what: 'a terminal', make: () => handleOn(openSync('/dev/ptmx', 'r+')), expected: '' },
  ])('$what: others go on, nothing is kept', async ({ make, expected }) => {
    const { control } = await front()
    const other = await control()
    expect(await other.ask(4, init, 0)).toBe(ok)
    const before = held()
    const hostile = await control()
    const handle = make()
    hostile.pass(handle, setDataFd)
    const outcome = expected === '' ? hostile.client.untilEnd() : hostile.client.read(4)
    expect(await outcome).toBe(expected)
    expect(await other.ask(8, getEstablished)).toBe(ok + ok)
    handle.close()
    hostile.client.end()
    await expect.poll(held, { timeout: 10_000 }).toEqual(before)
    const [data, result] = await passData(other)
    expect(result).toBe(ok)
    await data.ask(10, startupClear)
    await expectAnswers(data)
  })

  it('nothing with SET_DATAFD: it is refused, and may do better', async () => {
    const { control, log } = await front()
    const channel = await control()
    expect(await channel.ask(4, setDataFd)).toBe(badParameter)
    expect(log).toContainEqual(expect.stringMatching(/SET_DATAFD came without/))
    expect((await passData(channel))[1]).toBe(ok)
  })

  it('a socket with another request: it is closed with the connection', async () => {
    const { control } = await front()
    const channel = await control()
    const before = held()
    const { passed, client: data } = await pair('unix')
    channel.pass(passed, getCapability)
    await channel.client.read(8)
    passed.close()
    expect(await data.within(50)).toBe('')
    channel.client.end()
    expect(await data.untilEnd()).toBe('')
    await expect.poll(() => held().descriptors, { timeout: 10_000 }).toBeLessThan(before.descriptors)
  })

  it('a socket that is dead by the time of SET_DATAFD: it is as none', async () => {
    const { control } = await front()
    const channel = await control()
    const { passed, client: data } = await pair('tcp')
    channel.pass(passed, getCapability)
    await channel.client.read(8)
    passed.close()
    data.socket.resetAndDestroy()
    await expect.poll(async () => channel.ask(4, setDataFd), { timeout: 10_000 }).toBe(badParameter)
  })

  it('hundreds of sockets: the first one counts', async () => {
    const { control } = await front()
    const channel = await control()
    const before = held()
    const { passed, client: data } = await pair('unix')
    for (let count = 0; count < 300; count += 1) channel.pass(passed, setDataFd)
    const results = await channel.client.read(4 * 300)
    expect(results).toBe(ok + ioError.repeat(299))
    passed.close()
    expect(await channel.ask(4, init, 0)).toBe(ok)
    await data.ask(10, startupClear)
    await expectAnswers(data)
    channel.client.end()
    data.end()
    await expect.poll(() => held().descriptors, { timeout: 10_000 }).toBeLessThan(before.descriptors)
    expect(held().processes).toBe(0)
  })

  it('forty connections at once: those that are of no use make room', async () => {
    const { control } = await front()
    const useful = await control()
    await useful.ask(8, getCapability)
    const many = await Promise.all(Array.from({ length: 40 }, control))
    const late = await control()
    expect(await late.ask(8, getCapability)).toBe('000000000001ffff')
    expect(await useful.ask(8, getCapability)).toBe('000000000001ffff')
    expect(held().processes).toBeLessThanOrEqual(16)
    for (const one of many) one.client.end()
  })
})

describe('programs', () => {
  it('swtpm takes a socket on --ctrl type=unixio, warns of nothing, and ends with SHUTDOWN', async () => {
    const folder = temporaryFolder()
    const path = join(folder, 'control')
    const child = spawn(
      process.execPath,
      [
        ...nodeArguments(['cli', 'swtpm']),
        ...['socket', '--tpm2', '--tpmstate', `dir=${folder}`, '--ctrl', `type=unixio,path=${path}`],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, NODE_PENDING_DEPRECATION: '1' } },
    )
    afterwards(() => {
      child.kill('SIGKILL')
    })
    let complaints = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text))
    await expect.poll(() => listens(path), { timeout: 30_000 }).toBe(true)
    const channel = await PassingClient.to(path)
    const [data, result] = await passData(channel)
    expect(result).toBe(ok)
    expect(await channel.ask(4, init, 0)).toBe(ok)
    expect(await data.ask(10, startupClear)).toBe(Buffer.from(response(0)).toString('hex'))
    expect(await channel.ask(4, shutdown)).toBe(ok)
    expect(await once(child, 'exit')).toEqual([0, null])
    expect(complaints).toBe('')
  })

  it('palimpsest tpm serve ends with QEMU, and has the same TPM the next time', async () => {
    const folder = temporaryFolder()
    const socket = join(folder, 'tpm')
    const boots: number[] = []
    for (let round = 0; round < 2; round += 1) {
      const serve = ['tpm', 'serve', '--protocol', 'qemu', '--socket', socket, '--state', folder, '--json']
      const { process: child, ready } = await spawnCommand(serve)
      afterwards(() => endProcess(child))
      expect(ready).toEqual({ protocol: 'qemu', socket, control: socket, tcti: null })
      const channel = await PassingClient.to(socket)
      const [data] = await passData(channel)
      await channel.ask(4, init, 0)
      await data.ask(10, startupClear)
      // TPM2_ReadClock: a header, time and clock of eight bytes each, then how often the TPM was started.
      const clock = await data.ask(35, '80010000000a00000181')
      boots.push(parseInt(clock.slice(2 * 26, 2 * 30), 16))
      expect(await channel.ask(4, shutdown)).toBe(ok)
      expect(await once(child, 'exit')).toEqual([0, null])
    }
    expect(boots[1]).toBe((boots[0] ?? NaN) + 1)
  })

  it.each([
    [['--protocol', 'qemu'], '--protocol qemu: expected --socket PATH'],
    [['--socket', 'x'], '--socket: expected --protocol qemu with it'],
    [['--protocol', 'qemu', '--socket', 'x', '--unix', 'y'], '--unix: expected only --socket'],
    [['--protocol', 'qemu', '--socket', 'x', '--startup'], '--startup: with --protocol qemu the firmware'],
  ])('palimpsest tpm serve %j is refused', (words, complaint) => {
    const command = [...nodeArguments(['cli', 'main']), 'tpm', 'serve', ...words]
    const { status, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8' })
    expect(status).toBe(2)
    expect(stderr).toContain(complaint)
  })

  it('says so at the start when Node cannot receive descriptors', async () => {
    const { execPath } = process
    afterwards(() => {
      process.execPath = execPath
    })
    process.execPath = '/bin/false'
    await expect(front()).rejects.toThrow(
      /expected a Node that can receive descriptors .* found none in Node v/,
    )
    process.execPath = execPath
    await expect(front()).resolves.toBeDefined()
  })
})
