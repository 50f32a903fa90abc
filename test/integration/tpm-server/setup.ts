// Servers and clients that go away after each test.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serveTpm } from '../../../emulator/tpm-server/index.ts'
import type { Listen, ServeTpmOptions, TpmServer } from '../../../emulator/tpm-server/index.ts'
import { Client } from './client.ts'
import { ToyTpm } from './toy-tpm.ts'

const undo: (() => void | Promise<void>)[] = []

/** Ends what this file's helpers began; for afterEach(). */
export async function cleanUp(): Promise<void> {
  for (const step of undo.splice(0).reverse()) await step()
}

export function afterwards(step: () => void | Promise<void>): void {
  undo.push(step)
}

/** A toy TPM on a free pair of ports, with what the server said of itself. */
export interface Served {
  readonly tpm: ToyTpm
  readonly server: TpmServer
  readonly log: string[]
  readonly data: () => Promise<Client>
  readonly control: () => Promise<Client>
}

export async function served(
  protocol: 'mssim' | 'swtpm',
  options: Partial<ServeTpmOptions> = {},
): Promise<Served> {
  const tpm = new ToyTpm()
  const log: string[] = []
  const server = await serveTpm({
    port: tpm,
    protocol,
    tcpPort: 0,
    log: (level, text) => log.push(`${level}: ${text}`),
    ...options,
  })
  afterwards(async () => server.close())
  return {
    tpm,
    server,
    log,
    data: async () => client(server.addresses.data),
    control: async () => client(server.addresses.control),
  }
}

export async function client(address: Listen | null): Promise<Client> {
  const connected = await Client.to(address)
  afterwards(() => {
    connected.end()
  })
  return connected
}

/** Whether somebody listens on a UNIX socket: its file is there before, from bind() on. Source: proc_net(5), flags. */
export function listens(path: string): boolean {
  const accepting = '00010000'
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .some((line) => line.endsWith(` ${path}`) && line.split(' ')[3] === accepting)
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tpm-server-'))
  afterwards(() => {
    rmSync(folder, { recursive: true })
  })
  return folder
}
