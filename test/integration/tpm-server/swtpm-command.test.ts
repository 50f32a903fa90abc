// The program "swtpm": starting, background, pid file, descriptors that the parent opened, and how it ends.

import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess, SpawnSyncReturns, StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, fstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { afterwards, cleanUp, client, listens, temporaryFolder } from './setup.ts'
import { getRandom, random, response } from './toy-tpm.ts'

afterEach(cleanUp)

const program = [
  '--conditions',
  'palimpsest-source',
  '--import',
  'tsx',
  join(process.cwd(), 'test/integration/tpm-server/toy-swtpm.ts'),
]
const uninitialized = Buffer.from(response(0x101)).toString('hex')
const unstarted = Buffer.from(response(0x100)).toString('hex')
const answer = Buffer.from(random(8)).toString('hex')

function run(...words: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [...program, ...words], { encoding: 'utf8', timeout: 30_000 })
}

function start(words: readonly string[], stdio: StdioOptions = ['ignore', 'pipe', 'pipe']): ChildProcess {
  const child = spawn(process.execPath, [...program, ...words], { stdio })
  afterwards(() => {
    child.kill('SIGKILL')
  })
  return child
}

async function until(condition: () => boolean): Promise<void> {
  await expect.poll(condition, { timeout: 20_000 }).toBe(true)
}

