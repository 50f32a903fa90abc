// One command's authorization area, made and later checked against the response's: HMACs over cpHash and rpHash with
// rolling nonces, and the encryption of first parameters.
// Source: TPM 2.0 Library, Part 1, clauses 16.7 (cpHash), 16.8 (rpHash), 19.6 (HMACs) and 21 (encryption), r1.59.

import { randomBytes } from 'node:crypto'
import { equalBytes } from '../crypto/index.ts'
import { type SessionUse } from './auth-session.ts'
import { marshal, type Reader, UINT32, Writer } from './codec.ts'
import { type AnyCommand, authHandles, decryptable, encryptable } from './command.ts'
import { TPM_RC } from './response-codes.ts'
import { TPM_RS_PW, TPMA_SESSION } from './constants.ts'
import { Tpm2Error } from './errors.ts'
import { digestSize, hash, hmac } from './hash.ts'
import { TPMS_AUTH_COMMAND, TPMS_AUTH_RESPONSE } from './session.ts'

const NONE = new Uint8Array(0)

/** A use in its place: with the name of the entity that it authorizes, and this command's nonce. */
interface Entry {
  readonly use: SessionUse
  /** undefined: it authorizes nothing, it encrypts or audits */
  readonly entityName: Uint8Array | undefined
  readonly nonceCaller: Uint8Array
  readonly nonceTPM: Uint8Array
}

/** The sessions of one command. */
export class AuthorizationArea {
  readonly #row: AnyCommand
  readonly #names: readonly Uint8Array[]
  readonly #entries: readonly Entry[]
  #sealed: Uint8Array = NONE

