/**
 * What a hypervisor process is told: addresses, identities, folders. As JSON on an inherited pipe, or as an object when
 * the hypervisor runs inside another program.
 */
import type { LogLevel, TlsIdentity } from '../../sdk/rpc/index.ts'

/** Configuration of a hypervisor. */
export interface HypervisorConfiguration {
  /** Folder for sockets, audit logs and records of clones. */
  readonly runDirectory: string
  /** Where HypervisorService, RelayService and DiskPortService are served. */
  readonly listen: readonly string[]
  /** Where WorkerDataService is served; default: a socket in `runDirectory`. */
  readonly dataListen?: string
  /** The platform's host port, and the authority of its certificate when that is not this host's own. */
  readonly platform: { readonly address: string; readonly serverName?: string; readonly caPem?: string }
  /** Identity of this host, by the operator (OU = hypervisor). */
  readonly tls: TlsIdentity
  /** Transport identity that workers get, by the operator (OU = worker). */
  readonly workerTls: TlsIdentity
  /** Folder of the volume store. */
  readonly volumesDirectory: string
  /** Worker image to launch at start. */
  readonly workerImage?: string
  /** Whether fault points of that worker may be armed. */
  readonly faultPoints: boolean
  /** How long a guest's access may wait for a copy, in milliseconds. */
  readonly stallTimeoutMs: number
  /** Frames that a memory registration keeps ready for its destination. */
  readonly poolFrames: number
  /** File that every message that reaches this process is recorded in. */
  readonly transcript?: string
  readonly logLevel: LogLevel
}

/** Configuration as given; what is left out has a default. */
export type HypervisorSettings = Omit<
  HypervisorConfiguration,
  'faultPoints' | 'stallTimeoutMs' | 'poolFrames' | 'logLevel'
> &
  Partial<HypervisorConfiguration>

const defaults = { faultPoints: false, stallTimeoutMs: 30_000, poolFrames: 4096, logLevel: 'info' } as const

/**
 * Checks settings and fills in the defaults.
 * @throws TypeError naming the setting that is wrong.
 */
export function readConfiguration(settings: unknown): HypervisorConfiguration {
  const map = record(settings, 'configuration')
  const platform = record(map.platform, 'platform')
  const listen = map.listen
  if (!Array.isArray(listen) || listen.length === 0) throw wrong('listen', 'a list of addresses', listen)
  return {
    runDirectory: text(map.runDirectory, 'runDirectory'),
    listen: listen.map((address, i) => text(address, `listen[${i}]`)),
    ...optionalText(map, 'dataListen'),
    platform: {
      address: text(platform.address, 'platform.address'),
      ...optionalText(platform, 'serverName'),
      ...optionalText(platform, 'caPem'),
    },
    tls: identity(map.tls, 'tls'),
    workerTls: identity(map.workerTls, 'workerTls'),
    volumesDirectory: text(map.volumesDirectory, 'volumesDirectory'),
    ...optionalText(map, 'workerImage'),
    faultPoints: map.faultPoints === undefined ? defaults.faultPoints : flag(map.faultPoints, 'faultPoints'),
    stallTimeoutMs: whole(map.stallTimeoutMs ?? defaults.stallTimeoutMs, 'stallTimeoutMs'),
    poolFrames: whole(map.poolFrames ?? defaults.poolFrames, 'poolFrames'),
    ...optionalText(map, 'transcript'),
    logLevel: level(map.logLevel ?? defaults.logLevel),
  }
}

const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent']

function level(value: unknown): LogLevel {
  const found = levels.find((name) => name === value)
  if (found === undefined) throw wrong('logLevel', levels.join(', '), value)
  return found
}

function identity(value: unknown, name: string): TlsIdentity {
  const map = record(value, name)
  return {
    certificatePem: text(map.certificatePem, `${name}.certificatePem`),
    keyPem: text(map.keyPem, `${name}.keyPem`),
    caPem: text(map.caPem, `${name}.caPem`),
  }
}

function optionalText<N extends string>(map: Record<string, unknown>, name: N): Partial<Record<N, string>> {
  const value = map[name]
  return value === undefined ? {} : ({ [name]: text(value, name) } as Record<N, string>)
}

function record(value: unknown, name: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  throw wrong(name, 'an object', value)
}

function text(value: unknown, name: string): string {
  if (typeof value === 'string' && value !== '') return value
  throw wrong(name, 'text', value)
}

function flag(value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value
  throw wrong(name, 'true or false', value)
}

function whole(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
  throw wrong(name, 'a whole number above 0', value)
}

/** Names the kind of a wrong value, never the value: it may be a key. */
function wrong(name: string, expected: string, value: unknown): TypeError {
  return new TypeError(`"${name}" expected ${expected}, got ${value === null ? 'null' : typeof value}`)
}
