// A TPM in this process with a client, and keys of every kind in it whose secrets the tests know, so that what the TPM
// computes can be computed again by others.

import { type KeyObject } from 'node:crypto'
import { Tpm, type TpmOptions } from '../../../../../../emulator/platform/tpm/tpm.ts'
import {
  hash,
  passwordSession,
  TPM2_CreatePrimary,
  TPM2_FlushContext,
  TPM2_LoadExternal,
  TPM2_Startup,
  TPM_ALG,
  TPM_ECC,
  TPM_RH,
  TPM_SU,
  TPMA_OBJECT,
  TpmClient,
  TpmResponseError,
  type TPMS_ECC_POINT,
  type TPMT_ECC_SCHEME,
  type TPMT_KEYEDHASH_SCHEME,
  type TPMT_PUBLIC,
  type TPMT_RSA_SCHEME,
  type TPMT_SENSITIVE,
} from '../../../../../../sdk/tpm2/index.ts'

export const NONE = new Uint8Array(0)
export const PW = passwordSession()
export const SIGN = TPMA_OBJECT.userWithAuth | TPMA_OBJECT.sign
export const DECRYPT = TPMA_OBJECT.userWithAuth | TPMA_OBJECT.decrypt
export const FIXED = TPMA_OBJECT.fixedTPM | TPMA_OBJECT.fixedParent | TPMA_OBJECT.sensitiveDataOrigin
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

/** A TPM after TPM2_Startup(CLEAR). */
export async function rig(options: TpmOptions = {}): Promise<{ tpm: Tpm; client: TpmClient }> {
  const tpm = new Tpm({ seed: new Uint8Array(32).fill(7), ...options })
  tpm.powerOn()
  const client = new TpmClient({ send: (command) => tpm.execute(command) })
  await client.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
  return { tpm, client }
}

/** The response code of a refusal; an error when the command succeeds. */
export async function refusal(call: Promise<unknown>): Promise<number> {
  try {
    await call
  } catch (error) {
    if (error instanceof TpmResponseError) return error.rc
    throw error
  }
  throw new Error('expected the TPM to refuse, found that it did not')
}

/** `rc` at a parameter, as a response carries it. */
export const atParameter = (rc: number, number: number): number => rc + 0x40 + number * 0x100
/** `rc` at a handle, as a response carries it. */
export const atHandle = (rc: number, number: number): number => rc + number * 0x100

export interface Loaded {
  readonly handle: number
  readonly name: Uint8Array
}

async function external(
  client: TpmClient,
  inPublic: TPMT_PUBLIC,
  secret?: Uint8Array,
  seed = NONE,
): Promise<Loaded> {
  const inPrivate: TPMT_SENSITIVE | undefined = secret && {
    sensitiveType: inPublic.type,
    authValue: NONE,
    seedValue: seed,
    sensitive: secret,
  }
  const request = { inPrivate, inPublic, hierarchy: TPM_RH.NULL }
  const { objectHandle, name } = await client.call(TPM2_LoadExternal, request)
  return { handle: objectHandle, name }
}

export async function flush(client: TpmClient, ...handles: readonly number[]): Promise<void> {
  for (const flushHandle of handles) await client.call(TPM2_FlushContext, { flushHandle })
}

const head = { nameAlg: TPM_ALG.SHA256, authPolicy: NONE } as const

/** Loads an RSA key, with or without its private part. */
export async function loadRsa(
  client: TpmClient,
  key: KeyObject,
  objectAttributes: number,
  scheme: TPMT_RSA_SCHEME = { scheme: TPM_ALG.NULL },
  part: 'private' | 'public' = 'private',
): Promise<Loaded> {
  const { n, p } = key.export({ format: 'jwk' })
  const unique = bytesOf(n)
  const symmetric = { algorithm: TPM_ALG.NULL }
  const parameters = { symmetric, scheme, keyBits: 8 * unique.length, exponent: 0 }
  const area: TPMT_PUBLIC = { type: TPM_ALG.RSA, ...head, objectAttributes, parameters, unique }
  return external(client, area, part === 'private' ? bytesOf(p) : undefined)
}