  /** `names` are those of all handles of the handle area, in order; needed only when a session is no password. */
  constructor(row: AnyCommand, names: readonly Uint8Array[], uses: readonly SessionUse[]) {
    this.#row = row
    this.#names = names
    const authorized = authHandles(row)
    this.#entries = uses.map((use, index) => ({
      use,
      entityName: index < authorized ? names[index] : undefined,
      nonceCaller: use.session ? new Uint8Array(randomBytes(digestSize(use.session.authHash))) : NONE,
      nonceTPM: use.session?.nonceTPM ?? NONE,
    }))
  }

  /** The area's bytes without their size, and the parameters, the first encrypted where a session asks for it. */
  seal(parameters: Uint8Array): { readonly area: Uint8Array; readonly parameters: Uint8Array } {
    const decrypting = this.#with(TPMA_SESSION.decrypt)
    this.#sealed = parameters
    if (decrypting?.use.session !== undefined && decryptable(this.#row)) {
      const { use, nonceCaller, nonceTPM } = decrypting
      const nonces = { newer: nonceCaller, older: nonceTPM }
      const { session } = decrypting.use
      const auth = decrypting.entityName === undefined ? NONE : use.auth
      this.#sealed = replaceFirst(parameters, (data) => session.crypt('encrypt', data, auth, nonces))
    }
    const area = new Writer()
    for (const [index, entry] of this.#entries.entries()) {
      TPMS_AUTH_COMMAND.write(area, {
        sessionHandle: entry.use.session?.handle ?? TPM_RS_PW,
        nonce: entry.nonceCaller,
        sessionAttributes: entry.use.attributes,
        hmac: this.#commandProof(entry, index),
      })
    }
    return { area: area.finish(), parameters: this.#sealed }
  }

  /**
   * Checks the area of a successful response and returns its parameters decrypted. Sessions roll only when all of it
   * is good. Throws Tpm2Error BAD_HMAC or MALFORMED.
   */
  open(reader: Reader, parameters: Uint8Array): Uint8Array {
    const answers = this.#entries.map((entry) => ({ entry, answer: TPMS_AUTH_RESPONSE.read(reader) }))
    reader.end()
    for (const { entry, answer } of answers) this.#check(entry, answer, parameters)
    let plain = parameters
    for (const { entry, answer } of answers) {
      const { session } = entry.use
      if (session === undefined) continue
      if ((entry.use.attributes & TPMA_SESSION.encrypt) !== 0 && encryptable(this.#row)) {
        const nonces = { newer: answer.nonce, older: entry.nonceCaller }
        const auth = entry.entityName === undefined ? NONE : entry.use.authAfter
        plain = replaceFirst(parameters, (data) => session.crypt('decrypt', data, auth, nonces))
      }
      session.roll(answer.nonce)
      if ((entry.use.attributes & TPMA_SESSION.audit) !== 0) {
        const reset = (entry.use.attributes & TPMA_SESSION.auditReset) !== 0
        session.audit(reset, this.#cpHash(session.authHash), this.#rpHash(session.authHash, parameters))
      }
    }
    return plain
  }

  #commandProof(entry: Entry, index: number): Uint8Array {
    const { session, proof, auth, attributes } = entry.use
    if (session === undefined || proof === 'password') return auth
    const key = session.hmacKey(entry.entityName, authInKey(entry, auth))
    if (session.kind === 'policy' && key.length === 0) return NONE
    return hmac(
      session.authHash,
      key,
      this.#cpHash(session.authHash),
      entry.nonceCaller,
      entry.nonceTPM,
      ...(index === 0 && entry.entityName !== undefined ? this.#otherNonces(entry) : []),
      Uint8Array.of(attributes),
    )
  }

  /** The first session's HMAC also covers the nonces of sessions that only encrypt, so that none can be taken away. */
  #otherNonces(first: Entry): Uint8Array[] {
    const others = new Set([this.#with(TPMA_SESSION.decrypt), this.#with(TPMA_SESSION.encrypt)])
    return [...others]
      .filter((entry) => entry !== undefined && entry !== first)
      .map((entry) => entry?.nonceTPM ?? NONE)
  }

  #check(entry: Entry, answer: TPMS_AUTH_RESPONSE, parameters: Uint8Array): void {
    const { session, proof, authAfter } = entry.use
    let expected: Uint8Array = NONE
    if (session !== undefined && proof !== 'password') {
      const key = session.hmacKey(entry.entityName, authInKey(entry, authAfter))
      if (session.kind === 'hmac' || key.length > 0) {
        const attributes = Uint8Array.of(answer.sessionAttributes)
        const rpHash = this.#rpHash(session.authHash, parameters)
        expected = hmac(session.authHash, key, rpHash, answer.nonce, entry.nonceCaller, attributes)
      }
    }
    if (!equalBytes(answer.hmac, expected)) {
      throw new Tpm2Error(
        'BAD_HMAC',
        `${this.#row.name}: expected a response made with the session's key, found another; nothing of it can be trusted`,
      )
    }
  }

  #with(attribute: number): Entry | undefined {
    return this.#entries.find(({ use }) => (use.attributes & attribute) !== 0)
  }

  #cpHash(hashAlg: number): Uint8Array {
    return hash(hashAlg, marshal(UINT32, this.#row.code), ...this.#names, this.#sealed)
  }

  #rpHash(hashAlg: number, parameters: Uint8Array): Uint8Array {
    return hash(hashAlg, marshal(UINT32, TPM_RC.SUCCESS), marshal(UINT32, this.#row.code), parameters)
  }
}

/** The part of an HMAC's key that is the entity's: nothing where the session authorizes nothing or by policy alone. */
function authInKey(entry: Entry, auth: Uint8Array): Uint8Array {
  return entry.entityName === undefined || entry.use.proof === 'policy' ? NONE : auth
}

/** Parameters with the contents of the first one, a TPM2B, replaced by as many other bytes. */
function replaceFirst(parameters: Uint8Array, change: (data: Uint8Array) => Uint8Array): Uint8Array {
  const out = parameters.slice()
  const size = new DataView(out.buffer).getUint16(0)
  out.set(change(out.subarray(2, 2 + size)), 2)
  return out
}
