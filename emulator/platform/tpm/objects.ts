// Loaded objects: a public area, its private part, its names. Primary objects are derived from the hierarchy's seed
// and the template alone, so that the same TPM always makes the same key from the same template.
// Source: TPM 2.0 Library, Part 1, clauses 14.3 (primary seeds) and 26.5 (qualified names); the derivation of the scalar
// is by extra random bits, FIPS 186-5, A.2.1, from KDFa.

import { createECDH, createPrivateKey, type KeyObject } from 'node:crypto'
import { Secret } from '../../../sdk/crypto/index.ts'
import {
  type EccPublic,
  handleName,
  hash,
  kdfa,
  leftPad,
  marshal,
  objectName,
  qualifiedName,
  TPM_ECC,
  TPM_RC,
  TPMA_OBJECT,
  type TPMS_ECC_POINT,
  TPMT_PUBLIC,
} from '../../../sdk/tpm2/index.ts'
import { TpmError } from './errors.ts'

const FIELD = 32
/** The order of P-256's group. Source: SP 800-186, 3.2.1.3. */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
/** 64 bits more than the order has, so that the modulus leaves no bias. */
const SCALAR_BITS = 256 + 64

/** An object that commands can name by a handle. */
export class TpmObject {
  readonly publicArea: EccPublic
  /** Hierarchy that it belongs to (TPM_RH). */
  readonly hierarchy: number
  readonly name: Uint8Array
  readonly qualifiedName: Uint8Array
  readonly #scalar: Secret
  #signingKey: KeyObject | undefined

  constructor(publicArea: EccPublic, scalar: Secret, hierarchy: number) {
    this.publicArea = publicArea
    this.hierarchy = hierarchy
    this.name = objectName(publicArea)
    this.qualifiedName = qualifiedName(handleName(hierarchy), publicArea)
    this.#scalar = scalar
  }

  has(attribute: keyof typeof TPMA_OBJECT): boolean {
    return (this.publicArea.objectAttributes & TPMA_OBJECT[attribute]) !== 0
  }

  /** The private key for signing, made once. */
  signingKey(): KeyObject {
    this.#signingKey ??= this.#scalar.use((scalar) => {
      const [d, x, y] = [scalar, this.publicArea.unique.x, this.publicArea.unique.y].map(base64url)
      return createPrivateKey({
        key: { kty: 'EC', crv: 'P-256', d: d ?? '', x: x ?? '', y: y ?? '' },
        format: 'jwk',
      })
    })
    return this.#signingKey
  }

  /** The x coordinate of the private scalar times `point`, which must be on the curve. */
  agree(point: TPMS_ECC_POINT): Uint8Array {
    return this.#scalar.use((scalar) => {
      const ecdh = createECDH('prime256v1')
      ecdh.setPrivateKey(scalar)
      const other = Uint8Array.from([4, ...leftPad(point.x, FIELD), ...leftPad(point.y, FIELD)])
      return new Uint8Array(ecdh.computeSecret(other))
    })
  }
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url')
}

/**
 * The primary object of `template` in `hierarchy`. Only P-256 is derived. Throws TpmError CURVE for another curve.
 */
export function derivePrimary(seed: Secret, hierarchy: number, template: EccPublic): TpmObject {
  if (template.parameters.curveID !== TPM_ECC.NIST_P256) {
    throw new TpmError(TPM_RC.CURVE, 'expected a template on NIST P-256, found another curve')
  }
  const context = hash(template.nameAlg, marshal(TPMT_PUBLIC, template))
  const material = seed.use((bytes) =>
    kdfa(template.nameAlg, bytes, 'PRIMARY', handleName(hierarchy), context, SCALAR_BITS),
  )
  const scalar = scalarFrom(material)
  const ecdh = createECDH('prime256v1')
  ecdh.setPrivateKey(scalar)
  const point = new Uint8Array(ecdh.getPublicKey())
  const unique = { x: point.slice(1, 1 + FIELD), y: point.slice(1 + FIELD) }
  return new TpmObject({ ...template, unique }, Secret.take(scalar), hierarchy)
}

/** A private scalar from 1 to the order less 1. */
function scalarFrom(material: Uint8Array): Uint8Array {
  const wide = BigInt(`0x${Buffer.from(material).toString('hex')}`)
  material.fill(0)
  const value = (wide % (ORDER - 1n)) + 1n
  return new Uint8Array(Buffer.from(value.toString(16).padStart(2 * FIELD, '0'), 'hex'))
}
