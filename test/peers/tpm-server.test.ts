// The servers beside swtpm itself: the same bytes go to both and the replies are compared; swtpm's own control tool and
// tpm2-tools are clients of ours; and both programs are given the same command lines. The TPM behind ours is a toy where
// what is compared is what the protocol decides, not what a TPM computes.

import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TestContext } from 'vitest'
import { openTpm } from '../../emulator/cli/tpm/served-tpm.ts'
import { runSwtpm } from '../../emulator/tpm-server/index.ts'
import type { Listen } from '../../emulator/tpm-server/index.ts'
import { bytes, Client } from '../integration/tpm-server/client.ts'
import { cleanUp, served } from '../integration/tpm-server/setup.ts'
import { getRandom, startupClear } from '../integration/tpm-server/toy-tpm.ts'
import { requireFile, requireTool, run } from './tool.ts'

const folder = mkdtempSync(join(tmpdir(), 'tpm-peers-'))
let peer: ChildProcess | undefined

afterEach(async () => {
  await cleanUp()
  if (peer?.exitCode === null && peer.signalCode === null) {
    peer.kill('SIGTERM')
    await once(peer, 'exit')
  }
  peer = undefined
})

afterAll(() => {
  rmSync(folder, { recursive: true })
})

/** Debian's swtpm, not a program of the same name that comes before it on PATH. */
const swtpmProgram = '/usr/bin/swtpm'

function requireSwtpm(context: TestContext): void {
  requireFile(context, 'swtpm', swtpmProgram)
}

/** Starts swtpm on UNIX sockets with a state of its own. */
async function startSwtpm(): Promise<{ readonly data: Listen; readonly control: Listen }> {
  const place = mkdtempSync(join(folder, 'swtpm-'))
  const [data, control] = [join(place, 'data'), join(place, 'control')]
  peer = spawn(
    swtpmProgram,
    [
      ...['socket', '--tpm2', '--tpmstate', `dir=${place}`, '--log', 'file=-'],
      ...['--server', `type=unixio,path=${data}`, '--ctrl', `type=unixio,path=${control}`],
    ],
    { stdio: 'ignore' },
  )
  await expect.poll(() => existsSync(data) && existsSync(control), { timeout: 10_000 }).toBe(true)
  return { data: { kind: 'unix', path: data }, control: { kind: 'unix', path: control } }
}

/** Sends a request on a connection of its own, as tpm2-tss and swtpm_ioctl do; gives all that comes back. */
async function ask(address: Listen, request: Buffer, count: number): Promise<string> {
  const client = await Client.to(address)
  try {
    const reply = await client.ask(count, request)
    const rest = await client.within(20)
    return reply + rest
  } finally {
    client.end()
  }
}

/** A row: what is asked at which port, and how long the reply is. */
type Row = readonly [name: string, port: 'data' | 'control', request: Buffer, count: number]

