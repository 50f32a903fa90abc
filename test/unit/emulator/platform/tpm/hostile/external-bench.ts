// A TPM, and parameters by chance, for commands on objects from outside.

import {
  type AnyCommand,
  type AuthSession,
  type Command,
  digestSize,
  marshal,
  passwordSession,
  type SessionUse,
  startPolicyDirectly,
  TPM2_Create,
  TPM2_EC_Ephemeral,
  TPM2_Load,
  TPM2_PolicyCommandCode,
  TPM2_PolicyGetDigest,
  TPM2_PolicyRestart,
  TPM2_StartAuthSession,
  TPM_ALG,
  TPM_CC,
  TPM_ECC,
  TPM_RH,
  TPM_SE,
  TPMA_OBJECT,
  type TPMS_ECC_POINT,
  TPMS_ECC_POINT as POINT,
  type TPMT_PUBLIC,
  type TPMT_RSA_DECRYPT,
  type TPMT_SIG_SCHEME_PLUS,
  type TPMT_SIGNATURE,
} from '../../../../../../sdk/tpm2/index.ts'
import { NONE, Powered, utf8 } from '../powered.ts'
import { type Chance } from './external-areas.ts'

const PASSWORD = passwordSession()
const NO_SCHEME = { scheme: TPM_ALG.NULL } as const
export const NO_SYMMETRIC = { algorithm: TPM_ALG.NULL } as const
export const AES = { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB } as const
export const SENSITIVE = { userAuth: NONE, data: utf8('sealed') } as const
/** Template of sealed data. */
export const DATA: TPMT_PUBLIC = {
  type: TPM_ALG.KEYEDHASH,
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: TPMA_OBJECT.userWithAuth,
  authPolicy: NONE,
  parameters: { scheme: NO_SCHEME },
  unique: NONE,
}

/** A TPM with what the commands need besides the object from outside. */
export class Bench {
  readonly powered = Powered.started()
  /** a storage key of this TPM */
  readonly parent: number
  /** data under it that may be duplicated */
  readonly movable: number
  /** the same data, not loaded */
  readonly wrapped: Uint8Array
  readonly wrappedPublic: TPMT_PUBLIC
  readonly #policy: AuthSession

