// TPM2_Quote. Source: TPM 2.0 Library, Part 3, clause 18.4, and Part 1, clause 31 (attestation), revision 1.59.

import { sign } from 'node:crypto'
import {
  marshal,
  pcrDigest,
  TPM_ALG,
  TPM_GENERATED_VALUE,
  TPM_RC,
  TPM_ST,
  type TPML_PCR_SELECTION,
  TPMS_ATTEST,
  TPMT_SIGNATURE,
} from '../../../sdk/tpm2/index.ts'
import { FIRMWARE_VERSION, objectAt, started, type TpmContext } from './context.ts'
import { TpmError } from './errors.ts'
import { type TpmObject } from './objects.ts'

/** TPM2B_DATA's limit here: a TPMT_HA of the largest bank, SHA-384. */
const MAX_QUALIFYING_DATA = 2 + 48
const COORDINATE = 32

/** Parameters of TPM2_Quote. The key's own scheme is used. */
export interface QuoteRequest {
  readonly signHandle: number
  readonly qualifyingData: Uint8Array
  readonly pcrSelect: TPML_PCR_SELECTION
}

/** Answer of TPM2_Quote. */
export interface QuoteResponse {
  /** TPMS_ATTEST */
  readonly quoted: Uint8Array
  /** TPMT_SIGNATURE */
  readonly signature: Uint8Array
}

/**
 * TPM2_Quote with a key of the endorsement hierarchy, whose clock and firmware version are shown as they are.
 * Throws TpmError KEY when the key does not sign, SCHEME when it is not ECDSA with SHA-256, SIZE for qualifying data of
 * more than 50 bytes.
 */
export function quote(context: TpmContext, request: QuoteRequest): QuoteResponse {
  const pcrs = started(context)
  const key = objectAt(context, request.signHandle)
  if (!key.has('sign')) throw new TpmError(TPM_RC.KEY, 'expected a signing key, found one that does not sign')
  if (request.qualifyingData.length > MAX_QUALIFYING_DATA) {
    const found = String(request.qualifyingData.length)
    throw new TpmError(TPM_RC.SIZE, `expected at most ${String(MAX_QUALIFYING_DATA)} bytes, found ${found}`)
  }
  const pcrSelect = pcrs.implemented(request.pcrSelect)
  const quoted = marshal(TPMS_ATTEST, {
    magic: TPM_GENERATED_VALUE,
    type: TPM_ST.ATTEST_QUOTE,
    qualifiedSigner: key.qualifiedName,
    extraData: request.qualifyingData,
    clockInfo: context.clock.clockInfo(),
    firmwareVersion: FIRMWARE_VERSION,
    attested: { pcrSelect, pcrDigest: pcrDigest(pcrSelect, pcrs.values, TPM_ALG.SHA256) },
  })
  return { quoted, signature: signWith(key, quoted) }
}

function signWith(key: TpmObject, message: Uint8Array): Uint8Array {
  const { scheme } = key.publicArea.parameters
  if (scheme.scheme !== TPM_ALG.ECDSA || scheme.hashAlg !== TPM_ALG.SHA256) {
    throw new TpmError(TPM_RC.SCHEME, 'expected a key with ECDSA and SHA-256, found another scheme')
  }
  const raw = new Uint8Array(sign('sha256', message, { key: key.signingKey(), dsaEncoding: 'ieee-p1363' }))
  return marshal(TPMT_SIGNATURE, {
    sigAlg: scheme.scheme,
    hash: scheme.hashAlg,
    signatureR: raw.slice(0, COORDINATE),
    signatureS: raw.slice(COORDINATE),
  })
}
