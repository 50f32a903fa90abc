// Commands that run something until they are told to stop: up, emulator, platform, hypervisor.

import { join, resolve } from 'node:path'
import { Command, Option } from 'commander'
import { runHypervisor } from '../../hypervisor/index.ts'
import { runPlatform, type UefiBootOptions } from '../../platform/index.ts'
import {
  createLogger,
  loadTlsIdentity,
  type LogLevel,
  onShutdown,
  type Shutdown,
} from '../../../sdk/rpc/index.ts'
import {
  Authority,
  defaultHypervisorImage,
  defaultWorkerImage,
  type EmulatorOptions,
  runEmulator,
} from '../../testbed/index.ts'
import { runningIn, withDirectory } from '../connection.ts'
import { givenMachineFlags, type MachineFlags, machineOf, withMachine } from '../machine-flags.ts'
import { bytesText, CommandFailure, EXIT, Output } from '../output.ts'
import { integerValue, sizeValue } from '../values.ts'

const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] satisfies LogLevel[]

interface RunFlags extends MachineFlags {
  readonly directory: string
  readonly json?: boolean
  readonly firmware?: string
  readonly firmwareManifest?: string
  readonly bootProfile: 'image' | 'uefi'
  readonly firmwareVariables?: string
  readonly asInFile?: boolean
  readonly memory: number
  readonly integrity?: boolean
  readonly hypervisorImage?: string
  readonly logLevel: LogLevel
  readonly untilInputEnds?: boolean
}

interface EmulatorFlags extends RunFlags {
  readonly worker?: string
  readonly listen?: string[]
  readonly faultPoints?: boolean
  readonly stallTimeout?: number
  readonly transcript?: string
}

function logLevelOption(): Option {
  return new Option('--log-level <level>', 'what to log, to standard error')
    .choices(LOG_LEVELS)
    .default('warn')
}

function withPlatform(command: Command): Command {
  return withMachine(withDirectory(command), 'uefi: ')
    .option(
      '--firmware <file>',
      'firmware image to boot and measure (default: a built-in UEFI firmware volume)',
    )
    .option('--firmware-manifest <file>', "its signed manifest (default: signed by the emulator's own key)")
    .addOption(
      new Option(
        '--boot-profile <profile>',
        'what PCR 0 takes: the whole image, or what UEFI firmware measures itself',
      )
        .choices(['image', 'uefi'])
        .default('image'),
    )
    .option(
      '--firmware-variables <file>',
      'uefi: flash file with the variables (default: those of the image)',
    )
    .option(
      '--as-in-file',
      'uefi: measure the firmware as it lies in its file, for machines that are not known',
    )
    .addOption(
      new Option('--memory <size>', 'DRAM; memory is used for touched frames only')
        .argParser(sizeValue)
        .default(1 << 30, '1GiB'),
    )
    .option(
      '--integrity',
      'tag every frame: ciphertext that the host changed gives INTEGRITY_FAULT, not garbage',
    )
    .option('--hypervisor-image <file>', "hypervisor image to measure (default: the project's)")
    .addOption(logLevelOption())
    .option('--until-input-ends', 'stop when standard input ends: for programs that start this one')
}

function withEmulator(command: Command): Command {
  return withPlatform(command)
    .option('--listen <address...>', "further addresses of the hypervisor's API, like 127.0.0.1:7600")
    .option('--fault-points', 'allow fault points in the worker, for tests')
    .option('--stall-timeout <ms>', 'how long a write waits for a copy', integerValue)
    .option('--transcript <file>', 'record every message that reaches the hypervisor')
}

/** `palimpsest up` */
export function upCommand(): Command {
  return withEmulator(new Command('up'))
    .description('Run an emulator with a worker until stopped; prints its addresses when ready.')
    .option('--worker <file>', "worker image (default: the project's)")
    .action((flags: EmulatorFlags) =>
      runUntilStopped({ ...flags, worker: flags.worker ?? defaultWorkerImage() }),
    )
}

