// Enrolment of any TPM: once per TPM, a verifier makes sure that an attestation key lives in the TPM whose endorsement key
// (EK) it knows, or which a manufacturer that it trusts has certified. Palimpsest platforms have their own (enrolment.ts),
// which also learns their report key.
// Source: TPM 2.0 Library, Part 1, clause 24 (credential protection); TCG EK Credential Profile 2.5, clause 3.

import { equalBytes, sha256, verifyChainToAnyKey } from '../crypto/index.ts'
import { CERTIFICATE_USAGE } from '../evidence/index.ts'
import {
  checkAttestationKey,
  type Credential,
  marshal,
  objectName,
  publicKeyOf,
  readPublicArea,
  signingAlgorithm,
  TPMT_PUBLIC,
} from '../tpm2/index.ts'
import { checkSize, EVIDENCE_LIMITS } from './appraise-platform.ts'
import { type CredentialChallenge, credentialChallenge } from './credential-challenge.ts'
import { checkEndorsementKey } from './endorsement-key.ts'
import { anchorsOf, MAX_CERTIFICATES, PART_LIMIT } from './enrolment.ts'
import { Refusal, refuseAs, unlessRefused } from './refusal.ts'

/** The keys of a TPM as its host shows them; nothing of it is believed. */
export interface TpmKeys {
  /** TPM2B_PUBLIC, as `tpm2_createek -u` writes it, or TPMT_PUBLIC */
  readonly ekPublic: Uint8Array
  /** DER, leaf first, without the root; not needed for an EK that is pinned */
  readonly ekCertificates?: readonly Uint8Array[]
  /** TPM2B_PUBLIC, as `tpm2_createak -u` writes it, or TPMT_PUBLIC */
  readonly akPublic: Uint8Array
}

/** One enrolled TPM. */
export interface EnrolledTpm {
  /** TPM names: nameAlg ‖ digest */
  readonly ekName: Uint8Array
  readonly akName: Uint8Array
  /** TPMT_PUBLIC */
  readonly ekPublic: Uint8Array
  /** TPMT_PUBLIC: what appraiseTpm() takes */
  readonly akPublic: Uint8Array
  /** SHA-256 of the trust anchor (DER) that certified the EK; undefined for an EK that is pinned */
  readonly anchor: Uint8Array | undefined
  /** milliseconds since 1970 */
  readonly enrolledAt: number
}

/**
 * Enrols attestation keys of TPMs that one set of trust anchors certifies, or whose EKs are pinned.
 *
 * @example
 * const enroller = new TpmEnroller({ trustAnchors: [manufacturerPem] })
 * const { akPublic } = await enroller.enrol({ ekPublic, ekCertificates, akPublic }, (credential) => agent.activate(credential))
 */
export class TpmEnroller {
  readonly #anchors: readonly Uint8Array[]
  readonly #pinned: readonly Uint8Array[]
  readonly #now: () => number

  /**
   * `trustAnchors` are PEM certificates; `pinnedEks` TPM names of EKs; `now` is milliseconds since 1970.
   * Throws crypto's FormatError for a bad PEM.
   */
  constructor(options: {
    readonly trustAnchors?: readonly string[]
    readonly pinnedEks?: readonly Uint8Array[]
    readonly now?: () => number
  }) {
    this.#anchors = anchorsOf(options.trustAnchors ?? [])
    this.#pinned = options.pinnedEks ?? []
    this.#now = options.now ?? Date.now
  }

  /**
   * Checks both keys and makes a credential for them. Throws {@link Refusal} REFUSED_SIZE or REFUSED_ENROLMENT.
   */
  challenge(keys: TpmKeys): CredentialChallenge<EnrolledTpm> {
    checkSizes(keys)
    const { ekPublic, akPublic } = publicAreas(keys)
    refuseAs('REFUSED_ENROLMENT', 'attestation key', 'a restricted signing key of its TPM', () => {
      checkAttestationKey(akPublic)
      signingAlgorithm(akPublic)
    })
    checkEndorsementKey(ekPublic)
    const [ekName, akName] = [objectName(ekPublic), objectName(akPublic)]
    const anchor = this.#pinned.some((pinned) => equalBytes(pinned, ekName))
      ? undefined
      : this.#anchorOf(ekPublic, keys.ekCertificates ?? [])
    const enrolled = {
      ekName,
      akName,
      ekPublic: marshal(TPMT_PUBLIC, ekPublic),
      akPublic: marshal(TPMT_PUBLIC, akPublic),
      anchor,
      enrolledAt: this.#now(),
    }
    return credentialChallenge({ ekPublic, akName, now: this.#now, enrolled })
  }

  /** The whole exchange: `activate` has the TPM open the credential. Throws as challenge() and complete(). */
  async enrol(
    keys: TpmKeys,
    activate: (credential: Credential) => Promise<Uint8Array>,
  ): Promise<EnrolledTpm> {
    const challenge = this.challenge(keys)
    const { credentialBlob, secret } = challenge
    return challenge.complete(await activate({ credentialBlob, secret }))
  }

  /** SHA-256 of the anchor that certified the EK. */
  #anchorOf(ekPublic: TPMT_PUBLIC, certificates: readonly Uint8Array[]): Uint8Array {
    const [leaf, ...intermediates] = certificates
    if (leaf === undefined) throw unknownEk('a key that is not pinned, without a certificate')
    const verified = (roots: readonly Uint8Array[]) =>
      refuseAs('REFUSED_ENROLMENT', 'endorsement key', 'a certificate chain to a trust anchor', () => {
        const usage = CERTIFICATE_USAGE.endorsementKey
        return verifyChainToAnyKey({ leaf, intermediates, roots, at: new Date(this.#now()), usage })
      })
    const certified = verified(this.#anchors)
    const shown = refuseAs('REFUSED_ENROLMENT', 'endorsement key', 'an ECC or RSA key', () =>
      publicKeyOf(ekPublic).export({ format: 'der', type: 'spki' }),
    )
    if (!equalBytes(certified, shown)) throw unknownEk('a certificate of another key')
    const anchor = this.#anchors.find((root) => unlessRefused(() => verified([root])) !== undefined)
    if (anchor === undefined) throw unknownEk('one that no single trust anchor certifies')
    return sha256(anchor)
  }
}

function checkSizes({ ekPublic, akPublic, ekCertificates = [] }: TpmKeys): void {
  checkSize('endorsement key', ekPublic, EVIDENCE_LIMITS.publicArea)
  checkSize('attestation key', akPublic, EVIDENCE_LIMITS.publicArea)
  for (const certificate of ekCertificates) checkSize('certificate', certificate, PART_LIMIT)
  if (ekCertificates.length <= MAX_CERTIFICATES) return
  throw new Refusal('REFUSED_SIZE', 'endorsement key', {
    expected: `at most ${String(MAX_CERTIFICATES)} certificates`,
    found: String(ekCertificates.length),
  })
}

function publicAreas({ ekPublic, akPublic }: TpmKeys): { ekPublic: TPMT_PUBLIC; akPublic: TPMT_PUBLIC } {
  const read = (subject: string, bytes: Uint8Array) =>
    refuseAs('REFUSED_ENROLMENT', subject, 'a public area', () => readPublicArea(bytes))
  return { ekPublic: read('endorsement key', ekPublic), akPublic: read('attestation key', akPublic) }
}

function unknownEk(found: string): Refusal {
  return new Refusal('REFUSED_ENROLMENT', 'endorsement key', {
    expected: 'a pinned key, or one with a certificate chain to a trust anchor',
    found,
    action: 'send the certificates of this key, or pin its name if you know it',
  })
}
