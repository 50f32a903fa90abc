// The program "swtpm": harnesses that start swtpm themselves find this one on PATH and use another TPM without being
// changed. Options, exit codes and complaints are swtpm's where it has them.
// Source: swtpm(8); swtpm 0.7.1, observed behaviour.

import { GetoptError } from './getopt.ts'
import type { Listen } from './listener.ts'
import type { Log } from './protocol.ts'
import { closeOnSignals, formatAddress, serveAt } from './serve.ts'
import type { TpmServer } from './serve.ts'
import { isDaemon, startDaemon, tellReady } from './swtpm-daemon.ts'
import { openLog, writePid } from './swtpm-files.ts'
import { capabilitiesText, generalHelp, socketHelp, statesText, versionText } from './swtpm-help.ts'
import { SwtpmError } from './swtpm-options.ts'
import { inheritedDescriptors, readSettings } from './swtpm-settings.ts'
import type { StatePlace, SwtpmSettings } from './swtpm-settings.ts'
import type { VolatileStore } from './swtpm-state.ts'
import type { TpmPort } from './tpm-port.ts'
import { message, reasonOf } from './wire.ts'

/** A TPM that was opened for the program. */
export interface OpenedTpm {
  readonly port: TpmPort
  /** Where STORE_VOLATILE writes; memory when absent. */
  readonly volatileStore?: VolatileStore
  /** Gives the state's storage free. The server has flushed by then. */
  close(): void | Promise<void>
}

/** What the program is given: its surroundings, and the TPM that it does not know. */
export interface SwtpmProgram {
  /** The words after the program's name. */
  readonly words: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Program and arguments before `words` that start this program again, for --daemon. */
  readonly restart: readonly [string, ...string[]]
  /** RSA key sizes in bits, for --print-capabilities. */
  readonly rsaKeySizes: readonly number[]
  print(text: string): void
  complain(text: string): void
  /** Opens the TPM with the power off; null is a TPM without storage. Throws an Error that says what is wrong. */
  openTpm(place: StatePlace | null): OpenedTpm | Promise<OpenedTpm>
  /** What a place holds, e.g. [{ name: 'permall', size: 6013 }]. */
  listStates(place: StatePlace): readonly { readonly name: string; readonly size: number }[]
}

/** Runs the program to its end. Returns its exit code. */
export async function runSwtpm(program: SwtpmProgram): Promise<number> {
  const [first, ...words] = program.words
  switch (first) {
    case 'socket':
      return runSocket(program, words)
    case '-h':
    case '--help':
      program.print(generalHelp)
      return 0
    case '-v':
    case '--version':
      program.print(versionText)
      return 0
    case undefined:
      program.complain('Missing TPM interface type.\n')
      return 1
    case 'chardev':
    case 'cuse':
      program.complain(
        `swtpm: Error: the ${first} interface is not supported: this TPM is served on sockets; use "swtpm socket"\n`,
      )
      return 1
    default:
      program.complain(`Unsupported TPM interface type '${first}'.\n${generalHelp}`)
      return 1
  }
}

async function runSocket(program: SwtpmProgram, words: readonly string[]): Promise<number> {
  let settings: SwtpmSettings
  try {
    settings = readSettings(words, program.environment)
  } catch (error) {
    if (error instanceof GetoptError) program.complain(`socket: ${error.message}\n${socketHelp}`)
    else program.complain(`swtpm: ${reasonOf(error)}\n`)
    return 1
  }
  switch (settings.action) {
    case 'help':
      program.print(socketHelp)
      return 0
    case 'print-capabilities':
      program.print(capabilitiesText(settings.tpm2, program.rsaKeySizes))
      return 0
    case 'print-states':
      program.print(statesText(settings.state === null ? [] : program.listStates(settings.state)))
      return 0
    case 'serve':
      return serve(program, settings)
  }
}

async function serve(program: SwtpmProgram, settings: SwtpmSettings): Promise<number> {
  if (settings.daemon && !isDaemon(program.environment)) {
    return startDaemon({
      command: [...program.restart, ...program.words],
      environment: program.environment,
      descriptors: inheritedDescriptors(settings),
      complain: (text) => {
        program.complain(text)
      },
    })
  }
  try {
    const log = openLog(settings.log, (text) => {
      program.complain(text)
    })
    return await logged(log, async () => serveLogged(program, settings, log))
  } catch (error) {
    program.complain(`${settings.log.prefix}${reasonOf(error)}\n`)
    return 1
  }
}

/** Once there is a log, failures go there. */
async function logged(log: Log, act: () => Promise<void>): Promise<number> {
  try {
    await act()
    return 0
  } catch (error) {
    log('error', reasonOf(error))
    return 1
  }
}

async function serveLogged(program: SwtpmProgram, settings: SwtpmSettings, log: Log): Promise<void> {
  if (settings.startup === 'deactivated') throw new SwtpmError('TPM 2 does not support startup deactivated.')
  if (settings.data === null && settings.control === null) {
    throw new SwtpmError('Error: nothing to serve: give --server, --ctrl or both')
  }
  for (const note of settings.notes) log('warning', note)
  if (settings.state === null) {
    log('warning', 'Without --tpmstate and TPM_PATH the state is lost when this program ends')
  }
  const tpm = await program.openTpm(settings.state)
  try {
    const server = await open(settings, tpm, log)
    const removePid = await writePidOrClose(settings, server)
    const ignoreSignals = closeOnSignals(server)
    try {
      tellReady(program.environment)
      await server.closed
    } finally {
      ignoreSignals()
      removePid()
    }
  } finally {
    await tpm.close()
  }
}

async function open(settings: SwtpmSettings, tpm: OpenedTpm, log: Log): Promise<TpmServer> {
  const { startup } = settings
  const { port, volatileStore } = tpm
  const server = await serveAt({
    port,
    protocol: 'swtpm',
    data: settings.data,
    control: controlOf(settings),
    rules: settings.rules,
    terminate: settings.terminate,
    log,
    powerOn: !settings.needInit,
    ...(startup === 'clear' || startup === 'state' ? { firstCommand: startupCommand(startup) } : {}),
    ...(volatileStore === undefined ? {} : { volatileStore }),
  })
  const { data, control } = server.addresses
  if (data !== null) log('debug', `commands on ${formatAddress(data)}`)
  if (control !== null) log('debug', `control on ${formatAddress(control)}`)
  return server
}

/** Without a data address clients pass a socket for commands, as QEMU does. */
function controlOf({ data, control }: SwtpmSettings): Listen | null {
  return data === null && control?.kind === 'unix' ? { ...control, descriptors: true } : control
}

async function writePidOrClose(settings: SwtpmSettings, server: TpmServer): Promise<() => void> {
  try {
    return writePid(settings.pid, process.pid)
  } catch (error) {
    await server.close()
    throw error
  }
}

/** TPM2_Startup (Part 3, clause 9.3). */
function startupCommand(type: 'clear' | 'state'): Uint8Array {
  const noSessions = Uint8Array.of(0x80, 0x01)
  return message(noSessions, 12, 0x144, Uint8Array.of(0, type === 'clear' ? 0 : 1))
}
