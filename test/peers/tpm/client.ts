// Our own client on a TPM of these tests, with a look at the bytes that go over the wire.

import {
  passwordSession,
  TPM2_Create,
  TPM2_CreatePrimary,
  TPM2_Load,
  TPM_RH,
  TpmClient,
  TpmResponseError,
  describeResponseCode,
  type SessionUse,
  type TPMT_PUBLIC,
} from '../../../sdk/tpm2/index.ts'
import { type Tools } from './tools.ts'

const NONE = new Uint8Array(0)

/** A client, and all bytes that went to its TPM and came from it. */
export interface Tapped {
  readonly client: TpmClient
  /** whether these bytes went by in either direction */
  readonly seen: (bytes: Uint8Array) => boolean
}

export function tapped(t: Tools): Tapped {
  const wire: Buffer[] = []
  const client = new TpmClient({
    send: async (command) => {
      const response = await t.tpm.send(command)
      wire.push(Buffer.from(command), Buffer.from(response))
      return response
    },
  })
  return { client, seen: (bytes) => wire.some((message) => message.includes(Buffer.from(bytes))) }
}

/** A primary key under the owner, with this password. */
export async function primary(client: TpmClient, template: TPMT_PUBLIC, auth = NONE) {
  return client.call(
    TPM2_CreatePrimary,
    {
      primaryHandle: TPM_RH.OWNER,
      inSensitive: { userAuth: auth, data: NONE },
      inPublic: template,
      outsideInfo: NONE,
      creationPCR: [],
    },
    { sessions: [passwordSession()] },
  )
}

/** An object under `parent`, made and loaded; `session` authorizes the parent when it is made. */
export async function child(
  client: TpmClient,
  parent: number,
  template: TPMT_PUBLIC,
  {
    auth = NONE,
    data = NONE,
    sessions = [passwordSession()],
  }: {
    readonly auth?: Uint8Array
    readonly data?: Uint8Array
    readonly sessions?: readonly SessionUse[]
  },
) {
  const { outPrivate, outPublic } = await client.call(
    TPM2_Create,
    {
      parentHandle: parent,
      inSensitive: { userAuth: auth, data },
      inPublic: template,
      outsideInfo: NONE,
      creationPCR: [],
    },
    { sessions },
  )
  const loaded = await client.call(
    TPM2_Load,
    { parentHandle: parent, inPrivate: outPrivate, inPublic: outPublic },
    { sessions: [passwordSession()] },
  )
  return { ...loaded, outPublic }
}

/** How the TPM refuses a call, in words; 'accepted' when it does not. */
export async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'accepted'
  } catch (error) {
    if (!(error instanceof TpmResponseError)) throw error
    return describeResponseCode(error.rc).replace(/ \(0x.*/, '')
  }
}