/** Loads an elliptic curve key. */
export async function loadEcc(
  client: TpmClient,
  key: KeyObject,
  objectAttributes: number,
  scheme: TPMT_ECC_SCHEME = { scheme: TPM_ALG.NULL },
  part: 'private' | 'public' = 'private',
): Promise<Loaded> {
  const { d } = key.export({ format: 'jwk' })
  const kdf = { scheme: TPM_ALG.NULL }
  const parameters = { symmetric: { algorithm: TPM_ALG.NULL }, scheme, curveID: curveOf(key), kdf }
  const area: TPMT_PUBLIC = { type: TPM_ALG.ECC, ...head, objectAttributes, parameters, unique: pointOf(key) }
  return external(client, area, part === 'private' ? bytesOf(d) : undefined)
}

const SEED = new Uint8Array(32).fill(9)

/** Loads a keyed-hash object. */
export async function loadKeyedHash(
  client: TpmClient,
  secret: Uint8Array,
  objectAttributes: number,
  scheme: TPMT_KEYEDHASH_SCHEME = { scheme: TPM_ALG.HMAC, hashAlg: TPM_ALG.SHA256 },
  part: 'private' | 'public' = 'private',
): Promise<Loaded> {
  const unique = hash(TPM_ALG.SHA256, SEED, secret)
  const area: TPMT_PUBLIC = {
    type: TPM_ALG.KEYEDHASH,
    ...head,
    objectAttributes,
    parameters: { scheme },
    unique,
  }
  return external(client, area, part === 'private' ? secret : undefined, SEED)
}

/** Loads an AES key. */
export async function loadAes(
  client: TpmClient,
  secret: Uint8Array,
  objectAttributes: number,
  mode: number,
): Promise<Loaded> {
  const unique = hash(TPM_ALG.SHA256, SEED, secret)
  const parameters = { sym: { algorithm: TPM_ALG.AES, keyBits: 8 * secret.length, mode } }
  const area: TPMT_PUBLIC = { type: TPM_ALG.SYMCIPHER, ...head, objectAttributes, parameters, unique }
  return external(client, area, secret, SEED)
}

/** A restricted P-256 signing key that the TPM made in a hierarchy. */
export async function primaryAk(
  client: TpmClient,
  primaryHandle: number,
  scheme: TPMT_ECC_SCHEME = { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA256 },
  attributes = FIXED | SIGN | TPMA_OBJECT.restricted,
) {
  const kdf = { scheme: TPM_ALG.NULL }
  const symmetric = { algorithm: TPM_ALG.NULL }
  const parameters = { symmetric, scheme, curveID: TPM_ECC.NIST_P256, kdf }
  const unique = { x: NONE, y: NONE }
  return client.call(
    TPM2_CreatePrimary,
    {
      primaryHandle,
      inSensitive: { userAuth: NONE, data: NONE },
      inPublic: { type: TPM_ALG.ECC, ...head, objectAttributes: attributes, parameters, unique },
      outsideInfo: NONE,
      creationPCR: [],
    },
    { sessions: [PW] },
  )
}

function bytesOf(text: string | undefined): Uint8Array {
  return new Uint8Array(Buffer.from(text ?? '', 'base64url'))
}

const CURVES: Readonly<Record<string, number>> = {
  'P-256': TPM_ECC.NIST_P256,
  'P-384': TPM_ECC.NIST_P384,
  'P-521': TPM_ECC.NIST_P521,
}

/** TPM_ECC of a key's curve. */
function curveOf(key: KeyObject): number {
  return CURVES[key.export({ format: 'jwk' }).crv ?? ''] ?? 0
}

/** The public point of a key. */
export function pointOf(key: KeyObject): TPMS_ECC_POINT {
  const { x, y } = key.export({ format: 'jwk' })
  return { x: bytesOf(x), y: bytesOf(y) }
}

/** The private scalar of a key. */
export function scalarOf(key: KeyObject): bigint {
  return BigInt(`0x${Buffer.from(bytesOf(key.export({ format: 'jwk' }).d)).toString('hex')}`)
}

/** A point as node:crypto's raw form, with the prefix 4. */
export function uncompressed({ x, y }: TPMS_ECC_POINT): Uint8Array {
  return Uint8Array.from([4, ...x, ...y])
}
