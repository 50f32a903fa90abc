// How a TPM on a socket is named, in the words that tpm2-tools take: "swtpm:host=127.0.0.1,port=2321", "mssim:path=/x".
// Source: tpm2-tss, tss2-tctildr(7), tss2-tcti-swtpm(7) and tss2-tcti-mssim(7); tpm2-tools, common TCTI options.

import { InvalidArgumentError } from 'commander'
import { CommandFailure, EXIT } from '../output.ts'

/** A TPM on a socket. Commands go to `port` or `path`; control is on the next port, or at the path with ".ctrl" added. */
export type Tcti =
  | {
      readonly kind: 'tcp'
      readonly protocol: TctiProtocol
      readonly host: string
      readonly port: number
    }
  | { readonly kind: 'unix'; readonly protocol: TctiProtocol; readonly path: string }

/** The protocols that simulators speak. */
export type TctiProtocol = 'swtpm' | 'mssim'

/** Where `palimpsest tpm serve` listens without options. */
const DEFAULT_TCTI: Tcti = { kind: 'tcp', protocol: 'swtpm', host: '127.0.0.1', port: 2321 }

/** Environment variables that name a TPM when no option does, the first that is set. */
const VARIABLES = ['TPM2TOOLS_TCTI', 'TCTI'] as const

const EXPECTED =
  'expected swtpm:host=ADDRESS,port=NUMBER or swtpm:path=SOCKET, or the same with mssim instead of swtpm'
const KEYS: readonly string[] = ['host', 'port', 'path']

/** Reads --tcti. Throws InvalidArgumentError. */
export function tctiValue(text: string): Tcti {
  const found = parse(text)
  if (found !== undefined) return found
  throw new InvalidArgumentError(EXPECTED)
}

/** What the environment names, or where `palimpsest tpm serve` listens. Throws CommandFailure. */
export function tctiOfEnvironment(environment: NodeJS.ProcessEnv): Tcti {
  for (const name of VARIABLES) {
    const text = environment[name]
    if (text === undefined || text === '') continue
    const found = parse(text)
    if (found !== undefined) return found
    const advice = 'set it otherwise, or name the TPM with --tcti or --tpm'
    throw new CommandFailure(EXIT.usage, `${name}: ${EXPECTED}, found "${text}"; ${advice}`)
  }
  return DEFAULT_TCTI
}

/** As --tcti takes it. */
export function tctiText(tcti: Tcti): string {
  const where = tcti.kind === 'tcp' ? `host=${tcti.host},port=${String(tcti.port)}` : `path=${tcti.path}`
  return `${tcti.protocol}:${where}`
}

function parse(text: string): Tcti | undefined {
  const [, protocol, rest = ''] = /^(swtpm|mssim)(?::(.*))?$/.exec(text) ?? []
  if (protocol !== 'swtpm' && protocol !== 'mssim') return undefined
  const settings = new Map<string, string>()
  for (const setting of rest === '' ? [] : rest.split(',')) {
    const [, key = '', value = ''] = /^([a-z]+)=(.+)$/.exec(setting) ?? []
    if (!KEYS.includes(key) || settings.has(key)) return undefined
    settings.set(key, value)
  }
  const path = settings.get('path')
  if (path !== undefined) return settings.size === 1 ? { kind: 'unix', protocol, path } : undefined
  const port = settings.get('port') ?? String(DEFAULT_PORT)
  if (!/^\d+$/.test(port) || Number(port) < 1 || Number(port) > LAST_PORT) return undefined
  return { kind: 'tcp', protocol, host: settings.get('host') ?? '127.0.0.1', port: Number(port) }
}

const DEFAULT_PORT = 2321
/** The next port is for control. */
const LAST_PORT = 65_534