/** The first socket that `act` opened: Node tells no descriptor of a listening server. */
async function opened(act: () => Promise<void>): Promise<number> {
  const sockets = (): number[] =>
    readdirSync('/proc/self/fd')
      .map(Number)
      .filter((descriptor) => {
        try {
          return fstatSync(descriptor).isSocket()
        } catch {
          return false
        }
      })
  const before = new Set(sockets())
  await act()
  const after = sockets().filter((descriptor) => !before.has(descriptor))
  return after[0] ?? -1
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe('swtpm socket', () => {
  it('serves until SIGTERM, with its pid in a file meanwhile', async () => {
    const folder = temporaryFolder()
    const [path, pid] = [join(folder, 'data'), join(folder, 'pid')]
    const child = start([
      ...['socket', '--tpm2', '--server', `type=unixio,path=${path}`],
      ...['--ctrl', `type=unixio,path=${path}.c`, '--pid', `file=${pid}`, '--tpmstate', `dir=${folder}`],
    ])
    await until(() => existsSync(pid) && readFileSync(pid, 'utf8') !== '')
    expect(readFileSync(pid, 'utf8')).toBe(String(child.pid))
    expect(await (await client({ kind: 'unix', path })).ask(10, getRandom)).toBe(uninitialized)
    const channel = await client({ kind: 'unix', path: `${path}.c` })
    expect(await channel.ask(4, 2, 0)).toBe('00000000')
    // The volatile state is a file that --print-states shows.
    expect(await channel.ask(4, 0xa)).toBe('00000000')
    const states = run('socket', '--tpm2', '--tpmstate', `dir=${folder}`, '--print-states')
    expect(JSON.parse(states.stdout)).toEqual({ type: 'swtpm', states: [{ name: 'volatile', size: 2 }] })
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
    expect([path, `${path}.c`, pid].filter(existsSync)).toEqual([])
  })

  it('returns from --daemon when clients can connect, with nothing left in its pipes', async () => {
    const folder = temporaryFolder()
    const [path, pid] = [join(folder, 'data'), join(folder, 'pid')]
    // spawnSync waits until both pipes end, as $(...) in a shell does.
    const begun = run(
      ...['socket', '--tpm2', '--server', `type=unixio,path=${path}`, '--flags', 'startup-clear', '-d'],
      ...['--ctrl', `type=unixio,path=${path}.c`, '--pid', `file=${pid}`, '--tpmstate', `dir=${folder}`],
    )
    expect([begun.status, begun.stdout, begun.stderr]).toEqual([0, '', ''])
    const process_ = Number(readFileSync(pid, 'utf8'))
    expect(alive(process_)).toBe(true)
    expect(await (await client({ kind: 'unix', path })).ask(20, getRandom)).toBe(answer)
    // A complaint finds no reader any more; the program does not mind.
    const channel = await client({ kind: 'unix', path: `${path}.c` })
    expect(await channel.ask(4, 0x99)).toBe('0000000a')
    expect(await channel.ask(4, 3)).toBe('00000000')
    await until(() => !alive(process_))
    expect(existsSync(pid)).toBe(false)
  })

  it('fails from --daemon as it would without, and leaves nothing behind', () => {
    const folder = temporaryFolder()
    const words = [
      'socket',
      '--tpm2',
      '--server',
      `type=unixio,path=${folder}/data`,
      '--tpmstate',
      'dir=/missing',
    ]
    for (const more of [[], ['--daemon', '--pid', `file=${folder}/pid`]]) {
      const { status, stderr } = run(...words, ...more)
      expect(status).toBe(1)
      expect(stderr).toBe('swtpm: Error: expected a folder for the state, found no /missing\n')
    }
    expect(existsSync(join(folder, 'pid'))).toBe(false)
  })

  it('takes a connected socket and a listening one from its parent, and ends with the first', async () => {
    const folder = temporaryFolder()
    const accepting = createServer({ pauseOnConnect: true })
    const listening = createServer()
    const listeningDescriptor = await opened(async () => {
      await once(listening.listen(0, '127.0.0.1'), 'listening')
    })
    const { port } = listening.address() as AddressInfo
    await once(accepting.listen(0, '127.0.0.1'), 'listening')
    const ours = createConnection((accepting.address() as AddressInfo).port, '127.0.0.1')
    const [theirs] = (await once(accepting, 'connection')) as [Socket]
    const child = start(
      [
        ...['socket', '--tpm2', '--server', 'type=tcp,fd=3', '--flags', 'not-need-init'],
        ...['--ctrl', 'type=unixio,fd=4', '--tpmstate', `dir=${folder}`],
      ],
      ['ignore', 'pipe', 'pipe', theirs, listeningDescriptor],
    )
    // This process's own copies; the program has its own.
    theirs.destroy()
    accepting.close()
    listening.close()
    ours.write(getRandom)
    const [reply] = (await once(ours, 'data')) as [Buffer]
    expect(reply.toString('hex')).toBe(unstarted)
    const channel = await client({ kind: 'tcp', host: '127.0.0.1', port })
    expect(await channel.ask(4, 5, '03')).toBe('00000000')
    ours.end()
    expect(await once(child, 'exit')).toEqual([0, null])
  })

  it('writes its log where it is told to, with the level that it is told', async () => {
    const folder = temporaryFolder()
    const log = join(folder, 'log')
    writeFileSync(log, 'before\n')
    const child = start([
      ...['socket', '--tpm2', '--ctrl', `type=unixio,path=${folder}/c`, '--seccomp', 'action=kill'],
      ...['--log', `file=${log},level=5,prefix=tpm:,truncate`, '--tpmstate', `dir=${folder}`],
    ])
    await until(() => listens(join(folder, 'c')))
    await (await client({ kind: 'unix', path: join(folder, 'c') })).ask(4, 3)
    expect(await once(child, 'exit')).toEqual([0, null])
    const lines = readFileSync(log, 'utf8').split('\n')
    expect(lines[0]).toBe('tpm:--seccomp has no effect: this program sets no seccomp profile')
    expect(lines).toContain('tpm:control request 3')
    expect(lines).not.toContain('before')
  })

  it.each([
    [['chardev', '--tpm2'], 'chardev interface is not supported'],
    [['cuse'], 'cuse interface is not supported'],
    [['socket', '--tpm2', '--server', 'port=0', '--key', 'file=x'], '--key is not supported'],
    [['socket', '--tpm2'], 'nothing to serve'],
    [['socket', '--server', 'port=0'], 'without --tpm2'],
    [['socket', '--tpm2', '--server', 'port=0', '--flags', 'startup-deactivated'], 'startup deactivated'],
    [['socket', '--tpm2', '--server', 'port=0', '--pid', 'file=/missing/pid'], 'Could not open pidfile'],
  ])('refuses %j with exit code 1', (words, complaint) => {
    const { status, stderr } = run(...words)
    expect(status).toBe(1)
    expect(stderr).toContain(complaint)
  })
})
