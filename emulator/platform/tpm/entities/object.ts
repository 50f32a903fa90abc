// Objects: a public area, a sensitive area when it is loaded with one, and where it stands in its hierarchy.
// Source: TPM 2.0 Library, Part 1, clause 25 (object structure elements) and 26.5 (qualified names), revision 1.59.

import { type KeyObject } from 'node:crypto'
import {
  type Codec,
  handleName,
  objectName,
  qualifiedName,
  struct,
  TPM2B_NAME,
  TPM_ALG,
  TPM_RC,
  TPMA_OBJECT,
  TPMI_YES_NO,
  type TPMT_PUBLIC,
  TPMT_PUBLIC_PLUS,
  TPMT_SENSITIVE,
  UINT32,
} from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'
import { eccPrivateKey, rsaKeyFromPrime, rsaPublicKey } from '../keys/index.ts'
import { optional } from '../state/codecs.ts'

/** What makes an object, all of it data, so that contexts and state can carry it. */
export interface ObjectRecord {
  readonly publicArea: TPMT_PUBLIC
  /** undefined: only the public area is loaded */
  readonly sensitive: TPMT_SENSITIVE | undefined
  /** TPM_RH of its hierarchy; NULL for temporary objects */
  readonly hierarchy: number
  readonly qualifiedName: Uint8Array
  /** loaded by TPM2_LoadExternal: belongs to no hierarchy of this TPM, cannot be made persistent or parent anything */
  readonly external: boolean
  /** it or an ancestor has stClear: gone after TPM2_Startup(CLEAR) */
  readonly stClear: boolean
}

/** How ObjectRecord is saved. */
export const OBJECT_RECORD: Codec<ObjectRecord> = struct<ObjectRecord>('object', {
  publicArea: TPMT_PUBLIC_PLUS,
  sensitive: optional(TPMT_SENSITIVE),
  hierarchy: UINT32,
  qualifiedName: TPM2B_NAME,
  external: TPMI_YES_NO,
  stClear: TPMI_YES_NO,
})

/** A loaded object. Keys for node:crypto are made once, at first use. */
export class TpmObject {
  readonly record: ObjectRecord
  readonly name: Uint8Array
  #privateKey: KeyObject | undefined
  #publicKey: KeyObject | undefined

  constructor(record: ObjectRecord) {
    this.record = record
    const { nameAlg } = record.publicArea
    this.name = nameAlg === TPM_ALG.NULL ? new Uint8Array(0) : objectName(record.publicArea)
  }

  get publicArea(): TPMT_PUBLIC {
    return this.record.publicArea
  }

  get qualifiedName(): Uint8Array {
    return this.record.qualifiedName
  }

  get hierarchy(): number {
    return this.record.hierarchy
  }

  has(attribute: keyof typeof TPMA_OBJECT): boolean {
    return (this.publicArea.objectAttributes & TPMA_OBJECT[attribute]) !== 0
  }

  /** A storage key: it may protect children (Part 1, 23.3). */
  get isParent(): boolean {
    const key = this.publicArea.nameAlg !== TPM_ALG.NULL && this.record.sensitive !== undefined
    return (
      key &&
      !this.record.external &&
      this.has('restricted') &&
      this.has('decrypt') &&
      !this.has('sign') &&
      this.publicArea.type !== TPM_ALG.KEYEDHASH
    )
  }

  /** A keyed-hash object from whose secret others are derived (Part 1, 28.5). */
  get isDerivationParent(): boolean {
    return this.publicArea.type === TPM_ALG.KEYEDHASH && this.has('restricted') && this.has('decrypt')
  }

  get authValue(): Uint8Array {
    return this.record.sensitive?.authValue ?? new Uint8Array(0)
  }

  /** The sensitive area. Throws TpmError with `rc` when only the public area is loaded. */
  sensitive(at: string, rc: number = TPM_RC.AUTH_UNAVAILABLE): TPMT_SENSITIVE {
    if (this.record.sensitive !== undefined) return this.record.sensitive
    throw new TpmError(rc, 'expected an object with its sensitive area, found a public area alone', at)
  }

  /** The private key of an RSA or ECC object. Throws TpmError KEY for another kind. */
  privateKey(at: string): KeyObject {
    this.#privateKey ??= this.#makePrivateKey(at)
    return this.#privateKey
  }

  /** The public key of an RSA object. Throws TpmError KEY for another kind. */
  publicKey(at: string): KeyObject {
    const area = this.publicArea
    if (area.type !== TPM_ALG.RSA) {
      throw new TpmError(TPM_RC.KEY, 'expected an RSA key, found another kind of object', at)
    }
    this.#publicKey ??= rsaPublicKey(area.unique, area.parameters.exponent)
    return this.#publicKey
  }

  #makePrivateKey(at: string): KeyObject {
    const sensitive = this.sensitive(at)
    const area = this.publicArea
    if (area.type === TPM_ALG.ECC && sensitive.sensitiveType === TPM_ALG.ECC) {
      return eccPrivateKey(area.parameters.curveID, sensitive.sensitive, area.unique)
    }
    if (area.type === TPM_ALG.RSA && sensitive.sensitiveType === TPM_ALG.RSA) {
      return rsaKeyFromPrime(area.unique, area.parameters.exponent, sensitive.sensitive)
    }
    throw new TpmError(TPM_RC.KEY, 'expected an asymmetric key, found another kind of object', at)
  }
}

/** The qualified name of an object under `parent`, or of a primary object of a hierarchy (TPM_RH). */
export function qualifiedNameUnder(parent: TpmObject | number, publicArea: TPMT_PUBLIC): Uint8Array {
  if (publicArea.nameAlg === TPM_ALG.NULL) return new Uint8Array(0)
  const above = typeof parent === 'number' ? handleName(parent) : parent.qualifiedName
  return qualifiedName(above, publicArea)
}

/** The record of an object that only its public area is known of, or that comes with a sensitive area from outside. */
export function externalRecord(
  publicArea: TPMT_PUBLIC,
  sensitive: TPMT_SENSITIVE | undefined,
  hierarchy: number,
): ObjectRecord {
  return {
    publicArea,
    sensitive,
    hierarchy,
    // It has no parent here, so its name stands alone.
    qualifiedName: objectName(publicArea),
    external: true,
    stClear: (publicArea.objectAttributes & TPMA_OBJECT.stClear) !== 0,
  }
}
