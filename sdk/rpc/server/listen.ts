/**
 * Binding of addresses: `127.0.0.1:0`, `[::1]:443`, `unix:/run/x.sock`. A UNIX socket is made in a private folder, gets
 * mode 0600 and is then renamed into place, so that no other user can reach it even for a moment, and a stale one
 * is replaced in one step.
 */
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import type { Server, ServerCredentials } from '@grpc/grpc-js'
import { PalimpsestError } from '../errors.ts'

/** A bound address. */
export interface Listener {
  /** The address for clients: with the real port where 0 was asked for. */
  readonly address: string
  /** Removes what binding left in the file system. */
  remove(): void
}

/** sun_path holds 108 bytes with the final zero. Source: unix(7). */
const maxSocketPath = 107

/** Binds one address. @throws PalimpsestError ALREADY_EXISTS when somebody answers there, UNAVAILABLE otherwise. */
export async function listenOn(
  server: Server,
  address: string,
  credentials: ServerCredentials,
): Promise<Listener> {
  if (address.startsWith('unix:')) return listenOnSocket(server, address.slice('unix:'.length), credentials)
  const port = await bind(server, address, credentials)
  const host = address.slice(0, address.lastIndexOf(':'))
  return {
    address: `${host}:${port}`,
    remove: () => {
      // A TCP port leaves nothing behind.
    },
  }
}

/** Whether only this machine can reach an address. */
export function isLocal(address: string): boolean {
  if (address.startsWith('unix:')) return true
  const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '')
  return host === 'localhost' || host === '::1' || (net.isIPv4(host) && host.startsWith('127.'))
}

async function listenOnSocket(
  server: Server,
  file: string,
  credentials: ServerCredentials,
): Promise<Listener> {
  const target = path.resolve(file)
  await claim(target)
  mkdirSync(path.dirname(target), { recursive: true })
  const folder = mkdtempSync(path.join(path.dirname(target), '.s-'))
  const made = path.join(folder, 's')
  try {
    if (Buffer.byteLength(made) > maxSocketPath || Buffer.byteLength(target) > maxSocketPath) {
      const problem = `expected a socket path of at most ${maxSocketPath - 5} bytes, found ${target}`
      throw new PalimpsestError('INVALID_ARGUMENT', `${problem}: choose a shorter folder`)
    }
    await bind(server, `unix:${made}`, credentials)
    chmodSync(made, 0o600)
    renameSync(made, target)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  const { ino } = lstatSync(target)
  return {
    address: `unix:${target}`,
    remove: () => {
      // Somebody else may have taken the path over meanwhile.
      if (lstatSync(target, { throwIfNoEntry: false })?.ino === ino) rmSync(target, { force: true })
    },
  }
}

/** Makes sure that a path is free or holds a socket that nobody answers. */
async function claim(file: string): Promise<void> {
  const found = lstatSync(file, { throwIfNoEntry: false })
  if (!found) return
  if (!found.isSocket()) {
    throw new PalimpsestError(
      'ALREADY_EXISTS',
      `expected no file or an old socket at ${file}, found another file`,
    )
  }
  if (await answers(file)) {
    throw new PalimpsestError(
      'ALREADY_EXISTS',
      `expected a free socket path, found a server that answers at ${file}`,
    )
  }
}

function answers(file: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(file)
    const settle = (alive: boolean) => {
      socket.destroy()
      resolve(alive)
    }
    socket.once('connect', () => {
      settle(true)
    })
    socket.once('error', () => {
      settle(false)
    })
  })
}

function bind(server: Server, address: string, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => {
      if (error) {
        const problem = `expected to listen on ${address}: ${error.message}`
        reject(new PalimpsestError('UNAVAILABLE', problem, { cause: error }))
      } else resolve(port)
    })
  })
}
