// What a launched worker is told, on the inherited pipe (file descriptor 3): the launch secret from the platform, and
// the host's wishes. The first makes this process the one that can ask for its report; the second is not trusted.

import { closeSync, readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import type { LogLevel, TlsIdentity } from '../rpc/index.ts'

/** How to reach the platform, with the identity that only this launch has. */
export interface PlatformAccess {
  readonly address: string
  readonly tls: TlsIdentity
}

/** What the host asks for. */
export interface HostWishes {
  /** Where to serve WorkerService. */
  readonly listen: string
  /** Transport identity towards the host. */
  readonly tls: TlsIdentity
  /** Where the host's WorkerDataService is. */
  readonly dataAddress: string
  /** Whether SetFaultPoint is allowed. */
  readonly faultPoints: boolean
  /** Engine by name, or the best one. */
  readonly engine?: string
  readonly logLevel: LogLevel
}

/** A launch. */
export interface LaunchBundle {
  /** Name of this worker VM. */
  readonly vm: string
  readonly platform: PlatformAccess
  readonly host: HostWishes
}

/** Reads the bundle from the inherited pipe and closes it. @throws TypeError naming the field that is wrong. */
export function readLaunchBundle(fd = 3): LaunchBundle {
  const text = readFileSync(fd, 'utf8')
  closeSync(fd)
  const bundle = record(JSON.parse(text), 'bundle')
  const platform = record(bundle['platform'], 'platform')
  const host = record(bundle['host'], 'host')
  const engine = host['engine']
  return {
    vm: string(bundle['vm'], 'vm'),
    platform: {
      address: string(platform['address'], 'platform.address'),
      tls: identity(platform, 'platform'),
    },
    host: {
      listen: string(host['listen'], 'host.listen'),
      tls: identity(record(host['tls'], 'host.tls'), 'host.tls'),
      dataAddress: string(record(host['data'], 'host.data')['address'], 'host.data.address'),
      faultPoints: host['faultPoints'] === true,
      ...(engine === undefined ? {} : { engine: string(engine, 'host.engine') }),
      logLevel: level(host['logLevel']),
    },
  }
}

/**
 * Calls `gone` when the platform that launched this process ends: its end of the lifeline pipe closes. Read through a
 * socket, because a file stream's read blocks in a thread that process.exit() waits for.
 */
export function watchLifeline(gone: () => void, fd = 4): void {
  const lifeline = new Socket({ fd, readable: true, writable: false })
  lifeline.on('error', gone).on('close', gone).resume()
}

function identity(map: Record<string, unknown>, path: string): TlsIdentity {
  return {
    certificatePem: string(map['certificatePem'], `${path}.certificatePem`),
    keyPem: string(map['keyPem'], `${path}.keyPem`),
    caPem: string(map['caPem'], `${path}.caPem`),
  }
}

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent']

function level(value: unknown): LogLevel {
  return LEVELS.find((known) => known === value) ?? 'info'
}

function record(value: unknown, path: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  throw new TypeError(`launch bundle: "${path}" expected an object, found ${typeof value}`)
}

function string(value: unknown, path: string): string {
  if (typeof value === 'string') return value
  throw new TypeError(`launch bundle: "${path}" expected text, found ${typeof value}`)
}
