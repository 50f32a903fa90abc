// A client of a TPM: commands as typed calls over anything that carries bytes. It marshals a command from its row of
// the tables, adds the sessions, and believes nothing of the response that the TPM has not made good.
// Source: TPM 2.0 Library, Part 1, clause 16 (command and response structures), revision 1.59.

import { randomBytes } from 'node:crypto'
import { concatBytes } from '../crypto/index.ts'
import { AuthSession, type SessionUse, trimAuth } from './auth-session.ts'
import { AuthorizationArea } from './authorization-area.ts'
import { Reader, Writer } from './codec.ts'
import { type AnyCommand, type Command } from './command.ts'
import { TPM2_NV_ReadPublic } from './commands/nv.ts'
import { TPM2_ReadPublic } from './commands/object.ts'
import { TPM2_StartAuthSession } from './commands/session.ts'
import { TPM_ALG, TPM_HT, TPM_RH, TPM_SE, TPM_ST } from './constants.ts'
import { digestSize } from './hash.ts'
import { kdfa } from './kdf.ts'
import { handleName } from './names.ts'
import { type TPMT_PUBLIC } from './public.ts'
import { baseCode, describeResponseCode, TPM_RC } from './response-codes.ts'
import { type TPMT_SYM_DEF } from './schemes.ts'
import { shareSecret } from './secret-sharing.ts'

const NONE = new Uint8Array(0)
const HEADER_SIZE = 10
/** How often a command is sent again when the TPM asks for that. */
const RETRIES = 5
const SEND_AGAIN: ReadonlySet<number> = new Set([TPM_RC.RETRY, TPM_RC.YIELDED])

/** What carries a command to a TPM and brings its response: a socket, or a TPM in this process. */
export interface Transport {
  send(command: Uint8Array): Promise<Uint8Array> | Uint8Array
}

/** A TPM refused a command. `rc` is the response code with the number of what it points at; baseCode() removes that. */
export class TpmResponseError extends Error {
  readonly rc: number
  /** the command's name, "TPM2_Quote" */
  readonly command: string

  constructor(command: string, rc: number) {
    super(`${command}: expected success, found ${describeResponseCode(rc)}`)
    this.name = 'TpmResponseError'
    this.command = command
    this.rc = rc
  }
}

/** What goes with a command besides its handles and parameters. */
export interface CallOptions {
  /**
   * Sessions in the order of the authorization area: first one for each handle that needs authorization, then those
   * that encrypt or audit.
   */
  readonly sessions?: readonly SessionUse[]
  /**
   * Names of objects and NV indices by handle. A name that is not here is asked of the TPM where an HMAC needs it;
   * give the one you expect when it matters that the command acts on that very entity.
   */
  readonly names?: ReadonlyMap<number, Uint8Array>
}

/** A TPM behind a transport. One command at a time: wait for a call before the next one that uses the same session. */
export class TpmClient {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /**
   * Runs a command: `call(TPM2_GetRandom, { bytesRequested: 8 })`. Resolves with the response's handles and parameters.
   * On TPM_RC_RETRY and TPM_RC_YIELDED the same bytes are sent again, at most five times: swtpm asks for that when it
   * has to note first that an object protected against dictionary attacks is used.
   * Throws TpmResponseError when the TPM refuses, Tpm2Error MALFORMED or BAD_HMAC when the response can not be
   * believed, RangeError when a value of the request does not fit.
   */
  async call<Q extends object, S extends object>(
    row: Command<Q, S>,
    request: NoInfer<Q>,
    options: CallOptions = {},
  ): Promise<S> {
    const { sessions = [] } = options
    const handles = row.handles.map(({ name }) => Number(valueOf(request, name)))
    const names = sessions.some(({ session }) => session !== undefined)
      ? await this.#names(handles, options.names)
      : []
    const area = sessions.length > 0 ? new AuthorizationArea(row, names, sessions) : undefined
    const response = await this.#send(commandBytes(row, handles, parameterBytes(row, request), area))
    return readResponse(row, response, area) as S
  }

  /** The name of what a handle refers to; asked of the TPM for objects and NV indices. Throws TpmResponseError. */
  async nameOf(handle: number): Promise<Uint8Array> {
    switch (handle >>> 24) {
      case TPM_HT.TRANSIENT:
      case TPM_HT.PERSISTENT:
        return this.#objectName(handle)
      case TPM_HT.NV_INDEX:
        return (await this.call(TPM2_NV_ReadPublic, { nvIndex: handle })).nvName
      default:
        return handleName(handle)
    }
  }

