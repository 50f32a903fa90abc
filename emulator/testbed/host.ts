// The processes of a testbed: `palimpsest up`; or, when the host shall lie to plugins, `palimpsest platform` with the
// hypervisor in this process, where the test can change what it relays.

import { join } from 'node:path'
import type { LogLevel } from '../../sdk/rpc/index.ts'
import type { RelayTampering } from '../hypervisor/index.ts'
import { runHypervisor } from '../hypervisor/index.ts'
import type { UefiBootOptions, UefiMachineOptions } from '../platform/index.ts'
import { Authority } from './authority.ts'
import type { EmulatorAddresses } from './emulator.ts'
import { defaultWorkerImage } from './images.ts'
import { endProcess, spawnCommand } from './spawn.ts'

/** What to start; every field has a default. */
export interface HostOptions {
  /** Firmware image; default: the built-in one. */
  readonly firmware?: string
  /** Signed manifest of the firmware. */
  readonly firmwareManifest?: string
  /** Boot profile uefi, with what it needs; default profile image. */
  readonly uefi?: UefiBootOptions
  /** Integrity mode: guests and workers get INTEGRITY_FAULT for frames that the host changed in DRAM; default false. */
  readonly integrity?: boolean
  /** DRAM in bytes; default 256 MiB. Memory is used only for frames that are touched. */
  readonly memoryBytes?: number
  readonly hypervisorImage?: string
  /** Worker image; default: the project's own. */
  readonly workerImage?: string
  /** Whether fault points may be armed in the worker; default true. */
  readonly faultPoints?: boolean
  /** How long a write waits for a copy; default 30 s. */
  readonly stallTimeoutMs?: number
  /** File that records every message that reaches the hypervisor. */
  readonly transcript?: string
  /** Makes the host lie: what it changes of the requests that it relays to plugins, and of their answers. */
  readonly tampering?: RelayTampering
  /** How much the processes log; default `warn`. */
  readonly logLevel?: LogLevel
  /** Called with what the processes log, as they do. */
  readonly onLog?: (text: string) => void
}

/** Running processes. */
export interface Host {
  readonly addresses: EmulatorAddresses
  close(): Promise<void>
}

/** Starts the processes in `directory`. */
export function startHost(directory: string, options: HostOptions): Promise<Host> {
  return options.tampering === undefined ? startHonest(directory, options) : startLiar(directory, options)
}

async function startHonest(directory: string, options: HostOptions): Promise<Host> {
  const child = await spawnCommand(
    [
      'up',
      ...platformFlags(directory, options),
      ...flag('--worker', options.workerImage ?? defaultWorkerImage()),
      ...flag('--stall-timeout', options.stallTimeoutMs),
      ...flag('--transcript', options.transcript),
      ...(options.faultPoints === false ? [] : ['--fault-points']),
    ],
    options.onLog,
  )
  return { addresses: child.ready as unknown as EmulatorAddresses, close: () => endProcess(child.process) }
}

async function startLiar(directory: string, options: HostOptions): Promise<Host> {
  const child = await spawnCommand(['platform', ...platformFlags(directory, options)], options.onLog)
  const platform = child.ready as unknown as {
    hostPort: string
    guestPort: string
    trustAnchor: string
    measurement: string
  }
  const authority = Authority.open(join(directory, 'identities'))
  const operator = authority.identity('operator', 'operator')
  const hypervisor = authority.identity('hypervisor', 'hypervisor')
  const worker = authority.identity('worker', 'worker')
  const run = join(directory, 'run')
  const address = `unix:${join(run, 'hypervisor.sock')}`
  const host = await runHypervisor(
    {
      runDirectory: run,
      listen: [address],
      platform: { address: platform.hostPort },
      tls: hypervisor.tls,
      workerTls: worker.tls,
      volumesDirectory: join(directory, 'volumes'),
      workerImage: options.workerImage ?? defaultWorkerImage(),
      faultPoints: options.faultPoints ?? true,
      logLevel: 'error',
      ...(options.stallTimeoutMs === undefined ? {} : { stallTimeoutMs: options.stallTimeoutMs }),
      ...(options.transcript === undefined ? {} : { transcript: options.transcript }),
    },
    { tampering: options.tampering },
  )
  return {
    addresses: {
      hypervisor: address,
      guestPort: platform.guestPort,
      operatorIdentity: operator.directory,
      authority: authority.directory,
      trustAnchor: platform.trustAnchor,
      measurement: platform.measurement,
      pids: { platform: child.process.pid ?? 0, hypervisor: process.pid },
    },
    close: async () => {
      await host.close()
      await endProcess(child.process)
    },
  }
}

function platformFlags(directory: string, options: HostOptions): string[] {
  return [
    '--json',
    '--until-input-ends',
    ...flag('--directory', directory),
    ...flag('--memory', options.memoryBytes ?? 256 << 20),
    ...flag('--firmware', options.firmware),
    ...flag('--firmware-manifest', options.firmwareManifest),
    ...(options.uefi === undefined ? [] : uefiFlags(options.uefi)),
    ...(options.integrity === true ? ['--integrity'] : []),
    ...flag('--hypervisor-image', options.hypervisorImage),
    ...flag('--log-level', options.logLevel),
  ]
}

function uefiFlags({ variablesPath, machine, asInFile }: UefiBootOptions): string[] {
  return [
    ...flag('--boot-profile', 'uefi'),
    ...flag('--firmware-variables', variablesPath),
    ...(machine === undefined ? [] : machineFlags(machine)),
    ...(asInFile === true ? ['--as-in-file'] : []),
  ]
}

function machineFlags({ cpus, maxCpus, processor, s3 }: UefiMachineOptions): string[] {
  return [
    ...flag('--cpus', cpus),
    ...flag('--max-cpus', maxCpus),
    ...flag('--cpu-vendor', processor?.vendor),
    ...flag('--address-bits', processor?.physicalAddressBits),
    ...(processor?.gigabytePages === true ? ['--gigabyte-pages'] : []),
    ...(s3 === false ? ['--no-s3'] : []),
  ]
}

function flag(name: string, value: string | number | undefined): string[] {
  return value === undefined ? [] : [name, String(value)]
}
