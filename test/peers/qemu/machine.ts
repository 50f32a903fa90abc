// A virtual machine under QEMU, unmodified, whose TPM is ours: started, watched on its serial line, steered over QMP.
// Source: QEMU 7.2, qemu(1); QEMU Machine Protocol, docs/interop/qmp-spec.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, type TestContext } from 'vitest'
import { endProcess, nodeArguments, spawnCommand } from '../../../emulator/testbed/index.ts'
import { type Outcome, requireFile, requireTool, run } from '../tool.ts'

/** Milliseconds that a boot, or another answer of the guest, may take. A boot takes ten seconds where nothing else runs. */
export const STEP_LIMIT = 120_000

/** What a machine is made of. */
export interface MachineOptions {
  readonly device: 'tpm-tis' | 'tpm-crb'
  /** the program that has the TPM; default `palimpsest tpm serve` */
  readonly server?: 'palimpsest tpm serve' | 'swtpm'
  /** the flash file with the firmware; default Debian's OVMF */
  readonly code?: string
  /** more words for QEMU's command line */
  readonly more?: readonly string[]
}

/** The process that has the TPM. */
interface TpmProcess {
  readonly exit: Promise<unknown>
  readonly tcti: string | undefined
  stop(): Promise<void>
}

const machines: Machine[] = []

/** Ends what is left of the machines of a test file. */
export async function stopMachines(): Promise<void> {
  for (const machine of machines.splice(0)) await machine.stop()
}

export class Machine {
  readonly folder: string
  readonly #tpm: TpmProcess
  readonly #qemu: ChildProcessWithoutNullStreams
  readonly #monitor: Monitor
  /** Rejects when QEMU ends. */
  readonly #over: Promise<never>
  #serial = ''
  #seen = 0
  #complaints = ''