  async #send(command: Uint8Array): Promise<Uint8Array> {
    let response = await this.#transport.send(command)
    for (let left = RETRIES; left > 0 && SEND_AGAIN.has(responseCode(response)); left -= 1) {
      response = await this.#transport.send(command)
    }
    return response
  }

  async #objectName(objectHandle: number): Promise<Uint8Array> {
    try {
      return (await this.call(TPM2_ReadPublic, { objectHandle })).name
    } catch (error) {
      // A sequence object has no public area, and an empty name.
      if (error instanceof TpmResponseError && baseCode(error.rc) === TPM_RC.SEQUENCE) return NONE
      throw error
    }
  }

  async #names(handles: readonly number[], given: CallOptions['names']): Promise<Uint8Array[]> {
    const names: Uint8Array[] = []
    for (const handle of handles) names.push(given?.get(handle) ?? (await this.nameOf(handle)))
    return names
  }
}

/** A TPM in this process: takes a command's bytes and returns its response's. */
export type Execute = (command: Uint8Array) => Uint8Array

/**
 * TpmClient.call() without waiting, of a TPM in this process. Passwords and policy sessions without a key authorize:
 * what is made with them needs no names. Throws as call() does, and TypeError for another session.
 */
export function callDirectly<Q extends object, S extends object>(
  execute: Execute,
  row: Command<Q, S>,
  request: NoInfer<Q>,
  sessions: readonly SessionUse[] = [],
): S {
  if (sessions.some(needsNames)) {
    throw new TypeError('"sessions" expected passwords and policy sessions without a key, got another one')
  }
  const handles = row.handles.map(({ name }) => Number(valueOf(request, name)))
  const area = sessions.length > 0 ? new AuthorizationArea(row, [], sessions) : undefined
  const response = execute(commandBytes(row, handles, parameterBytes(row, request), area))
  return readResponse(row, response, area) as S
}

/** Whether an HMAC is made, which covers the names of the command's handles. */
function needsNames({ session, proof }: SessionUse): boolean {
  if (session === undefined || proof === 'password') return false
  return session.kind === 'hmac' || proof === 'hmac' || session.hmacKey(undefined, NONE).length > 0
}

/** The response code, or 0 where the response is too short to have one. */
function responseCode(response: Uint8Array): number {
  if (response.length < HEADER_SIZE) return TPM_RC.SUCCESS
  return new DataView(response.buffer, response.byteOffset).getUint32(6)
}

function valueOf(record: object, name: string): unknown {
  return (record as Readonly<Record<string, unknown>>)[name]
}

function parameterBytes(row: AnyCommand, request: object): Uint8Array {
  const writer = new Writer()
  for (const { name, value } of row.parameters) value.write(writer, valueOf(request, name))
  return writer.finish()
}

function commandBytes(
  row: AnyCommand,
  handles: readonly number[],
  parameters: Uint8Array,
  area: AuthorizationArea | undefined,
): Uint8Array {
  const sealed = area?.seal(parameters)
  const body = new Writer()
  for (const handle of handles) body.uint32(handle)
  if (sealed !== undefined) {
    body.uint32(sealed.area.length)
    body.bytes(sealed.area)
  }
  body.bytes(sealed?.parameters ?? parameters)
  const bytes = body.finish()
  const writer = new Writer()
  writer.uint16(sealed === undefined ? TPM_ST.NO_SESSIONS : TPM_ST.SESSIONS)
  writer.uint32(HEADER_SIZE + bytes.length)
  writer.uint32(row.code)
  writer.bytes(bytes)
  return writer.finish()
}

function readResponse(row: AnyCommand, response: Uint8Array, area: AuthorizationArea | undefined): object {
  const reader = new Reader(response, `response of ${row.name}`)
  const tag = reader.uint16()
  const size = reader.uint32()
  if (size !== response.length) {
    reader.fail(`expected as many bytes as its size says, ${String(size)}, found ${String(response.length)}`)
  }
  const rc = reader.uint32()
  if (rc !== TPM_RC.SUCCESS) {
    reader.end()
    throw new TpmResponseError(row.name, rc)
  }
  const expected = area === undefined ? TPM_ST.NO_SESSIONS : TPM_ST.SESSIONS
  if (tag !== expected) {
    reader.fail(`expected tag 0x${expected.toString(16)}, found 0x${tag.toString(16)}`)
  }
  const out: Record<string, unknown> = {}
  for (const { name } of row.responseHandles) out[name] = reader.uint32()
  const parameters = readParameters(reader, area)
  const fields = new Reader(parameters, `response of ${row.name}`)
  for (const { name, value } of row.response) out[name] = value.read(fields)
  fields.end()
  return out
}

