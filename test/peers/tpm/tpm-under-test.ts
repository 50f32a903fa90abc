// TPMs that the unmodified tools are pointed at: ours over each protocol, and swtpm, whose behaviour is what those tools
// were written against, so that a flow that only ours fails, or only ours passes, is seen in the same run.
// Protocols: swtpm's tpm_ioctl.h (control channel), and TpmTcpProtocol.h of the TPM 2.0 reference code (mssim).

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nodeArguments } from '../../../emulator/testbed/spawn.ts'

/** How a TPM is reached. swtpm itself speaks only its own protocol. */
export type TpmProtocol = 'swtpm' | 'mssim'

/** What a test may ask of a TPM when it starts. */
export interface TpmOptions {
  /** three slots for objects and for sessions, as hardware has, and swtpm always */
  readonly hardwareSlots?: boolean
  /** folder of the manufacturer that certifies its EKs, made if missing: ours, or swtpm's local CA */
  readonly ekCertificates?: string
}

/** A running TPM. */
export interface TpmUnderTest {
  /** as TPM2TOOLS_TCTI wants it */
  readonly tcti: string
  readonly host: string
  readonly port: number
  /** Sends one command and resolves to the response. */
  send(command: Uint8Array): Promise<Uint8Array>
  /** Takes the power away and gives it back. The TPM then waits for TPM2_Startup. */
  powerCycle(): Promise<void>
  /** Makes it find itself broken; only with a protocol that has a request for that. */
  readonly fail?: () => Promise<void>
  stop(): Promise<void>
}

/** A kind of TPM to test. */
export interface TpmTarget {
  readonly name: string
  readonly protocol: TpmProtocol
  /** that of others, beside which ours is seen */
  readonly reference: boolean
  /** Starts one, fresh. */
  start(options?: TpmOptions): Promise<TpmUnderTest>
}

/** All that a flow runs on. */
export const targets: readonly TpmTarget[] = [
  { name: 'our TPM over swtpm', protocol: 'swtpm', reference: false, start: ours('swtpm') },
  { name: 'our TPM over mssim', protocol: 'mssim', reference: false, start: ours('mssim') },
  { name: 'swtpm', protocol: 'swtpm', reference: true, start: swtpm },
]

const HOST = '127.0.0.1'

// The servers

function ours(protocol: TpmProtocol): TpmTarget['start'] {
  return async ({ hardwareSlots = false, ekCertificates } = {}) => {
    const options = [
      ...(hardwareSlots ? ['--hardware-slots'] : []),
      ...(ekCertificates === undefined ? [] : ['--ek-certificates', ekCertificates]),
    ]
    const serve = ['tpm', 'serve', '--port', '0', '--protocol', protocol, '--json', ...options]
    const child = spawn(process.execPath, [...nodeArguments(['cli', 'main']), ...serve], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const first = await firstLine(child)
    if (!first.startsWith('{')) throw new Error(`palimpsest tpm serve ended: ${first}`)
    const { port, controlPort } = JSON.parse(first) as { port: number; controlPort: number }
    return reached(protocol, port, controlPort, () => stopped(child))
  }
}

/** The first line of standard output, or all of standard error where the process ends without one. */
async function firstLine(child: ChildProcess): Promise<string> {
  let stdout = ''
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return new Promise((resolve) => {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      if (stdout.includes('\n')) resolve(stdout.slice(0, stdout.indexOf('\n')))
    })
    child.once('close', () => {
      resolve(stderr)
    })
  })
}

async function swtpm({ ekCertificates }: TpmOptions = {}): Promise<TpmUnderTest> {
  const state = mkdtempSync(join(tmpdir(), 'peers-swtpm-'))
  if (ekCertificates !== undefined) manufacture(state, ekCertificates)
  const port = await freePortPair()
  const child = spawn(
    'swtpm',
    [
      ...['socket', '--tpm2', '--flags', 'not-need-init', '--seccomp', 'action=none'],
      ...['--server', `port=${String(port)}`, '--ctrl', `type=tcp,port=${String(port + 1)}`],
      ...['--tpmstate', `dir=${state}`],
    ],
    { stdio: 'ignore' },
  )
  await listening(child, port)
  return reached('swtpm', port, port + 1, async () => {
    await stopped(child)
    rmSync(state, { recursive: true, force: true })
  })
}

