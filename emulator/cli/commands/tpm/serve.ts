// `palimpsest tpm serve`: a TPM 2.0 on sockets, for this command's other jobs, tpm2-tools and whatever else speaks to one.

import { Command, InvalidArgumentError, Option } from 'commander'
import { callDirectly, TPM2_Startup, TPM_SU } from '../../../../sdk/tpm2/index.ts'
import { DEFAULT_LIMITS, HARDWARE_LIMITS } from '../../../platform/tpm/index.ts'
import { manufactureTpm } from '../../../testbed/index.ts'
import {
  closeOnSignals,
  formatAddress,
  serveQemu,
  serveTpm,
  type StatePlace,
  type TpmPort,
  type TpmProtocol,
  type TpmServer,
} from '../../../tpm-server/index.ts'
import { CommandFailure, EXIT, Output } from '../../output.ts'
import { lockPlace, openTpm } from '../../tpm/served-tpm.ts'

interface ServeFlags {
  readonly protocol: TpmProtocol | 'qemu'
  readonly port?: number
  readonly host: string
  readonly unix?: string
  readonly socket?: string
  readonly state?: string
  readonly seed?: Uint8Array
  readonly hardwareSlots?: boolean
  readonly ekCertificates?: string
  readonly startup?: boolean
  readonly json?: boolean
}

/** `palimpsest tpm serve` */
export function serveCommand(): Command {
  return new Command('serve')
    .description('Serve a TPM 2.0 on sockets until the command is stopped.')
    .addOption(
      new Option('--protocol <name>', "what clients speak; qemu: QEMU's -tpmdev emulator")
        .choices(['swtpm', 'mssim', 'qemu'])
        .default('swtpm'),
    )
    .option(
      '--port <number>',
      'TCP port of commands; control is on the next one; 0: a free pair (default: 2321; with qemu none: the ports are for tools beside the VM, and speak swtpm)',
      portNumber,
    )
    .option('--host <address>', 'address to listen on: whoever reaches it commands the TPM', '127.0.0.1')
    .option('--unix <path>', 'a UNIX socket instead of TCP; control is at the path with ".ctrl"')
    .option(
      '--socket <path>',
      'with qemu: the UNIX socket that QEMU connects to; an orderly end of QEMU ends the command',
    )
    .option('--state <folder>', 'keep the TPM here; without it the TPM is gone with the command')
    .option(
      '--seed <hex>',
      'make a new TPM from this seed: the same seed has the same primary keys',
      hexBytes,
    )
    .option('--hardware-slots', 'three slots for objects and sessions, as hardware has, instead of plenty')
    .option(
      '--ek-certificates <folder>',
      'give it EKs, and certificates in NV memory by the manufacturer in this folder (root.pem; made when there is none)',
    )
    .option('--startup', 'power on and TPM2_Startup before the first client')
    .option('--json', 'print the addresses as one line of JSON')
    .action(serve)
}

function portNumber(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65534) return port
  throw new InvalidArgumentError('expected 0 or a port up to 65534')
}

function hexBytes(text: string): Uint8Array {
  if (!/^([0-9a-fA-F]{2}){16,64}$/.test(text)) {
    throw new InvalidArgumentError('expected 16 to 64 bytes as hexadecimal digits')
  }
  return new Uint8Array(Buffer.from(text, 'hex'))
}

async function serve(flags: ServeFlags): Promise<void> {
  const out = new Output({ json: flags.json === true })
  const open = opener(flags)
  const place = flags.state === undefined ? null : { kind: 'folder' as const, path: flags.state, mode: 0o600 }
  const unlock = place === null ? () => undefined : await lockPlace(place, 0)
  try {
    await serveUntilStopped(flags, open, place, out)
  } finally {
    unlock()
  }
}

async function serveUntilStopped(
  flags: ServeFlags,
  open: ReturnType<typeof opener>,
  place: StatePlace | null,
  out: Output,
): Promise<void> {
  const { port, tpm } = openTpm(place, {
    limits: flags.hardwareSlots === true ? HARDWARE_LIMITS : DEFAULT_LIMITS,
    ...(flags.seed === undefined ? {} : { seed: flags.seed }),
  })
  if (flags.ekCertificates !== undefined) manufactureTpm(tpm, flags.ekCertificates)
  // A client of the swtpm protocol expects a TPM with power; with mssim each client turns it on first.
  if (flags.protocol === 'swtpm' || flags.startup === true) tpm.powerOn()
  if (flags.startup === true) {
    callDirectly((command) => tpm.execute(command), TPM2_Startup, { startupType: TPM_SU.CLEAR })
  }
  const server = await open(port)
  closeOnSignals(server)
  const shown = addresses(flags, server)
  out.result(shown, () => [
    out.strong(`TPM 2.0, ${flags.protocol} protocol`),
    ...(flags.socket === undefined ? [] : [`  ${qemuOptions(flags.socket)}`]),
    ...(shown.commands === undefined ? [] : [`  commands ${shown.commands}`]),
    `  control  ${shown.control}`,
    ...(shown.tcti === null ? [] : [`  export TPM2TOOLS_TCTI=${shown.tcti}`]),
    out.dim(flags.protocol === 'qemu' ? 'it ends when QEMU quits, or with Ctrl-C' : 'stop it with Ctrl-C'),
  ])
  await server.closed
}

/** What opens the server that the flags ask for. Throws CommandFailure `usage` for flags that contradict each other. */
function opener(flags: ServeFlags): (port: TpmPort) => Promise<TpmServer> {
  const { protocol, host, socket, unix, startup } = flags
  if (protocol !== 'qemu') {
    if (socket !== undefined)
      throw wrong('--socket: expected --protocol qemu with it; other clients have --unix')
    const address = unix === undefined ? { host, tcpPort: flags.port ?? 2321 } : { unixPath: unix }
    return async (port) => serveTpm({ port, protocol, ...address })
  }
  if (socket === undefined) throw wrong('--protocol qemu: expected --socket PATH, where QEMU connects to')
  if (unix !== undefined) throw wrong('--unix: expected only --socket with --protocol qemu')
  if (startup === true) throw wrong('--startup: with --protocol qemu the firmware of the VM starts the TPM')
  const beside = flags.port === undefined ? {} : { host, tcpPort: flags.port }
  return async (port) => serveQemu({ port, socketPath: socket, ...beside })
}

function wrong(message: string): CommandFailure {
  return new CommandFailure(EXIT.usage, message)
}

/** What makes QEMU use the TPM. In QEMU's options a comma of a value is doubled. */
function qemuOptions(socket: string): string {
  const path = socket.replaceAll(',', ',,')
  return `-chardev socket,id=tpm,path=${path} -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-crb,tpmdev=tpm0`
}

function addresses(flags: ServeFlags, server: TpmServer) {
  const { data, control, tcti } = server.addresses
  const tcp = data?.kind === 'tcp' && control?.kind === 'tcp'
  return {
    protocol: flags.protocol,
    ...(flags.socket === undefined ? {} : { socket: flags.socket }),
    ...(tcp ? { host: data.host, port: data.port, controlPort: control.port } : {}),
    ...(data === null ? {} : { commands: formatAddress(data) }),
    control: control === null ? '' : formatAddress(control),
    tcti,
  }
}