function readParameters(reader: Reader, area: AuthorizationArea | undefined): Uint8Array {
  if (area === undefined) return reader.bytes(reader.remaining)
  const parameters = reader.bytes(reader.uint32())
  return area.open(reader, parameters)
}

/** How a session starts. */
export interface SessionStart {
  /** TPM_ALG of its HMACs and nonces; default SHA256 */
  readonly authHash?: number
  /** what encrypts parameters; default none */
  readonly symmetric?: TPMT_SYM_DEF
  /** a loaded decryption key: salted, so that who hears the start does not know the session's key */
  readonly salt?: { readonly handle: number; readonly key: TPMT_PUBLIC }
  /** an entity whose authValue goes into the session's key, and need not be in the HMACs that authorize it */
  readonly bind?: { readonly handle: number; readonly auth: Uint8Array; readonly name?: Uint8Array }
}

/** Starts an HMAC session. Throws TpmResponseError; Tpm2Error UNSUPPORTED for a salt key that is not computed with. */
export async function startHmacSession(client: TpmClient, start: SessionStart = {}): Promise<AuthSession> {
  const { bind } = start
  const bound =
    bind === undefined
      ? undefined
      : { name: bind.name ?? (await client.nameOf(bind.handle)), auth: trimAuth(bind.auth) }
  return startSession(client, TPM_SE.HMAC, start, bound)
}

/** Starts a policy session, or a trial that only computes a policy's digest. Throws as startHmacSession(). */
export function startPolicySession(
  client: TpmClient,
  start: SessionStart & { readonly trial?: boolean } = {},
): Promise<AuthSession> {
  return startSession(client, start.trial === true ? TPM_SE.TRIAL : TPM_SE.POLICY, start)
}

/** Starts a policy session of a TPM in this process, for callDirectly(). Throws TpmResponseError. */
export function startPolicyDirectly(execute: Execute): AuthSession {
  const authHash = TPM_ALG.SHA256
  const symmetric = { algorithm: TPM_ALG.NULL }
  const { sessionHandle, nonceTPM } = callDirectly(execute, TPM2_StartAuthSession, {
    tpmKey: TPM_RH.NULL,
    bind: TPM_RH.NULL,
    nonceCaller: new Uint8Array(randomBytes(digestSize(authHash))),
    encryptedSalt: NONE,
    sessionType: TPM_SE.POLICY,
    symmetric,
    authHash,
  })
  return new AuthSession({
    handle: sessionHandle,
    kind: 'policy',
    authHash,
    symmetric,
    sessionKey: NONE,
    nonceTPM,
  })
}

async function startSession(
  client: TpmClient,
  sessionType: number,
  start: SessionStart,
  bound?: { readonly name: Uint8Array; readonly auth: Uint8Array },
): Promise<AuthSession> {
  const { authHash = TPM_ALG.SHA256, symmetric = { algorithm: TPM_ALG.NULL }, salt, bind } = start
  const nonceCaller = new Uint8Array(randomBytes(digestSize(authHash)))
  const shared = salt === undefined ? undefined : shareSecret(salt.key, 'SECRET')
  const { sessionHandle, nonceTPM } = await client.call(TPM2_StartAuthSession, {
    tpmKey: salt?.handle ?? TPM_RH.NULL,
    bind: bind?.handle ?? TPM_RH.NULL,
    nonceCaller,
    encryptedSalt: shared?.secret ?? NONE,
    sessionType,
    symmetric,
    authHash,
  })
  const keyMaterial = concatBytes(trimAuth(bind?.auth ?? NONE), shared?.seed ?? NONE)
  const sessionKey =
    salt === undefined && bind === undefined
      ? NONE
      : kdfa(authHash, keyMaterial, 'ATH', nonceTPM, nonceCaller, digestSize(authHash) * 8)
  return new AuthSession({
    handle: sessionHandle,
    kind: sessionType === TPM_SE.HMAC ? 'hmac' : 'policy',
    authHash,
    symmetric,
    sessionKey,
    nonceTPM,
    ...(bound === undefined ? {} : { bound }),
  })
}
