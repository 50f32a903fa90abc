// Attestations: what the TPM says about itself, with its clock and its version, signed by a key of the caller's choice.
// Source: TPM 2.0 Library, Part 1, clauses 31 (attestation) and 36.7 (obfuscation); Part 3, clause 18.1, revision 1.59.

import {
  type AttestedByType,
  type AttestType,
  handleName,
  hash,
  kdfa,
  marshal,
  TPM_ALG,
  TPM_GENERATED_VALUE,
  TPM_RH,
  TPMS_ATTEST,
  type TPMS_CLOCK_INFO,
  type TPMT_SIG_SCHEME_PLUS,
  type TPMT_SIGNATURE_PLUS,
} from '../../../../sdk/tpm2/index.ts'
import { CONTEXT_HASH, FIRMWARE_VERSION } from '../profile.ts'
import { type TpmState } from '../state/tpm-state.ts'
import { chooseSigner, isAnonymous, signDigest, type Signer, signMessage } from './signing.ts'

const NONE = new Uint8Array(0)

/** The clock and its counters. Clock is never ahead of what is stored of it, so it is always safe. */
export function clockInfo(tpm: TpmState): TPMS_CLOCK_INFO {
  const { resetCount } = tpm.permanent.timing
  return { clock: tpm.clock.clock, resetCount, restartCount: tpm.volatile.reset.restartCount, safe: true }
}

/** What to attest, by which key. */
export interface Attestation<K extends AttestType> {
  /** TPM_RH_NULL: the attestation is not signed */
  readonly signHandle: number
  /** name of that handle in the command's table */
  readonly signHandleField: string
  readonly qualifyingData: Uint8Array
  /** the command's parameter of that name */
  readonly inScheme: TPMT_SIG_SCHEME_PLUS
  /** TPM_ST */
  readonly type: K
  /** What is attested. A function is called once key and scheme are known to be good, and may refuse. */
  readonly attested: AttestedByType[K] | ((signer: Signer) => AttestedByType[K])
}

/** An attestation's bytes, of TPM2B_ATTEST, and its signature. */
export interface SignedAttestation {
  readonly attest: Uint8Array
  readonly signature: TPMT_SIGNATURE_PLUS
}

/** Makes and signs a TPMS_ATTEST. Throws TpmError as chooseSigner() and signDigest(). */
export function attestWith<K extends AttestType>(tpm: TpmState, about: Attestation<K>): SignedAttestation {
  const signer = chooseSigner(tpm, about.signHandle, about.signHandleField, about.inScheme)
  const attested = typeof about.attested === 'function' ? about.attested(signer) : about.attested
  const anonymous = signer !== undefined && isAnonymous(signer.scheme.scheme)
  const qualifiedSigner = anonymous ? NONE : (signer?.key.qualifiedName ?? handleName(TPM_RH.NULL))
  const attest = marshal(TPMS_ATTEST, {
    magic: TPM_GENERATED_VALUE,
    type: about.type,
    qualifiedSigner,
    extraData: anonymous ? NONE : about.qualifyingData,
    ...circumstances(tpm, signer, qualifiedSigner),
    attested,
  } as TPMS_ATTEST)
  return { attest, signature: signatureOf(tpm, signer, attest, anonymous ? about.qualifyingData : NONE) }
}

/**
 * An anonymous signature must not be known by the caller's data in the attestation: it is signed beside it, as
 * H(qualifyingData ‖ H(attestation)).
 */
function signatureOf(
  tpm: TpmState,
  signer: Signer,
  attest: Uint8Array,
  beside: Uint8Array,
): TPMT_SIGNATURE_PLUS {
  if (signer === undefined) return { sigAlg: TPM_ALG.NULL }
  const { key, scheme } = signer
  if (beside.length === 0) return signMessage(tpm, key, scheme, attest)
  const digest = hash(scheme.hashAlg, beside, hash(scheme.hashAlg, attest))
  return signDigest(tpm, key, scheme, digest)
}

interface Circumstances {
  readonly clockInfo: TPMS_CLOCK_INFO
  readonly firmwareVersion: bigint
}

/**
 * Clock and version. To a key that is neither of the endorsement nor of the platform hierarchy, counters and version
 * are hidden by a number that belongs to key and owner, so that two keys cannot be told to be of one TPM.
 */
function circumstances(tpm: TpmState, signer: Signer, qualifiedSigner: Uint8Array): Circumstances {
  const clock = clockInfo(tpm)
  const hierarchy = signer?.key.hierarchy
  if (hierarchy === TPM_RH.ENDORSEMENT || hierarchy === TPM_RH.PLATFORM) {
    return { clockInfo: clock, firmwareVersion: FIRMWARE_VERSION }
  }
  const { proof } = tpm.permanent.owner
  const hidden = kdfa(CONTEXT_HASH, proof, 'OBFUSCATE', qualifiedSigner, NONE, 128)
  const mask = new DataView(hidden.buffer)
  const resetCount = (clock.resetCount + mask.getUint32(8)) >>> 0
  const restartCount = (clock.restartCount + mask.getUint32(12)) >>> 0
  const firmwareVersion = BigInt.asUintN(64, FIRMWARE_VERSION + mask.getBigUint64(0))
  return { clockInfo: { ...clock, resetCount, restartCount }, firmwareVersion }
}