const rows: readonly Row[] = [
  ['an unknown request', 'control', bytes(0x99), 4],
  ['request 0', 'control', bytes(0), 4],
  ['GET_CONFIG', 'control', bytes(0xf), 8],
  ['GET_TPMESTABLISHED while stopped', 'control', bytes(4), 4],
  ['GET_STATEBLOB while stopped', 'control', bytes(0xc, 1, 1, 0), 4],
  ['HASH_START while stopped', 'control', bytes(6), 4],
  ['CANCEL while stopped', 'control', bytes(9), 4],
  ['STORE_VOLATILE while stopped', 'control', bytes(0xa), 4],
  ['RESET_TPMESTABLISHED while stopped', 'control', bytes(0xb, '03'), 4],
  ['SET_BUFFERSIZE, asking', 'control', bytes(0x11, 0), 16],
  ['SET_BUFFERSIZE as QEMU does for CRB', 'control', bytes(0x11, 3968), 16],
  ['SET_BUFFERSIZE, too small', 'control', bytes(0x11, 1), 16],
  ['SET_BUFFERSIZE, too large', 'control', bytes(0x11, 1_000_000), 16],
  ['SET_LOCALITY 1', 'control', bytes(5, '01'), 4],
  ['SET_LOCALITY 5', 'control', bytes(5, '05'), 4],
  ['SET_LOCALITY 0 as QEMU pads it', 'control', bytes(5, '00000000'), 4],
  ['SET_DATAFD without a descriptor', 'control', bytes(0x10), 4],
  ['SET_STATEBLOB of an unknown type', 'control', bytes(0xd, 0, 9, 4, 'aabbccdd'), 4],
  ['a command before INIT', 'data', getRandom, 10],
  ['a prefixed command before INIT', 'data', bytes(8, '00', 12, getRandom), 18],
  ['STOP while stopped', 'control', bytes(0xe), 4],
  ['INIT', 'control', bytes(2, 0), 4],
  ['SET_BUFFERSIZE while running', 'control', bytes(0x11, 4096), 4],
  ['SET_STATEBLOB while running', 'control', bytes(0xd, 0, 1, 4, 'aabbccdd'), 4],
  ['a command before TPM2_Startup', 'data', getRandom, 10],
  ['TPM2_Startup', 'data', startupClear, 10],
  ['TPM2_Startup again, prefixed', 'data', bytes(8, '00', 12, startupClear), 18],
  ['a command with a size below its header', 'data', bytes('8001000000050000017b0008'), 10],
  ['the vendor command that sets the locality', 'data', bytes('80010000000b2000100001'), 10],
  ['GET_TPMESTABLISHED', 'control', bytes(4), 8],
  ['RESET_TPMESTABLISHED at locality 0', 'control', bytes(0xb, '00'), 4],
  ['RESET_TPMESTABLISHED at locality 9', 'control', bytes(0xb, '09'), 4],
  ['HASH_START', 'control', bytes(6), 4],
  ['HASH_DATA', 'control', bytes(7, 3, 'aabbcc'), 4],
  ['HASH_END', 'control', bytes(8), 4],
  ['GET_TPMESTABLISHED after a launch', 'control', bytes(4), 8],
  ['RESET_TPMESTABLISHED at locality 3', 'control', bytes(0xb, '03'), 4],
  ['GET_TPMESTABLISHED after its reset', 'control', bytes(4), 8],
  ['CANCEL', 'control', bytes(9), 4],
  ['GET_STATEBLOB beyond the end', 'control', bytes(0xc, 0, 1, 0x4000_0000), 16],
  ['GET_STATEBLOB of the savestate that there is not', 'control', bytes(0xc, 0, 3, 0), 16],
  ['GET_STATEBLOB of an unknown type', 'control', bytes(0xc, 0, 9, 0), 16],
  ['GET_INFO of nothing', 'control', bytes(0x12, 0, 0, 0, 0), 15],
  ['GET_INFO beyond the end', 'control', bytes(0x12, 0, 1, 100_000, 0), 4],
  ['STORE_VOLATILE', 'control', bytes(0xa), 4],
  ['INIT that resumes', 'control', bytes(2, 1), 4],
  ['TPM2_Startup of a resumed TPM', 'data', startupClear, 10],
  ['STOP', 'control', bytes(0xe), 4],
  ['a command while stopped', 'data', getRandom, 10],
  ['SHUTDOWN', 'control', bytes(3), 4],
]

describe('beside swtpm', () => {
  beforeEach(requireSwtpm)

  it('every request gets the same bytes', async () => {
    const theirs = await startSwtpm()
    const ours = await served('swtpm')
    for (const [name, port, request, count] of rows) {
      const expected = await ask(theirs[port], request, count)
      const address = ours.server.addresses[port]
      if (address === null) throw new Error('expected both addresses')
      expect(await ask(address, request, count), name).toBe(expected)
    }
    expect(await ours.server.closed).toBe('shutdown')
  })

  it('the buffer size is what the TPM reports and keeps to, ours as theirs', async () => {
    const theirs = await startSwtpm()
    const { data, control } = (await served('swtpm', { port: openTpm(null).port })).server.addresses
    if (data === null || control === null) throw new Error('expected both addresses')
    /** GetCapability: TPM_PT_MAX_COMMAND_SIZE and TPM_PT_MAX_RESPONSE_SIZE. */
    const limits = bytes('8001', 22, 0x17a, 6, 0x11e, 2)
    const sized = (size: number): Buffer => bytes('8001', size, 0x17b, Buffer.alloc(size - 10))
    for (const size of [3000, 2808, 1, 1_000_000]) {
      const said = async (at: { readonly data: Listen; readonly control: Listen }): Promise<string[]> => [
        await ask(at.control, bytes(0xe), 4),
        await ask(at.control, bytes(0x11, size), 16),
        await ask(at.control, bytes(2, 0), 4),
        await ask(at.data, startupClear, 10),
        await ask(at.data, limits, 35),
        await ask(at.data, sized(Math.min(Math.max(size, 2808), 4096)), 10),
        await ask(at.data, sized(Math.min(Math.max(size, 2808), 4096) + 1), 10),
      ]
      const ours = await said({ data, control })
      expect(ours, String(size)).toEqual(await said(theirs))
    }
  })

  it('the capabilities are those of a later version, less the one that needs descriptors', async () => {
    const theirs = await startSwtpm()
    const ours = await served('swtpm')
    const [their, our] = [theirs.control, ours.server.addresses.control].map(async (address) => {
      if (address === null) throw new Error('expected an address')
      return parseInt(await ask(address, bytes(1), 8), 16)
    })
    const sendDescriptor = 0x1000
    const lockStorage = 0x1_0000
    expect(await our).toBe(((await their) ?? 0) - sendDescriptor + lockStorage)
  })

  it('GET_INFO gives JSON with the same members', async () => {
    const theirs = await startSwtpm()
    const ours = await served('swtpm')
    const members = async (address: Listen | null): Promise<unknown> => {
      if (address === null) throw new Error('expected an address')
      const text = Buffer.from(await ask(address, bytes(0x12, 0, 3, 0, 0), 12), 'hex').subarray(12, -1)
      const information = JSON.parse(text.toString()) as Record<string, object>
      return Object.entries(information).map(([name, part]) => [name, Object.keys(part)])
    }
    expect(await members(ours.server.addresses.control)).toEqual(await members(theirs.control))
  })
})

