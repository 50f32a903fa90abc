// Scenes: for each command of the device a TPM in a state in which the command succeeds, and the bytes of that command.
// Time and random numbers are fixed, so a scene is the same each time, but for the nonces of the client's sessions.

import {
  fixedEntropy,
  type Limits,
  MemoryTpmStore,
  Tpm,
  type TpmOptions,
} from '../../../../../../emulator/platform/tpm/index.ts'
import {
  type AnyCommand,
  type AuthSession,
  type Command,
  passwordSession,
  type SessionUse,
  startPolicySession,
  TPM2_CreatePrimary,
  TPM2_NV_DefineSpace,
  TPM2_PolicyGetDigest,
  TPM2_Startup,
  TPM_ALG,
  TPM_ECC,
  TPM_RH,
  TPM_SU,
  TPMA_NV,
  TPMA_OBJECT,
  TpmClient,
  type TPMT_ECC_SCHEME,
  type TPMT_PUBLIC,
} from '../../../../../../sdk/tpm2/index.ts'

export const NONE = new Uint8Array(0)
export const PW = passwordSession()
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
/** An ordinary index of the owner. */
export const NV_INDEX = 0x01800001
/** Two banks are enough to tell them apart, and make states small. */
const BANKS = [TPM_ALG.SHA1, TPM_ALG.SHA256]
const NOW = 1_000_000n

/** Everything that a TPM remembers, as saveState() gives it. */
export interface SavedStates {
  readonly permanent: Uint8Array
  readonly volatile: Uint8Array
}

/** A command as it went to the TPM, the TPM's state before it, and what the TPM said. */
export interface Sent {
  readonly bytes: Uint8Array
  readonly locality: number
  readonly before: SavedStates
  readonly response: Uint8Array
}

/** A TPM with a client that keeps the last command of each kind. */
export class Rig {
  readonly store = new MemoryTpmStore()
  readonly tpm: Tpm
  readonly client: TpmClient
  readonly sent = new Map<number, Sent>()
  /** of the commands that follow */
  locality = 0

