// How a command finds a running emulator: by the file that `palimpsest up` leaves in its folder, or by options.

import { existsSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { type ClientOf, createClient, HypervisorService, loadTlsIdentity } from '../../sdk/rpc/index.ts'
import { type EmulatorAddresses, CONNECTION_FILE } from '../testbed/index.ts'
import { CommandFailure, EXIT, Output } from './output.ts'

/** Folder of the emulator's state when --directory is not given. */
const DEFAULT_DIRECTORY = '.palimpsest'

/** Options of every command that talks to a running emulator. */
export interface ConnectionFlags {
  readonly directory: string
  readonly hypervisor?: string
  readonly identity?: string
  readonly json?: boolean
}

/** Adds the options that every client command has. */
export function withConnection(command: Command): Command {
  return withDirectory(command)
    .option(
      '--hypervisor <address>',
      "the hypervisor's address, unix:/path or host:port (default: from the folder)",
    )
    .option('--identity <folder>', 'identity to call as (default: the operator of the folder)')
}

/** Adds --directory and --json. */
export function withDirectory(command: Command): Command {
  return command
    .option('--directory <folder>', 'folder of the emulator: identities, state, volumes', DEFAULT_DIRECTORY)
    .option('--json', 'print JSON, one document a line')
}

/** A client of the running hypervisor. */
export interface Session {
  readonly client: ClientOf<typeof HypervisorService>
  readonly out: Output
  readonly directory: string
}

/** Runs `work` with a connection, and closes it. */
export async function withSession(
  flags: ConnectionFlags,
  work: (session: Session) => Promise<void>,
): Promise<void> {
  const out = new Output({ json: flags.json === true })
  const { address, identity } = targetOf(flags)
  const client = createClient(HypervisorService, { address, tls: loadTlsIdentity(identity) })
  try {
    await work({ client, out, directory: flags.directory })
  } finally {
    client.close()
  }
}

/** What the running emulator left in its folder. @throws CommandFailure when there is none */
export function readConnection(directory: string): EmulatorAddresses {
  try {
    return JSON.parse(readFileSync(join(directory, CONNECTION_FILE), 'utf8')) as EmulatorAddresses
  } catch (cause) {
    throw new CommandFailure(
      EXIT.unavailable,
      `no running emulator was found in "${directory}": start one with "palimpsest up --directory ${directory}", or give --hypervisor and --identity`,
      { cause },
    )
  }
}

/** The socket at which an emulator or a platform answers that uses this folder, if one does. */
export async function runningIn(directory: string): Promise<string | undefined> {
  const known = [join(resolve(directory), 'run', 'host.sock')]
  const file = join(directory, CONNECTION_FILE)
  if (existsSync(file)) known.push(readConnection(directory).hypervisor.slice('unix:'.length))
  for (const path of known) if (existsSync(path) && (await answers(path))) return path
  return undefined
}

function answers(path: string): Promise<boolean> {
  return new Promise((answer) => {
    const socket = connect(path)
    const done = (answered: boolean) => () => {
      socket.destroy()
      answer(answered)
    }
    socket.once('connect', done(true)).once('error', done(false))
  })
}

function targetOf(flags: ConnectionFlags): { address: string; identity: string } {
  if (flags.hypervisor !== undefined && flags.identity !== undefined) {
    return { address: flags.hypervisor, identity: flags.identity }
  }
  const found = readConnection(flags.directory)
  return { address: flags.hypervisor ?? found.hypervisor, identity: flags.identity ?? found.operatorIdentity }
}
