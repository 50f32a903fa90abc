// `palimpsest tpm serve`: a TPM 2.0 on sockets, for this command's other jobs, tpm2-tools and whatever else speaks to one.

import { Command, InvalidArgumentError, Option } from 'commander'
import { callDirectly, TPM2_Startup, TPM_SU } from '../../../../sdk/tpm2/index.ts'
import { DEFAULT_LIMITS, HARDWARE_LIMITS } from '../../../platform/tpm/index.ts'
import {
  closeOnSignals,
  formatAddress,
  serveTpm,
  type StatePlace,
  type TpmProtocol,
  type TpmServer,
} from '../../../tpm-server/index.ts'
import { Output } from '../../output.ts'
import { manufacture } from '../../tpm/manufacture.ts'
import { lockPlace, openTpm } from '../../tpm/served-tpm.ts'

interface ServeFlags {
  readonly protocol: TpmProtocol
  readonly port: number
  readonly host: string
  readonly unix?: string
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
      new Option('--protocol <name>', 'what clients speak').choices(['swtpm', 'mssim']).default('swtpm'),
    )
    .option(
      '--port <number>',
      'TCP port of commands; control is on the next one; 0: a free pair',
      portNumber,
      2321,
    )
    .option('--host <address>', 'address to listen on: whoever reaches it commands the TPM', '127.0.0.1')
    .option('--unix <path>', 'a UNIX socket instead of TCP; control is at the path with ".ctrl"')
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
  const place = flags.state === undefined ? null : { kind: 'folder' as const, path: flags.state, mode: 0o600 }
  const unlock = place === null ? () => undefined : await lockPlace(place, 0)
  try {
    await serveUntilStopped(flags, place, out)
  } finally {
    unlock()
  }
}

async function serveUntilStopped(flags: ServeFlags, place: StatePlace | null, out: Output): Promise<void> {
  const { port, tpm } = openTpm(place, {
    limits: flags.hardwareSlots === true ? HARDWARE_LIMITS : DEFAULT_LIMITS,
    ...(flags.seed === undefined ? {} : { seed: flags.seed }),
  })
  if (flags.ekCertificates !== undefined) await manufacture(tpm, flags.ekCertificates)
  // A client of the swtpm protocol expects a TPM with power; with mssim each client turns it on first.
  if (flags.protocol === 'swtpm' || flags.startup === true) tpm.powerOn()
  if (flags.startup === true) {
    callDirectly((command) => tpm.execute(command), TPM2_Startup, { startupType: TPM_SU.CLEAR })
  }
  const address =
    flags.unix === undefined ? { host: flags.host, tcpPort: flags.port } : { unixPath: flags.unix }
  const server = await serveTpm({ port, protocol: flags.protocol, ...address })
  closeOnSignals(server)
  const shown = addresses(flags, server)
  out.result(shown, () => [
    out.strong(`TPM 2.0, ${flags.protocol} protocol`),
    `  commands ${shown.commands}`,
    `  control  ${shown.control}`,
    ...(shown.tcti === null ? [] : [`  export TPM2TOOLS_TCTI=${shown.tcti}`]),
    out.dim('stop it with Ctrl-C'),
  ])
  await server.closed
}

function addresses(flags: ServeFlags, server: TpmServer) {
  const { data, control, tcti } = server.addresses
  const tcp = data?.kind === 'tcp' && control?.kind === 'tcp'
  return {
    protocol: flags.protocol,
    ...(tcp ? { host: data.host, port: data.port, controlPort: control.port } : {}),
    commands: data === null ? '' : formatAddress(data),
    control: control === null ? '' : formatAddress(control),
    tcti,
  }
}