/** `palimpsest emulator` */
export function emulatorCommand(): Command {
  return withEmulator(new Command('emulator'))
    .description('Run platform and hypervisor as one process tree, behind one address.')
    .action((flags: EmulatorFlags) => runUntilStopped(flags))
}

async function runUntilStopped(flags: EmulatorFlags): Promise<void> {
  const out = new Output({ json: flags.json === true })
  await requireUnused(flags.directory)
  const emulator = await runEmulator(emulatorOptions(flags))
  const { addresses } = emulator
  out.result({ ready: true, ...addresses }, () => [
    `measurement of the firmware  ${addresses.measurement}`,
    `hypervisor                   ${addresses.hypervisor}`,
    `guest port                   ${addresses.guestPort}`,
    `manufacturer's root          ${addresses.trustAnchor}`,
    `operator's identity          ${addresses.operatorIdentity}`,
    `memory                       ${bytesText(flags.memory)}, used as it is touched`,
    'ready; Ctrl-C stops everything',
  ])
  const shutdown = onShutdown([{ name: 'emulator', close: () => emulator.close() }])
  void emulator.ended.then((reason) => {
    process.stderr.write(`palimpsest: the hypervisor ended by itself: ${reason}\n`)
    return shutdown.now(EXIT.unavailable)
  })
  if (flags.untilInputEnds === true) stopWithInput(shutdown)
}

/** A program that starts this one and is killed can not stop it, but its end of the pipe closes. */
function stopWithInput(shutdown: Shutdown): void {
  process.stdin.once('close', () => {
    void shutdown.now(EXIT.ok)
  })
  process.stdin.resume()
}

/** Two platforms on one state would spoil its TPM, so the second one does not even start. @throws CommandFailure */
async function requireUnused(directory: string): Promise<void> {
  const address = await runningIn(directory)
  if (address === undefined) return
  throw new CommandFailure(
    EXIT.refused,
    `an emulator runs in "${directory}" already (${address}): stop it, or give another --directory`,
  )
}

function emulatorOptions(flags: EmulatorFlags): EmulatorOptions {
  const optional = <K extends string, V>(key: K, value: V | undefined) =>
    (value === undefined ? {} : { [key]: value }) as Partial<Record<K, V>>
  return {
    directory: flags.directory,
    memoryBytes: flags.memory,
    integrity: flags.integrity ?? false,
    faultPoints: flags.faultPoints ?? false,
    logLevel: flags.logLevel,
    ...optional('firmware', flags.firmware),
    ...optional('firmwareManifest', flags.firmwareManifest),
    ...optional('uefi', uefiOptions(flags)),
    ...optional('hypervisorImage', flags.hypervisorImage),
    ...optional('workerImage', flags.worker),
    ...optional('listen', flags.listen),
    ...optional('stallTimeoutMs', flags.stallTimeout),
    ...optional('transcript', flags.transcript),
  }
}

/** What the flags of boot profile uefi say; nothing for profile image, where they would mean nothing. @throws CommandFailure */
function uefiOptions(flags: RunFlags): UefiBootOptions | undefined {
  const { bootProfile, firmwareVariables: variablesPath, asInFile } = flags
  const machine = givenMachineFlags(flags)
  if (bootProfile === 'uefi') {
    return {
      ...(variablesPath === undefined ? {} : { variablesPath }),
      ...(asInFile === undefined ? {} : { asInFile }),
      machine: machineOf(flags),
    }
  }
  const given = [
    ...(variablesPath === undefined ? [] : ['--firmware-variables']),
    ...(asInFile === undefined ? [] : ['--as-in-file']),
    ...machine,
  ]
  if (given.length === 0) return undefined
  throw new CommandFailure(
    EXIT.usage,
    `expected --boot-profile uefi with ${given.join(', ')}: profile image measures nothing of that`,
  )
}