  constructor() {
    const { powered } = this
    powered.defineNv()
    powered.writeNv(utf8('contents'))
    this.parent = powered.primary().objectHandle
    this.#policy = startPolicyDirectly((command) => powered.tpm.execute(command))
    const inPublic = { ...DATA, authPolicy: this.#duplicationPolicy() }
    const request = { parentHandle: this.parent, inSensitive: SENSITIVE, inPublic, ...CREATION }
    const { outPrivate, outPublic } = powered.call(TPM2_Create, request, [PASSWORD])
    this.wrapped = outPrivate
    this.wrappedPublic = outPublic
    const load = { parentHandle: this.parent, inPrivate: outPrivate, inPublic: outPublic }
    this.movable = powered.call(TPM2_Load, load, [PASSWORD]).objectHandle
  }

  /** The policy session that lets `movable` be duplicated. */
  duplication(): SessionUse {
    this.#duplicationPolicy()
    return this.#policy.use()
  }

  /** A policy session without assertions. */
  policySession(): number {
    this.powered.call(TPM2_PolicyRestart, { sessionHandle: this.#policy.handle })
    return this.#policy.handle
  }

  hmacSession(): number {
    return this.powered.call(TPM2_StartAuthSession, { ...SESSION, tpmKey: TPM_RH.NULL, bind: TPM_RH.NULL })
      .sessionHandle
  }

  ephemeral(curveID: number): { readonly point: TPMS_ECC_POINT; readonly counter: number } {
    const { Q, counter } = this.powered.call(TPM2_EC_Ephemeral, { curveID })
    return { point: Q, counter }
  }

  #duplicationPolicy(): Uint8Array {
    const policySession = this.policySession()
    this.powered.call(TPM2_PolicyCommandCode, { policySession, code: TPM_CC.Duplicate })
    return this.powered.call(TPM2_PolicyGetDigest, { policySession }).policyDigest
  }
}

/** A creation command's last parameters. */
export const CREATION = { outsideInfo: NONE, creationPCR: [] }
/** An HMAC session without salt. */
export const SESSION = {
  nonceCaller: new Uint8Array(16),
  encryptedSalt: NONE,
  sessionType: TPM_SE.HMAC,
  symmetric: NO_SYMMETRIC,
  authHash: TPM_ALG.SHA256,
}

/** Where a command is sent: the object from outside, and choices for the parameters. */
export interface Target {
  readonly bench: Bench
  readonly handle: number
  readonly chance: Chance
}

/** One use of a command on an object. */
export interface Use {
  readonly row: AnyCommand
  /** Throws TpmResponseError when the TPM refuses. */
  run(target: Target): void
}

type Sessions = readonly SessionUse[] | ((target: Target) => readonly SessionUse[])

/** A command with its request, and sessions for the handles that need authorization. */
export function use<Q extends object, S extends object>(
  row: Command<Q, S>,
  request: (target: Target) => NoInfer<Q>,
  sessions: Sessions = [],
): Use {
  return {
    row,
    run: (target) => {
      const made = typeof sessions === 'function' ? sessions(target) : sessions
      target.bench.powered.call(row, request(target), made)
    },
  }
}

/** Empty authValues for one handle, for two. */
export const ONE = [PASSWORD] as const
export const TWO = [PASSWORD, PASSWORD] as const

/** A hash; mostly one that fits. */
export const hashAlgOf = (chance: Chance): number =>
  chance.of(TPM_ALG.SHA256, TPM_ALG.SHA256, TPM_ALG.SHA256, TPM_ALG.SHA1, TPM_ALG.SHA384, TPM_ALG.SHA512)

export function signing(chance: Chance): TPMT_SIG_SCHEME_PLUS {
  const hashAlg = hashAlgOf(chance)
  return chance.of<TPMT_SIG_SCHEME_PLUS>(
    NO_SCHEME,
    { scheme: TPM_ALG.RSASSA, hashAlg },
    { scheme: TPM_ALG.RSAPSS, hashAlg },
    { scheme: TPM_ALG.ECDSA, hashAlg },
    { scheme: TPM_ALG.ECSCHNORR, hashAlg },
    { scheme: TPM_ALG.ECDAA, hashAlg, count: chance.of(0, 1) },
    { scheme: TPM_ALG.HMAC, hashAlg },
  )
}

export function signature(chance: Chance): TPMT_SIGNATURE {
  const hash = hashAlgOf(chance)
  const sig = chance.bytes(chance.of(0, 20, 128, 256, 384))
  const [signatureR, signatureS] = [scalar(chance), scalar(chance)]
  return chance.of<TPMT_SIGNATURE>(
    { sigAlg: TPM_ALG.RSASSA, hash, sig },
    { sigAlg: TPM_ALG.RSAPSS, hash, sig },
    { sigAlg: TPM_ALG.ECDSA, hash, signatureR, signatureS },
    { sigAlg: TPM_ALG.ECSCHNORR, hash, signatureR, signatureS },
    { sigAlg: TPM_ALG.ECDAA, hash, signatureR, signatureS },
    { sigAlg: TPM_ALG.HMAC, hashAlg: hash, digest: chance.bytes(digestSize(hash)) },
  )
}

/** A coordinate or part of a signature: mostly one that no curve has. */
export const scalar = (chance: Chance): Uint8Array =>
  chance.of(NONE, new Uint8Array(32), new Uint8Array(66).fill(0xff), chance.bytes(chance.of(32, 48, 66)))

export function encryption(chance: Chance): TPMT_RSA_DECRYPT {
  const hashAlg = hashAlgOf(chance)
  return chance.of<TPMT_RSA_DECRYPT>(NO_SCHEME, { scheme: TPM_ALG.RSAES }, { scheme: TPM_ALG.OAEP, hashAlg })
}

export const CURVES = [TPM_ECC.NIST_P256, TPM_ECC.NIST_P256, TPM_ECC.NIST_P384, TPM_ECC.NIST_P521] as const

/** A point: on a curve, or on none. */
export function pointOf({ bench, chance }: Target): TPMS_ECC_POINT {
  const { point } = bench.ephemeral(chance.of(...CURVES))
  return chance.of(
    point,
    point,
    point,
    { x: NONE, y: NONE },
    { x: point.x, y: point.x },
    { x: scalar(chance), y: scalar(chance) },
  )
}

/** A secret for the key: nothing, numbers for RSA, a point. */
export function secretOf(target: Target): Uint8Array {
  const { chance } = target
  return chance.of(NONE, chance.bytes(128), chance.bytes(256), marshal(POINT, pointOf(target)))
}

/** What attestation commands have in common. */
export const attestation = ({ chance }: Target) => ({ qualifyingData: utf8('q'), inScheme: signing(chance) })
const mode = (chance: Chance): number => chance.of(TPM_ALG.NULL, TPM_ALG.CFB, TPM_ALG.ECB, TPM_ALG.CTR)
export const cipher = ({ chance }: Target) => ({
  inData: chance.bytes(chance.of(0, 5, 16)),
  decrypt: chance.of(true, false),
  mode: mode(chance),
  ivIn: chance.bytes(chance.of(0, 16)),
})
export const message = (chance: Chance): Uint8Array => chance.bytes(chance.of(0, 1, 100, 128, 256))
export const label = (chance: Chance): Uint8Array => chance.of(NONE, utf8('label\0'))
