// What the commands of `palimpsest tpm` have in common: which TPM they mean, and a client of it that gives back every
// slot it took and lets no authorization value cross a socket in plain sight.

import { type Command, InvalidArgumentError, Option } from 'commander'
import {
  authHandles,
  type AuthSession,
  type Command as TpmCommand,
  decryptable,
  encryptable,
  passwordSession,
  type SessionUse,
  startHmacSession,
  TPM2_CreatePrimary,
  TPM2_FlushContext,
  TPM_RH,
  TpmClient,
  type TPMT_PUBLIC,
} from '../../../sdk/tpm2/index.ts'
import { CommandFailure, Output } from '../output.ts'
import { PARAMETER_CIPHER, STORAGE_KEY } from './keys.ts'
import { explained } from './refusals.ts'
import { type Tcti, tctiOfEnvironment, tctiValue } from './tcti.ts'
import { openFolder, openSocket, type OpenTransport } from './transports.ts'

const NONE = new Uint8Array(0)

/** Options of every command that talks to a TPM. */
export interface TpmFlags {
  readonly tcti?: Tcti
  readonly tpm?: string
  readonly locality: number
  readonly json?: boolean
}

/** Adds the options that every client command has. */
export function withTpm(command: Command): Command {
  const tcti = new Option(
    '--tcti <tcti>',
    'the TPM, like swtpm:host=127.0.0.1,port=2321, mssim:port=2321 or swtpm:path=SOCKET (default: TPM2TOOLS_TCTI, ' +
      'TCTI, or where "palimpsest tpm serve" listens)',
  )
  return command
    .addOption(tcti.argParser(tctiValue).conflicts('tpm'))
    .option(
      '--tpm <folder>',
      'a TPM in this folder instead, without a server; made when there is none. Between commands it keeps PCRs 0 to 15',
    )
    .addOption(
      new Option('--locality <number>', 'locality of the commands, 0 to 4')
        .argParser(localityValue)
        .default(0),
    )
    .option('--json', 'print JSON, one document a line')
}

function localityValue(text: string): number {
  if (/^[0-4]$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a locality from 0 to 4')
}

/** How a command is authorized. */
interface Authorization {
  /** authValue of what the command acts on; default empty */
  readonly auth?: Uint8Array
  /** the same after the command, when the command changes it */
  readonly authAfter?: Uint8Array
  /** what goes over the socket besides is secret too */
  readonly secret?: boolean
}

/** A TPM in use by a command. */
export class TpmSession {
  readonly client: TpmClient
  readonly out: Output
  readonly #loaded: number[] = []
  #secure: AuthSession | undefined

  constructor(client: TpmClient, out: Output) {
    this.client = client
    this.out = out
  }

  /** Has the handle flushed at the end. */
  keep(handle: number): number {
    this.#loaded.push(handle)
    return handle
  }

  /** Flushes one before the end: hardware has three slots. */
  async flush(flushHandle: number): Promise<void> {
    await this.client.call(TPM2_FlushContext, { flushHandle })
    const at = this.#loaded.indexOf(flushHandle)
    if (at >= 0) this.#loaded.splice(at, 1)
  }

  /** Flushes what is left; a TPM that can not be reached any more has nothing to give back. */
  async flushAll(): Promise<void> {
    for (const flushHandle of this.#loaded.reverse()) {
      try {
        await this.client.call(TPM2_FlushContext, { flushHandle })
      } catch (error) {
        if (error instanceof CommandFailure) return
      }
    }
  }

  /**
   * Runs a command with one handle to authorize. With an authValue, or a `secret` parameter or result, in a salted
   * session with encrypted parameters; else by the empty password.
   */
  async authorized<Q extends object, S extends object>(
    row: TpmCommand<Q, S>,
    request: NoInfer<Q>,
    { auth = NONE, authAfter = auth, secret = false }: Authorization = {},
  ): Promise<S> {
    if (auth.length === 0 && !secret) {
      return this.client.call(row, request, { sessions: authHandles(row) === 0 ? [] : [passwordSession()] })
    }
    this.#secure ??= await this.#startSecure()
    return this.client.call(row, request, { sessions: [encrypting(this.#secure, row, auth, authAfter)] })
  }

  /** A primary key of a hierarchy, which goes at the end. */
  async primary(primaryHandle: number, inPublic: TPMT_PUBLIC, auth: Uint8Array = NONE) {
    const inSensitive = { userAuth: NONE, data: NONE }
    const request = { primaryHandle, inSensitive, inPublic, outsideInfo: NONE, creationPCR: [] }
    const made = await this.authorized(TPM2_CreatePrimary, request, { auth })
    this.keep(made.objectHandle)
    return made
  }

  /** The salt goes to a key of the null hierarchy, which needs nobody's authorization and lasts as long as this. */
  async #startSecure(): Promise<AuthSession> {
    const { objectHandle, outPublic } = await this.primary(TPM_RH.NULL, STORAGE_KEY)
    const salt = { handle: objectHandle, key: outPublic }
    const session = await startHmacSession(this.client, { symmetric: PARAMETER_CIPHER, salt })
    this.keep(session.handle)
    await this.flush(objectHandle)
    return session
  }
}

/** A session that authorizes by `auth` and encrypts both first parameters, where they can be. */
export function encrypting<Q extends object, S extends object>(
  session: AuthSession,
  row: TpmCommand<Q, S>,
  auth: Uint8Array,
  authAfter = auth,
): SessionUse {
  return session.use({ auth, authAfter, decrypt: decryptable(row), encrypt: encryptable(row) })
}

/** Runs `work` on the TPM that the options name. `startup` false: a TPM in a folder is left waiting for TPM2_Startup. */
export async function onTpm(
  flags: TpmFlags,
  work: (session: TpmSession) => Promise<void>,
  { startup = true }: { readonly startup?: boolean } = {},
): Promise<void> {
  const out = new Output({ json: flags.json === true })
  try {
    const transport = await openTransport(flags, startup)
    const session = new TpmSession(new TpmClient(transport), out)
    try {
      await work(session)
    } finally {
      await session.flushAll()
      await transport.close().catch(() => undefined)
    }
  } catch (error) {
    throw explained(error)
  }
}

function openTransport({ tcti, tpm, locality }: TpmFlags, startup: boolean): Promise<OpenTransport> {
  if (tpm !== undefined) return openFolder(tpm, { locality, startup })
  return openSocket(tcti ?? tctiOfEnvironment(process.env), locality)
}