  /** q35, 256 MiB, one processor, no network: the shape of the boot in test/fixtures/ovmf. */
  static async start(context: TestContext, options: MachineOptions): Promise<Machine> {
    const qemu = requireTool(context, 'qemu-system-x86', 'qemu-system-x86_64')
    const code = options.code ?? requireFile(context, 'ovmf', '/usr/share/OVMF/OVMF_CODE_4M.fd')
    const variables = requireFile(context, 'ovmf', '/usr/share/OVMF/OVMF_VARS_4M.fd')
    const folder = await mkdtemp(join(tmpdir(), 'qemu-'))
    copyFileSync(variables, join(folder, 'variables.fd'))
    const tpm = await startTpm(options.server ?? 'palimpsest tpm serve', folder)
    const monitor = await Monitor.listen(join(folder, 'qmp'))
    const words = [
      ...['-machine', 'q35,smm=off,accel=tcg', '-m', '256', '-smp', '1', '-net', 'none'],
      ...['-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-qmp', 'unix:qmp'],
      ...['-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${code}`],
      ...['-drive', 'if=pflash,format=raw,unit=1,file=variables.fd'],
      ...['-chardev', 'socket,id=chrtpm,path=tpm', '-tpmdev', 'emulator,id=tpm0,chardev=chrtpm'],
      ...['-device', `${options.device},tpmdev=tpm0`, ...(options.more ?? [])],
    ]
    const machine = new Machine(folder, tpm, spawn(qemu, words, { cwd: folder }), monitor)
    machines.push(machine)
    await Promise.race([monitor.ready, machine.#over])
    return machine
  }

  private constructor(
    folder: string,
    tpm: TpmProcess,
    qemu: ChildProcessWithoutNullStreams,
    monitor: Monitor,
  ) {
    this.folder = folder
    this.#tpm = tpm
    this.#qemu = qemu
    this.#monitor = monitor
    qemu.stdout.setEncoding('latin1').on('data', (text: string) => (this.#serial += text))
    qemu.stderr.setEncoding('utf8').on('data', (text: string) => (this.#complaints += text))
    qemu.stdin.on('error', () => undefined)
    this.#over = this.#untilOver()
    this.#over.catch(() => undefined)
  }

  /** Waits until the guest writes `text` after what was seen before; what it wrote until then. */
  async see(text: string): Promise<string> {
    const deadline = Date.now() + STEP_LIMIT
    for (let at = -1; ; at = this.#serial.indexOf(text, this.#seen)) {
      if (at >= 0) {
        const before = this.#serial.slice(this.#seen, at)
        this.#seen = at + text.length
        return before
      }
      if (this.#qemu.exitCode !== null) throw new Error(`QEMU ended before "${text}": ${this.#complaints}`)
      if (Date.now() > deadline) {
        throw new Error(`no "${text}" within ${String(STEP_LIMIT)} ms after: ${this.#serial.slice(-500)}`)
      }
      await sleep(50)
    }
  }

  /** Types on the serial line. */
  type(text: string): void {
    this.#qemu.stdin.write(text)
  }

  /** Runs a command of QMP. */
  async command(name: string, words: Record<string, unknown> = {}): Promise<unknown> {
    return Promise.race([this.#monitor.command(name, words), this.#over])
  }

  /** Waits for an event of QMP. */
  async event(name: string): Promise<void> {
    await Promise.race([this.#monitor.event(name), this.#over])
  }

  /** Runs one of tpm2-tools on the machine's TPM, beside the guest. */
  tool(context: TestContext, program: string, ...words: readonly string[]): Outcome {
    if (this.#tpm.tcti === undefined) throw new Error('expected a TPM with ports for tools')
    return run(this.folder, requireTool(context, 'tpm2-tools', program), '-T', this.#tpm.tcti, ...words)
  }

  /** All PCRs of all banks, as tpm2_pcrread prints them. */
  pcrs(context: TestContext): string {
    const { code, stdout, stderr } = this.tool(context, 'tpm2_pcrread')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    return stdout
  }

  /** The guest's RAM. */
  async memory(): Promise<Buffer> {
    const filename = join(this.folder, 'memory')
    await this.command('pmemsave', { val: 0, size: 256 << 20, filename })
    try {
      return readFileSync(filename)
    } finally {
      rmSync(filename)
    }
  }

  /** Ends QEMU; resolves, when the process with the TPM has ended by itself, to how it did. */
  async quit(): Promise<unknown> {
    await this.command('quit')
    return this.#tpm.exit
  }

  async stop(): Promise<void> {
    this.#qemu.kill('SIGKILL')
    if (this.#qemu.exitCode === null && this.#qemu.signalCode === null) await once(this.#qemu, 'exit')
    this.#monitor.close()
    await this.#tpm.stop()
    rmSync(this.folder, { recursive: true })
  }

  async #untilOver(): Promise<never> {
    await once(this.#qemu, 'exit')
    throw new Error(`QEMU ended: ${this.#complaints}`)
  }
}

async function startTpm(server: NonNullable<MachineOptions['server']>, folder: string): Promise<TpmProcess> {
  const socket = join(folder, 'tpm')
  if (server === 'palimpsest tpm serve') {
    const words = ['tpm', 'serve', '--protocol', 'qemu', '--socket', socket, '--port', '0', '--json']
    const { process: child, ready } = await spawnCommand([...words, '--state', join(folder, 'state')])
    const tcti = typeof ready['tcti'] === 'string' ? ready['tcti'] : undefined
    return { exit: once(child, 'exit'), tcti, stop: async () => endProcess(child) }
  }
  // The command line of libvirt.
  const words = [
    ...['socket', '--ctrl', `type=unixio,path=${socket},mode=0600`],
    ...['--tpmstate', `dir=${folder},mode=0600`, '--tpm2', '--terminate'],
  ]
  const child = spawn(process.execPath, [...nodeArguments(['cli', 'swtpm']), ...words], { stdio: 'ignore' })
  await expect.poll(() => existsSync(socket), { timeout: STEP_LIMIT }).toBe(true)
  return { exit: once(child, 'exit'), tcti: undefined, stop: async () => endProcess(child) }
}

interface Reply {
  readonly return?: unknown
  readonly error?: { readonly desc: string }
  readonly event?: string
}

/** The other end of QMP. One command at a time. */
class Monitor {
  /** Resolves when QEMU takes commands. */
  readonly ready: Promise<void>
  readonly #server: Server
  readonly #events: string[] = []
  #socket: Socket | undefined
  #answer: ((reply: Reply) => void) | undefined
  #changed: (() => void) | undefined

  /** QEMU connects to `path`. */
  static async listen(path: string): Promise<Monitor> {
    const server = createServer().listen(path)
    await once(server, 'listening')
    return new Monitor(server)
  }

  private constructor(server: Server) {
    this.#server = server
    this.ready = this.#connect()
  }

  async command(name: string, words: Record<string, unknown>): Promise<unknown> {
    const reply = await new Promise<Reply>((resolve) => {
      this.#answer = resolve
      this.#socket?.write(`${JSON.stringify({ execute: name, arguments: words })}\n`)
    })
    if (reply.error !== undefined) throw new Error(`QMP ${name}: ${reply.error.desc}`)
    return reply.return
  }

  async event(name: string): Promise<void> {
    while (!this.#events.includes(name)) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
  }

  close(): void {
    this.#socket?.destroy()
    this.#server.close()
  }

  async #connect(): Promise<void> {
    const [socket] = (await once(this.#server, 'connection')) as [Socket]
    this.#socket = socket
    socket.on('error', () => undefined)
    createInterface({ input: socket })
      .on('line', (line) => {
        this.#take(JSON.parse(line) as Reply)
      })
      .on('error', () => undefined)
    await this.command('qmp_capabilities', {})
  }

  #take(reply: Reply): void {
    if (reply.event !== undefined) {
      this.#events.push(reply.event)
      this.#changed?.()
    } else if ('return' in reply || 'error' in reply) {
      this.#answer?.(reply)
    }
  }
}
