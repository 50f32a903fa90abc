// Keys, schemes and ways to show an outcome, for commands that our TPM and swtpm are both given.

import { generateKeyPairSync } from 'node:crypto'
import type { TpmClient } from '../../../sdk/tpm2/index.ts'
import { type AnyCommand, TPM_ALG, TPM_RH, TpmResponseError } from '../../../sdk/tpm2/index.ts'
import { NONE, PW } from '../../unit/emulator/platform/tpm/commands/crypto-rig.ts'

export const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
export const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
export const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey
export const peer = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
export const SHA256 = TPM_ALG.SHA256
export const NO_SCHEME = { scheme: TPM_ALG.NULL } as const
export const NO_TICKET = { tag: 0x8024, hierarchy: TPM_RH.NULL, digest: NONE } as const
export const digest = new Uint8Array(32).fill(0x5a)
export const auth = { sessions: [PW] }
export const two = { sessions: [PW, PW] }

export type Case = readonly [title: string, run: (client: TpmClient) => Promise<unknown>]

/** The result or the response code of a call. */
export async function outcome(call: Promise<unknown>): Promise<unknown> {
  try {
    return await call
  } catch (error) {
    if (error instanceof TpmResponseError) return `0x${error.rc.toString(16)}`
    throw error
  }
}

/** Whether it succeeded, and if not the response code: for results that are random. */
export async function code(call: Promise<unknown>): Promise<string> {
  const found = await outcome(call)
  return typeof found === 'string' ? found : 'success'
}

export type Call = readonly [row: AnyCommand, request: object, options?: Parameters<TpmClient['call']>[2]]

/** One call after the other on one key; what each gives, or only how it ends. */
export async function each(client: TpmClient, calls: readonly Call[], show: typeof outcome | typeof code) {
  const found: unknown[] = []
  for (const [row, request, options] of calls) found.push(await show(client.call(row, request, options)))
  return found
}

/** The code of raw parameters, which no client would marshal. */
export async function raw(
  client: TpmClient,
  row: AnyCommand,
  handles: object,
  parameters: Uint8Array,
): Promise<unknown> {
  const bytes = {
    name: 'raw',
    read: () => 0,
    write: (w: { bytes(v: Uint8Array): void }) => {
      w.bytes(parameters)
    },
  }
  const changed = { ...row, parameters: [{ name: 'raw', value: bytes }], response: [] }
  const sessions = row.handles.filter(({ value }) => value.auth !== undefined).map(() => PW)
  return code(client.call(changed, handles, { sessions }))
}

export const rsassa = { scheme: TPM_ALG.RSASSA, hashAlg: SHA256 } as const
export const rsapss = { scheme: TPM_ALG.RSAPSS, hashAlg: SHA256 } as const
export const ecdsa = { scheme: TPM_ALG.ECDSA, hashAlg: SHA256 } as const
export const hmacScheme = { scheme: TPM_ALG.HMAC, hashAlg: SHA256 } as const

export const MAGIC = Uint8Array.of(0xff, 0x54, 0x43, 0x47)