/** `palimpsest platform` */
export function platformCommand(): Command {
  return withPlatform(new Command('platform'))
    .description(
      'Run the platform alone: firmware, TPM, memory. A hypervisor of your own connects to its host port.',
    )
    .action(async (flags: RunFlags) => {
      const out = new Output({ json: flags.json === true })
      const directory = resolve(flags.directory)
      const uefi = uefiOptions(flags)
      await requireUnused(directory)
      const authority = Authority.open(join(directory, 'identities'))
      const hypervisor = authority.identity('hypervisor', 'hypervisor')
      const platform = await runPlatform({
        stateDirectory: join(directory, 'state'),
        runDirectory: join(directory, 'run'),
        memoryBytes: flags.memory,
        integrity: flags.integrity ?? false,
        hypervisorImagePath: flags.hypervisorImage ?? defaultHypervisorImage(),
        operatorCaPem: authority.caPem,
        hostIdentity: authority.identity('platform', 'hypervisor').tls,
        log: createLogger({ name: 'platform', level: flags.logLevel }),
        ...(flags.firmware === undefined ? {} : { firmwarePath: flags.firmware }),
        ...(flags.firmwareManifest === undefined ? {} : { manifestPath: flags.firmwareManifest }),
        ...(uefi === undefined ? {} : { uefi }),
      })
      const where = {
        hostPort: platform.hostPortAddress,
        guestPort: platform.guestPortAddress,
        trustAnchor: platform.trustAnchorFile,
        measurement: platform.firmwareDigest,
        hypervisorIdentity: hypervisor.directory,
      }
      out.result({ ready: true, ...where }, () => [
        ...Object.entries(where).map(([name, value]) => `${name.padEnd(20)} ${value}`),
        'ready; Ctrl-C stops it',
      ])
      const shutdown = onShutdown([{ name: 'platform', close: () => platform.close() }])
      if (flags.untilInputEnds === true) stopWithInput(shutdown)
    })
}

interface HypervisorFlags {
  readonly directory: string
  readonly json?: boolean
  readonly platform?: string
  readonly worker?: string
  readonly listen?: string[]
  readonly transcript?: string
  readonly logLevel: LogLevel
}

/** `palimpsest hypervisor` */
export function hypervisorCommand(): Command {
  return withDirectory(new Command('hypervisor'))
    .description('Run a hypervisor on a platform that "palimpsest platform" runs.')
    .option('--platform <address>', "the platform's host port (default: of the folder)")
    .option('--listen <address...>', 'addresses of its API (default: a socket in the folder)')
    .option('--worker <file>', "worker image to launch (default: the project's)")
    .option('--transcript <file>', 'record every message that reaches the hypervisor')
    .addOption(logLevelOption())
    .action(async (flags: HypervisorFlags) => {
      const out = new Output({ json: flags.json === true })
      const directory = resolve(flags.directory)
      const authority = Authority.open(join(directory, 'identities'))
      const run = join(directory, 'run')
      const hypervisor = await runHypervisor({
        runDirectory: run,
        listen: flags.listen ?? [`unix:${join(run, 'hypervisor.sock')}`],
        platform: { address: flags.platform ?? `unix:${join(run, 'host.sock')}` },
        tls: loadTlsIdentity(authority.identity('hypervisor', 'hypervisor').directory),
        workerTls: loadTlsIdentity(authority.identity('worker', 'worker').directory),
        volumesDirectory: join(directory, 'volumes'),
        workerImage: resolve(flags.worker ?? defaultWorkerImage()),
        logLevel: flags.logLevel,
        ...(flags.transcript === undefined ? {} : { transcript: resolve(flags.transcript) }),
      })
      const operator = authority.identity('operator', 'operator')
      out.result(
        { ready: true, addresses: hypervisor.addresses, operatorIdentity: operator.directory },
        () => [`listening on ${hypervisor.addresses.join(', ')}`, 'ready; Ctrl-C stops it'],
      )
      onShutdown([{ name: 'hypervisor', close: () => hypervisor.close() }])
    })
}