describe('swtpm_ioctl as a client', () => {
  it('drives the whole control channel', async (context) => {
    const ioctl = requireTool(context, 'swtpm-tools', 'swtpm_ioctl')
    const { server, tpm } = await served('swtpm')
    const { control } = server.addresses
    if (control?.kind !== 'tcp') throw new Error('expected a TCP address')
    const call = async (...words: readonly string[]): Promise<string> => {
      const child = spawn(ioctl, ['--tcp', `127.0.0.1:${control.port}`, ...words])
      let output = ''
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          output += text
        })
      }
      const [code] = (await once(child, 'close')) as [number]
      return `${code}: ${output}`.trim()
    }
    expect(await call('-c')).toBe('0: ptm capability is 0x1efff')
    expect(await call('-i')).toBe('0:')
    expect(tpm.calls).toEqual(['powerOn'])
    expect(await call('-e')).toBe('0: tpmEstablished is 0')
    expect(await call('-h', 'hello')).toBe('0:')
    expect(tpm.calls.slice(1)).toEqual(['hashStart', 'hashData 5', 'hashEnd'])
    expect(await call('-e')).toBe('0: tpmEstablished is 1')
    expect(await call('-r', '3')).toBe('0:')
    expect(await call('-l', '3')).toBe('0:')
    expect(await call('-C')).toBe('0:')
    expect(await call('-g')).toBe('0: ptm configuration flags: 0x0')
    expect(await call('--info', '1')).toMatch(/^0: \{"TPMSpecification":\{"family":"2\.0"/)
    const saved = join(folder, 'permanent')
    expect(await call('--save', 'permanent', saved)).toBe('0:')
    expect(readFileSync(saved).equals(tpm.saveState('permanent'))).toBe(true)
    expect(await call('-v')).toBe('0:')
    // Refused while running, taken while stopped.
    expect(await call('--load', 'permanent', saved)).toMatch(/^1: /)
    expect(await call('--stop')).toBe('0:')
    expect(await call('--load', 'permanent', saved)).toBe('0:')
    expect(tpm.calls.at(-1)).toBe('loadState permanent 5000')
    expect(await call('-b', '3000')).toMatch(/3000/)
    expect(await call('-s')).toBe('0:')
    expect(await server.closed).toBe('shutdown')
  })
})

describe.each(['mssim', 'swtpm'] as const)('tpm2_getrandom with the %s TCTI', (protocol) => {
  it('gets the bytes of the TPM, and its error from one that is not started', async (context) => {
    requireTool(context, 'tpm2-tools', 'tpm2_getrandom')
    const { server, tpm } = await served(protocol, { powerOn: true })
    const getBytes = async (): Promise<string> => {
      const child = spawn('tpm2_getrandom', ['--hex', '8', '--tcti', server.addresses.tcti ?? ''])
      let output = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
      await once(child, 'close')
      return output
    }
    expect(await getBytes()).toContain('0x100')
    tpm.started = true
    expect(await getBytes()).toBe('0001020304050607')
  })
})

