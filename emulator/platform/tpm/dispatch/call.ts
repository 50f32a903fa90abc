// One command on its way through the TPM: what was asked, by which sessions, and the hashes that sessions sign.
// Source: TPM 2.0 Library, Part 1, clauses 18.7 (cpHash) and 18.8 (rpHash), revision 1.59.

import { type AnyCommand, hash, marshal, UINT32 } from '../../../../sdk/tpm2/index.ts'
import { type AuthEntity } from '../entities/entity.ts'
import { type Session } from '../entities/session.ts'

/** One entry of the authorization area, with what it was found to stand for. */
export interface SessionUse {
  readonly number: number
  readonly handle: number
  /** undefined: TPM_RS_PW, a password */
  readonly session: Session | undefined
  readonly nonceCaller: Uint8Array
  /** TPMA_SESSION */
  readonly attributes: number
  readonly hmac: Uint8Array
  /** what it authorizes; undefined: it only audits or encrypts */
  entity: AuthEntity | undefined
  /** the entity's authValue goes into the HMAC key */
  includeAuth: boolean
}

/** A command that is being executed. */
export class Call {
  readonly row: AnyCommand
  readonly handles: readonly number[]
  readonly entities: readonly AuthEntity[]
  /** as they came in: a first parameter may be encrypted */
  readonly parameters: Uint8Array
  uses: readonly SessionUse[] = []
  readonly #cpHashes = new Map<number, Uint8Array>()

  constructor(
    row: AnyCommand,
    handles: readonly number[],
    entities: readonly AuthEntity[],
    parameters: Uint8Array,
  ) {
    this.row = row
    this.handles = handles
    this.entities = entities
    this.parameters = parameters
  }

  /** H(commandCode ‖ names of the handles ‖ parameters). */
  cpHash(hashAlg: number): Uint8Array {
    let cpHash = this.#cpHashes.get(hashAlg)
    if (cpHash === undefined) {
      const names = this.entities.map(({ name }) => name)
      cpHash = hash(hashAlg, marshal(UINT32, this.row.code), ...names, this.parameters)
      this.#cpHashes.set(hashAlg, cpHash)
    }
    return cpHash
  }

  /** H(names of the handles): what TPM2_PolicyNameHash binds. */
  nameHash(hashAlg: number): Uint8Array {
    return hash(hashAlg, ...this.entities.map(({ name }) => name))
  }

  /** The use of a session with this attribute (a bit of TPMA_SESSION). */
  useWith(attribute: number): SessionUse | undefined {
    return this.uses.find(({ attributes }) => (attributes & attribute) !== 0)
  }
}

/** H(responseCode of success ‖ commandCode ‖ parameters), the parameters as they go out. */
export function rpHash(hashAlg: number, row: AnyCommand, parameters: Uint8Array): Uint8Array {
  return hash(hashAlg, new Uint8Array(4), marshal(UINT32, row.code), parameters)
}
