// A caller's side of sessions: what it keeps of one, and how a command uses it. The area of a command in which they
// stand is made in authorization-area.ts.
// Source: TPM 2.0 Library, Part 1, clauses 19 (authorizations) and 21 (session-based encryption), revision 1.59.

import { createCipheriv, createDecipheriv } from 'node:crypto'
import { concatBytes, equalBytes } from '../crypto/index.ts'
import { TPM_ALG, TPMA_SESSION } from './constants.ts'
import { Tpm2Error } from './errors.ts'
import { digestSize, hash } from './hash.ts'
import { kdfa } from './kdf.ts'
import { type TPMT_SYM_DEF } from './schemes.ts'

const NONE = new Uint8Array(0)
const BLOCK_BITS = 128

/** A session as one command uses it. */
export interface SessionUse {
  /** undefined: a password */
  readonly session: AuthSession | undefined
  /** bits of TPMA_SESSION */
  readonly attributes: number
  /** authValue of the entity that is authorized, without trailing zeros */
  readonly auth: Uint8Array
  /** its authValue after the command */
  readonly authAfter: Uint8Array
  readonly proof: Proof
}

/**
 * How the authValue takes part: 'hmac' in the key of the HMAC, 'password' in plain sight, 'policy' not at all.
 * A policy session with TPM2_PolicyAuthValue needs 'hmac', with TPM2_PolicyPassword 'password'.
 */
export type Proof = 'hmac' | 'policy' | 'password'

/** How a command uses a session. */
export interface UseOptions {
  /** authValue of the entity whose place in the handle area is this session's place in the authorization area */
  readonly auth?: Uint8Array
  /** its authValue after the command, when the command changes it: the response is already made with it */
  readonly authAfter?: Uint8Array
  /** of a policy session: default 'policy' */
  readonly proof?: Proof
  /** encrypts the command's first parameter */
  readonly decrypt?: boolean
  /** has the response's first parameter encrypted */
  readonly encrypt?: boolean
  /** counts the command into the session's audit digest */
  readonly audit?: boolean
  /** with audit: refuse the command when another one was audited or unaudited in between */
  readonly auditExclusive?: boolean
  /** with audit: start the digest anew */
  readonly auditReset?: boolean
  /** false: the session ends with this command */
  readonly continueSession?: boolean
}

/** Authorization by password: the authValue in plain sight. */
export function passwordSession(auth: Uint8Array = NONE): SessionUse {
  const attributes = TPMA_SESSION.continueSession
  return { session: undefined, attributes, auth, authAfter: auth, proof: 'password' }
}

/** authValue as it goes into keys: trailing zeros do not count (Part 1, 19.6.4.3). */
export function trimAuth(auth: Uint8Array): Uint8Array {
  let end = auth.length
  while (end > 0 && auth[end - 1] === 0) end -= 1
  return auth.subarray(0, end)
}

/** What a session starts with. */
export interface SessionState {
  readonly handle: number
  readonly kind: 'hmac' | 'policy'
  /** TPM_ALG */
  readonly authHash: number
  readonly symmetric: TPMT_SYM_DEF
  readonly sessionKey: Uint8Array
  /** name and authValue of the entity that an HMAC session is bound to */
  readonly bound?: { readonly name: Uint8Array; readonly auth: Uint8Array }
  readonly nonceTPM: Uint8Array
}

/** A started session; its nonces roll with every command that uses it. Ended by TPM2_FlushContext of its handle. */
export class AuthSession {
  readonly #state: SessionState
  #nonceTPM: Uint8Array
  #auditDigest: Uint8Array | undefined

  constructor(state: SessionState) {
    this.#state = state
    this.#nonceTPM = state.nonceTPM
  }

  get handle(): number {
    return this.#state.handle
  }

  get kind(): 'hmac' | 'policy' {
    return this.#state.kind
  }

  /** TPM_ALG */
  get authHash(): number {
    return this.#state.authHash
  }

  /** the TPM's newest nonce: what TPM2_PolicySigned has signed */
  get nonceTPM(): Uint8Array {
    return this.#nonceTPM
  }

  /** digest of the commands that were audited, as TPM2_GetSessionAuditDigest tells it; undefined before the first */
  get auditDigest(): Uint8Array | undefined {
    return this.#auditDigest
  }

  /** The session as a command uses it; for `sessions` of TpmClient.call(). */
  use(options: UseOptions = {}): SessionUse {
    const auth = trimAuth(options.auth ?? NONE)
    return {
      session: this,
      attributes: attributesOf(options),
      auth,
      authAfter: options.authAfter === undefined ? auth : trimAuth(options.authAfter),
      proof: options.proof ?? this.kind,
    }
  }

  /** Key of HMACs; with `auth` unless the session is bound to the entity with that name and authValue. */
  hmacKey(name: Uint8Array | undefined, auth: Uint8Array): Uint8Array {
    const { bound, sessionKey } = this.#state
    const isBound =
      bound !== undefined &&
      name !== undefined &&
      equalBytes(bound.name, name) &&
      equalBytes(bound.auth, auth)
    return isBound ? sessionKey : concatBytes(sessionKey, auth)
  }

  /** Takes the nonce of a response whose HMAC was good. */
  roll(nonceTPM: Uint8Array): void {
    this.#nonceTPM = nonceTPM
  }

  /** Counts a command into the audit digest (Part 1, 33). */
  audit(reset: boolean, cpHash: Uint8Array, rpHash: Uint8Array): void {
    const before = reset ? undefined : this.#auditDigest
    const digest = before ?? new Uint8Array(digestSize(this.authHash))
    this.#auditDigest = hash(this.authHash, digest, cpHash, rpHash)
  }

  /**
   * Encrypts or decrypts the contents of a first parameter. `auth` is that of the entity which the session authorizes,
   * or empty. Throws Tpm2Error UNSUPPORTED when the session has no symmetric algorithm, or another than AES-CFB and XOR.
   */
  crypt(
    direction: 'encrypt' | 'decrypt',
    data: Uint8Array,
    auth: Uint8Array,
    nonces: { readonly newer: Uint8Array; readonly older: Uint8Array },
  ): Uint8Array {
    const { authHash, sessionKey, symmetric } = this.#state
    const key = concatBytes(sessionKey, auth)
    if (symmetric.algorithm === TPM_ALG.XOR) {
      if (data.length === 0) return data
      const mask = kdfa(authHash, key, 'XOR', nonces.newer, nonces.older, data.length * 8)
      return data.map((octet, index) => octet ^ (mask[index] ?? 0))
    }
    if (symmetric.algorithm !== TPM_ALG.AES || symmetric.mode !== TPM_ALG.CFB) {
      throw new Tpm2Error(
        'UNSUPPORTED',
        'expected a session started with AES-CFB or XOR to encrypt parameters, found one without',
      )
    }
    const { keyBits } = symmetric
    const material = kdfa(authHash, key, 'CFB', nonces.newer, nonces.older, keyBits + BLOCK_BITS)
    const make = direction === 'encrypt' ? createCipheriv : createDecipheriv
    const split = keyBits / 8
    const cipher = make(`aes-${String(keyBits)}-cfb`, material.subarray(0, split), material.subarray(split))
    return new Uint8Array(cipher.update(data))
  }
}

function attributesOf(options: UseOptions): number {
  const { continueSession = true } = options
  const bits = { ...options, continueSession }
  return (['continueSession', 'auditExclusive', 'auditReset', 'decrypt', 'encrypt', 'audit'] as const)
    .filter((name) => bits[name] === true)
    .reduce((sum, name) => sum | TPMA_SESSION[name], 0)
}