  constructor(limits?: Limits, options: TpmOptions = {}) {
    this.tpm = new Tpm({
      store: this.store,
      seed: utf8('hostile'),
      entropy: fixedEntropy('hostile'),
      now: () => NOW,
      banks: BANKS,
      ...(limits === undefined ? {} : { limits }),
      ...options,
    })
    this.tpm.powerOn()
    this.client = new TpmClient({ send: (bytes) => this.#send(bytes) })
  }

  startup(): Promise<object> {
    return this.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
  }

  /** One command, with passwords of no bytes where it needs authorization, or with the sessions given. */
  call<Q extends object, S extends object>(
    row: Command<Q, S>,
    request: NoInfer<Q>,
    sessions: readonly SessionUse[] = row.handles
      .filter(({ value }) => value.auth !== undefined)
      .map(() => PW),
  ): Promise<S> {
    return this.client.call(row, request, { sessions })
  }

  states(): SavedStates {
    return { permanent: this.tpm.saveState('permanent'), volatile: this.tpm.saveState('volatile') }
  }

  /** Brings the TPM back to what it was. */
  restore({ permanent, volatile }: SavedStates): void {
    this.tpm.powerOff()
    this.tpm.loadState('permanent', permanent)
    this.tpm.loadState('volatile', volatile)
    this.tpm.powerOn()
  }

  #send(bytes: Uint8Array): Uint8Array {
    const before = this.states()
    const response = this.tpm.execute(bytes, this.locality)
    const code = new DataView(bytes.buffer, bytes.byteOffset).getUint32(6)
    this.sent.set(code, { bytes: bytes.slice(), locality: this.locality, before, response })
    return response
  }
}

/** A command and how to come to it. */
export interface Scene {
  readonly title: string
  readonly row: AnyCommand
  /** Leads up to the command and sends it; the last one sent with the row's code is what the scene shows. */
  readonly play: (rig: Rig) => Promise<unknown>
  /** variants of the command take milliseconds, so that fewer are tried */
  readonly dear: boolean
  /** the TPM is on, without TPM2_Startup */
  readonly off: boolean
}

/** A scene after TPM2_Startup. */
export function scene(
  row: AnyCommand,
  about: string,
  play: Scene['play'],
  flags: { readonly dear?: true; readonly off?: true } = {},
): Scene {
  const title = about === '' ? row.name : `${row.name} ${about}`
  return { title, row, play, dear: flags.dear === true, off: flags.off === true }
}

/** Plays a scene and returns its TPM and its command. */
export async function stage({ row, play, off }: Scene, limits?: Limits): Promise<{ rig: Rig; sent: Sent }> {
  const rig = new Rig(limits)
  if (!off) await rig.startup()
  await play(rig)
  const sent = rig.sent.get(row.code)
  if (sent === undefined) throw new Error(`expected the scene to send ${row.name}, found that it did not`)
  return { rig, sent }
}

const FIXED = TPMA_OBJECT.fixedTPM | TPMA_OBJECT.fixedParent | TPMA_OBJECT.sensitiveDataOrigin
const COMMON = { nameAlg: TPM_ALG.SHA256, authPolicy: NONE } as const
const KDF = { scheme: TPM_ALG.NULL } as const
const NO_SYMMETRIC = { algorithm: TPM_ALG.NULL } as const

/** Attributes of an object that is fixed to its TPM and exempt from dictionary attack protection. */
export const PLAIN = FIXED | TPMA_OBJECT.userWithAuth | TPMA_OBJECT.noDA

/** A P-256 storage key. */
export const STORAGE: TPMT_PUBLIC = {
  type: TPM_ALG.ECC,
  ...COMMON,
  objectAttributes: PLAIN | TPMA_OBJECT.restricted | TPMA_OBJECT.decrypt,
  parameters: {
    symmetric: { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB },
    scheme: { scheme: TPM_ALG.NULL },
    curveID: TPM_ECC.NIST_P256,
    kdf: KDF,
  },
  unique: { x: NONE, y: NONE },
}

/** A P-256 key without a symmetric algorithm. */
export function eccKey(
  use: number,
  scheme: TPMT_ECC_SCHEME = { scheme: TPM_ALG.NULL },
  base: number = PLAIN,
): TPMT_PUBLIC {
  return {
    type: TPM_ALG.ECC,
    ...COMMON,
    objectAttributes: base | use,
    parameters: { symmetric: NO_SYMMETRIC, scheme, curveID: TPM_ECC.NIST_P256, kdf: KDF },
    unique: { x: NONE, y: NONE },
  }
}

/** An unrestricted ECDSA key. */
export const SIGNING = eccKey(TPMA_OBJECT.sign, { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA256 })

/** Sealed data; `attributes` and `authPolicy` say who may have it. */
export function sealed(
  attributes: number = TPMA_OBJECT.userWithAuth | TPMA_OBJECT.noDA,
  authPolicy: Uint8Array = NONE,
): TPMT_PUBLIC {
  return {
    type: TPM_ALG.KEYEDHASH,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: attributes,
    authPolicy,
    parameters: { scheme: { scheme: TPM_ALG.NULL } },
    unique: NONE,
  }
}

/** A primary key of a hierarchy. */
export function primary(
  rig: Rig,
  inPublic: TPMT_PUBLIC = STORAGE,
  primaryHandle: number = TPM_RH.OWNER,
  userAuth: Uint8Array = NONE,
) {
  const inSensitive = { userAuth, data: NONE }
  return rig.call(TPM2_CreatePrimary, {
    primaryHandle,
    inSensitive,
    inPublic,
    outsideInfo: NONE,
    creationPCR: [],
  })
}

/** Attributes of an NV index that its owner, the index itself, and nobody else uses. */
export const OWNER_NV =
  TPMA_NV.OWNERREAD | TPMA_NV.OWNERWRITE | TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA

/** Bits of a TPM_NT in TPMA_NV. */
export const nvTypeBits = (type: number): number => type << 4

export interface NvOptions {
  readonly nvIndex?: number
  readonly attributes?: number
  readonly dataSize?: number
  readonly authPolicy?: Uint8Array
  readonly auth?: Uint8Array
  readonly authHandle?: number
}

/** Defines an NV index of 8 bytes, or another one. */
export async function defineNv(rig: Rig, options: NvOptions = {}): Promise<number> {
  const { nvIndex = NV_INDEX, attributes = OWNER_NV, dataSize = 8, authPolicy = NONE, auth = NONE } = options
  const publicInfo = { nvIndex, nameAlg: TPM_ALG.SHA256, attributes, authPolicy, dataSize }
  await rig.call(TPM2_NV_DefineSpace, { authHandle: options.authHandle ?? TPM_RH.OWNER, auth, publicInfo })
  return nvIndex
}

/** Starts a policy session and lets `assertions` go through it. */
export async function policy(
  rig: Rig,
  assertions: (policySession: number) => Promise<unknown> = () => Promise.resolve(),
): Promise<AuthSession> {
  const session = await startPolicySession(rig.client)
  await assertions(session.handle)
  return session
}

/** The digest of a policy. */
export async function policyDigest(
  rig: Rig,
  assertions: (policySession: number) => Promise<unknown>,
): Promise<Uint8Array> {
  const trial = await startPolicySession(rig.client, { trial: true })
  await assertions(trial.handle)
  return (await rig.call(TPM2_PolicyGetDigest, { policySession: trial.handle })).policyDigest
}