/** Command lines that both programs refuse, with the same words. */
const refused: readonly string[] = [
  '',
  'socket extra --tpm2',
  'socket --tpm2 --server type=foo,port=1',
  'socket --tpm2 --server port=99999',
  'socket --tpm2 --server port=abc',
  'socket --tpm2 --server bogus=1',
  'socket --tpm2 --server type=tcp',
  'socket --tpm2 --server type=unixio',
  'socket --tpm2 --server type=tcp,fd=99',
  'socket --tpm2 --server type=tcp,port=1,bindaddr=xx',
  'socket --tpm2 --ctrl port=1',
  'socket --tpm2 --ctrl type=foo',
  'socket --tpm2 --ctrl type=tcp',
  'socket --tpm2 --ctrl type=unixio',
  'socket --tpm2 --ctrl type=unixio,clientfd=77',
  'socket --tpm2 --flags bogus',
  'socket --tpm2 --locality bogus',
  'socket --tpm2 --pid bogus',
  'socket --tpm2 --pid file=',
  'socket --tpm2 --tpmstate foo',
  'socket --tpm2 --tpmstate mode=0600',
  'socket --tpm2 --log level=x',
  'socket --tpm2 --seccomp action=foo',
  'socket --tpm2 -p 99999',
  'socket --tpm2 -p abc',
  'socket --tpm2 -f 1',
  'socket --tpm2 -f abc',
  'socket --tpm2 -f 77',
  'socket --tpm2 --print-states',
]

/** Command lines that both refuse as getopt does: the first line is the same, then each shows its own help. */
const misspelt: readonly string[] = [
  'socket --bogus',
  'socket --tpm',
  'socket -x',
  'socket --server',
  'socket --tpm2=1',
  'bogus',
]

describe('the command line beside swtpm', () => {
  beforeEach(requireSwtpm)

  const toy = [
    ...['--conditions', 'palimpsest-source', '--import', 'tsx'],
    join(process.cwd(), 'test/integration/tpm-server/toy-swtpm.ts'),
  ]

  it('refuses the same, with the same words and exit code', async () => {
    for (const line of [...refused, ...misspelt]) {
      const words = line.split(' ').filter((word) => word !== '')
      const theirs = run(folder, swtpmProgram, ...words)
      const ours = await refusal(words)
      const shown = (text: string): string | undefined =>
        misspelt.includes(line) ? text.split('\n')[0] : text
      expect([ours.code, shown(ours.stderr)], line).toEqual([theirs.code, shown(theirs.stderr)])
    }
  })

  it('prints capabilities in the same form, and no feature that swtpm does not know', () => {
    for (const more of [[], ['--tpm2']]) {
      const words = ['socket', ...more, '--print-capabilities']
      const theirs = JSON.parse(run(folder, swtpmProgram, ...words).stdout) as Capabilities
      const ours = JSON.parse(run(process.cwd(), process.execPath, ...toy, ...words).stdout) as Capabilities
      expect(Object.keys(ours)).toEqual(Object.keys(theirs))
      expect(theirs.features).toEqual(expect.arrayContaining([...ours.features]))
      expect(ours.version).toBe('0.7.1')
    }
  })

  it('tells every option that swtpm tells', () => {
    const help = (program: string, ...before: readonly string[]): string =>
      spawnSync(program, [...before, 'socket', '--help'], { encoding: 'utf8' }).stdout
    const options = (text: string): Set<string> => new Set(text.match(/--[a-z][a-z0-9-]+/g))
    const theirs = options(help(swtpmProgram))
    // Its help misspells this one.
    theirs.delete('--print-capabilites')
    expect([...options(help(process.execPath, ...toy))]).toEqual(expect.arrayContaining([...theirs]))
  })
})

/** What our program says to a command line, in this very process. */
async function refusal(
  words: readonly string[],
): Promise<{ readonly code: number; readonly stderr: string }> {
  let stderr = ''
  const code = await runSwtpm({
    words,
    environment: {},
    restart: ['false'],
    rsaKeySizes: [],
    print: () => undefined,
    complain: (text) => {
      stderr += text
    },
    openTpm: () => {
      throw new Error('expected a refusal before the TPM is opened')
    },
    listStates: () => [],
  })
  return { code, stderr }
}

interface Capabilities {
  readonly type: string
  readonly features: readonly string[]
  readonly version: string
}