/** Has swtpm's own tools make a TPM with EK certificates, by a local CA of theirs in `folder`. */
function manufacture(state: string, folder: string): void {
  mkdirSync(folder, { recursive: true })
  const [authority, options, setup] = ['localca.conf', 'localca.options', 'setup.conf'].map((name) =>
    join(folder, name),
  )
  const files = { signingkey: 'signkey.pem', issuercert: 'issuercert.pem', certserial: 'certserial' }
  const paths = Object.entries(files).map(([key, name]) => `${key} = ${join(folder, name)}\n`)
  writeFileSync(authority ?? '', `statedir = ${folder}\n${paths.join('')}`)
  writeFileSync(options ?? '', '--platform-manufacturer Test\n--platform-version 1\n--platform-model Test\n')
  const tool = `create_certs_tool = swtpm_localca\ncreate_certs_tool_config = ${authority ?? ''}\n`
  writeFileSync(setup ?? '', `${tool}create_certs_tool_options = ${options ?? ''}\n`)
  const making = ['--tpm2', '--tpmstate', state, '--create-ek-cert', '--config', setup ?? '']
  const { status, stdout } = spawnSync('swtpm_setup', making, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`swtpm_setup ended with ${String(status)}: ${stdout}`)
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'exit')
  child.kill('SIGTERM')
  await closed
}

/** Two ports in a row that nobody listens on, below the range from which the kernel takes ports for connections. */
async function freePortPair(): Promise<number> {
  for (;;) {
    const port = 14_000 + 2 * Math.floor(Math.random() * 9_000)
    if ((await isFree(port)) && (await isFree(port + 1))) return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => {
      resolve(false)
    })
    server.listen(port, HOST, () => {
      server.close(() => {
        resolve(true)
      })
    })
  })
}

async function listening(child: ChildProcess, port: number): Promise<void> {
  while (child.exitCode === null) {
    try {
      const socket = await connected(port)
      socket.destroy()
      return
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  throw new Error(`swtpm ended with exit code ${String(child.exitCode)}`)
}

// The clients

function reached(
  protocol: TpmProtocol,
  port: number,
  controlPort: number,
  stop: () => Promise<void>,
): TpmUnderTest {
  const control = { swtpm: swtpmControl, mssim: mssimControl }[protocol]
  const sent = { swtpm: swtpmSend, mssim: mssimSend }[protocol]
  return {
    tcti: `${protocol}:host=${HOST},port=${String(port)}`,
    host: HOST,
    port,
    send: (command) => sent(port, command),
    powerCycle: () => control(controlPort),
    ...(protocol === 'mssim' ? { fail: () => mssimFailure(controlPort) } : {}),
    stop,
  }
}

/** CMD_INIT without flags. */
async function swtpmControl(controlPort: number): Promise<void> {
  const answer = await exchange(controlPort, uint32s(2, 0), () => 4)
  if (answer.readUInt32BE(0) !== 0) throw new Error(`CMD_INIT was answered with ${answer.toString('hex')}`)
}

async function swtpmSend(port: number, command: Uint8Array): Promise<Uint8Array> {
  return exchange(port, command, (answer) => (answer.length < 6 ? 6 : answer.readUInt32BE(2)))
}

/** POWER_OFF, POWER_ON, NV_ON, SESSION_END: the first three are each answered with 0. */
async function mssimControl(controlPort: number): Promise<void> {
  const answer = await exchange(controlPort, uint32s(2, 1, 11), () => 12, uint32s(20))
  if (answer.some((octet) => octet !== 0))
    throw new Error(`power was answered with ${answer.toString('hex')}`)
}

/** TEST_FAILURE_MODE, SESSION_END. */
async function mssimFailure(controlPort: number): Promise<void> {
  const answer = await exchange(controlPort, uint32s(30), () => 4, uint32s(20))
  if (answer.readUInt32BE(0) !== 0)
    throw new Error(`TEST_FAILURE_MODE was answered with ${answer.toString('hex')}`)
}

/** SEND_COMMAND at locality 0, then SESSION_END. */
async function mssimSend(port: number, command: Uint8Array): Promise<Uint8Array> {
  const framed = Buffer.concat([uint32s(8), Uint8Array.of(0), uint32s(command.length), command])
  const length = (answer: Buffer): number => (answer.length < 4 ? 4 : answer.readUInt32BE(0) + 8)
  const answer = await exchange(port, framed, length, uint32s(20))
  return answer.subarray(4, -4)
}

function uint32s(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  values.forEach((value, at) => bytes.writeUInt32BE(value, 4 * at))
  return bytes
}

/** One connection: writes, reads until the answer is as long as `length` says of what has come, and says goodbye. */
async function exchange(
  port: number,
  request: Uint8Array,
  length: (answer: Buffer) => number,
  goodbye: Uint8Array = new Uint8Array(),
): Promise<Buffer> {
  const socket = await connected(port)
  let answer = Buffer.alloc(0)
  socket.write(request)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    answer = Buffer.concat([answer, chunk])
    if (answer.length >= length(answer)) break
  }
  if (!socket.destroyed) socket.end(goodbye)
  if (answer.length < length(answer))
    throw new Error(`the TPM closed the connection after ${String(answer.length)} bytes`)
  return answer
}

async function connected(port: number): Promise<Socket> {
  const socket = connect({ port, host: HOST, noDelay: true })
  await once(socket, 'connect')
  return socket
}
