// Where "swtpm socket" listens: the values of its options --server and --ctrl, and of the older --port and --fd.
// Source: swtpm(8); swtpm 0.7.1, observed behaviour.

import { fstatSync } from 'node:fs'
import { isIP } from 'node:net'
import type { Listen } from './listener.ts'
import { readValues, SwtpmError } from './swtpm-options.ts'
import type { OptionValues, ValueKind } from './swtpm-options.ts'

const address = {
  type: 'string',
  path: 'string',
  port: 'integer',
  bindaddr: 'string',
  ifname: 'string',
  fd: 'integer',
  mode: 'mode',
  uid: 'user',
  gid: 'group',
} as const satisfies Record<string, ValueKind>

const defaultMode = 0o770

/** The data address, and what follows from how it was given. */
interface ServerSettings {
  readonly listen: Listen | null
  readonly disconnect: boolean
  readonly terminate: boolean
}

/** What the data address is read from. */
interface ServerOptions {
  /** --server */
  readonly server: string | undefined
  /** --port */
  readonly port: number | undefined
  /** --fd */
  readonly descriptor: number | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** The data address; null when there is none. Throws a SwtpmError. */
export function readServer({ server, port, descriptor, environment }: ServerOptions): ServerSettings {
  if (descriptor !== undefined) {
    return { listen: { kind: 'connected', descriptor }, disconnect: false, terminate: true }
  }
  const text = server ?? (port === undefined ? undefined : 'type=tcp,disconnect')
  if (text === undefined) return { listen: null, disconnect: false, terminate: false }
  const values = readValues('server', text, { ...address, disconnect: 'boolean' })
  const disconnect = values.flag('disconnect')
  const type = values.text('type') ?? 'tcp'
  const listening = values.number('fd')
  if (type === 'unixio') {
    const listen = readUnix(values, 'Missing path and file descriptor option for UnixIO socket')
    return { listen, disconnect, terminate: false }
  }
  if (type !== 'tcp') throw new SwtpmError(`Unsupport socket type: ${type}`)
  if (listening !== undefined) {
    requireSocket(listening, 'TCP socket')
    return { listen: { kind: 'connected', descriptor: listening }, disconnect, terminate: true }
  }
  const wanted = values.number('port') ?? port ?? Number(environment.TPM_PORT ?? NaN)
  if (!Number.isInteger(wanted) || wanted < 0) {
    throw new SwtpmError('No valid port number provided for TCP socket.')
  }
  if (wanted > 65_535) throw new SwtpmError('TCP socket port outside valid range')
  return { listen: { kind: 'tcp', host: readHost(values), port: wanted }, disconnect, terminate: false }
}

/** The control address; null when there is none. Throws a SwtpmError. */
export function readControl(text: string | undefined): Listen | null {
  if (text === undefined) return null
  const values = readValues('ctrl', text, { ...address, clientfd: 'integer' })
  const type = values.text('type')
  const listening = values.number('fd')
  const connected = values.number('clientfd')
  if (type === undefined) throw new SwtpmError('Missing type parameter for control channel')
  if (type === 'unixio') {
    if (listening === undefined && connected !== undefined) {
      requireSocket(connected, 'UnixIO client control channel')
      return { kind: 'connected', descriptor: connected }
    }
    return readUnix(values, 'Missing path and fd options for UnixIO control channel')
  }
  if (type !== 'tcp') throw new SwtpmError(`Unsupport control channel type: ${type}`)
  if (listening !== undefined) {
    requireSocket(listening, 'TCP control channel')
    return { kind: 'listening', descriptor: listening }
  }
  const port = values.number('port') ?? -1
  if (port < 0) throw new SwtpmError('Missing port and fd options for TCP control channel')
  if (port > 65_535) throw new SwtpmError('TCP control channel port outside valid range')
  return { kind: 'tcp', host: readHost(values), port }
}

function readUnix(values: OptionValues, missing: string): Listen {
  const descriptor = values.number('fd')
  if (descriptor !== undefined) {
    requireSocket(descriptor, 'UnixIO control channel')
    return { kind: 'listening', descriptor }
  }
  const path = values.text('path')
  if (path === undefined) throw new SwtpmError(missing)
  const uid = values.number('uid')
  const gid = values.number('gid')
  return {
    kind: 'unix',
    path,
    mode: values.number('mode') ?? defaultMode,
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  }
}

function readHost(values: OptionValues): string {
  const host = values.text('bindaddr') ?? '127.0.0.1'
  if (isIP(host) === 0) throw new SwtpmError(`Could not parse the bind address '${host}'`)
  if (!/^fe[89ab]/i.test(host)) return host
  const interfaceName = values.text('ifname')
  if (interfaceName === undefined) throw new SwtpmError('Missing interface name for link local address')
  return `${host}%${interfaceName}`
}

function requireSocket(descriptor: number, what: string): void {
  try {
    if (fstatSync(descriptor).isSocket()) return
  } catch {
    // The same complaint for a descriptor that is not there.
  }
  throw new SwtpmError(`Bad filedescriptor ${descriptor} for ${what}`)
}
