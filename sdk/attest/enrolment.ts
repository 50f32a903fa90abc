// Enrolment: once per platform, a verifier makes sure that an attestation key (AK) lives in the very TPM whose
// endorsement key (EK) a manufacturer has certified, and learns which key signs that platform's reports.
// The result is ONE record, which every later step is held against; parts of two platforms never mix.
// Source: TPM 2.0 Library, Part 1, clause 24 (credential protection); TCG EK Credential Profile 2.5, clause 3.

import {
  certificateKey,
  hex,
  parseCertificate,
  parseCertificates,
  PublicKey,
  sha256,
  verifyChain,
} from '../crypto/index.ts'
import { CERTIFICATE_USAGE, type PlatformEndorsement, platformKeys } from '../evidence/index.ts'
import {
  checkAttestationKey,
  type Credential,
  leftPad,
  TPM_ALG,
  TPMT_PUBLIC,
  unmarshal,
} from '../tpm2/index.ts'
import { type CredentialChallenge, credentialChallenge } from './credential-challenge.ts'
import { checkEndorsementKey } from './endorsement-key.ts'
import { Refusal, refuseAs, unlessRefused } from './refusal.ts'

/** Longest certificate or public area that is looked at. */
export const PART_LIMIT = 16_384
/** Certificates of one key that are looked at. */
export const MAX_CERTIFICATES = 8

/** One enrolled platform. */
export interface EnrolmentRecord {
  /** TPM name of the EK: nameAlg ‖ digest, what reports call platformId */
  readonly ekName: Uint8Array
  /** TPM name of the AK */
  readonly akName: Uint8Array
  /** TPMT_PUBLIC */
  readonly ekPublic: Uint8Array
  /** TPMT_PUBLIC */
  readonly akPublic: Uint8Array
  /** the key that signs this platform's launch reports */
  readonly reportKey: PublicKey
  /** SHA-256 of the trust anchor (DER) that certified both keys: a policy that drops the anchor drops the platform */
  readonly anchor: Uint8Array
  /** milliseconds since 1970 */
  readonly enrolledAt: number
}

/** The challenge of a platform's enrolment. */
export type EnrolmentChallenge = CredentialChallenge<EnrolmentRecord>

/**
 * Enrols platforms for one set of trust anchors.
 *
 * @example
 * const enroller = new Enroller({ trustAnchors: policy.trustAnchors })
 * const record = await enroller.enrol(endorsement, (credential) => host.activateCredential(credential))
 */
export class Enroller {
  readonly #anchors: readonly Uint8Array[]
  readonly #now: () => number

  /** `trustAnchors` are PEM certificates; `now` is milliseconds since 1970. Throws crypto's FormatError for a bad PEM. */
  constructor(options: { readonly trustAnchors: readonly string[]; readonly now?: () => number }) {
    this.#anchors = anchorsOf(options.trustAnchors)
    this.#now = options.now ?? Date.now
  }

  /**
   * Checks the certificates and the attestation key, and makes a credential for them.
   * Throws {@link Refusal} REFUSED_SIZE or REFUSED_ENROLMENT.
   */
  challenge(keys: PlatformEndorsement): EnrolmentChallenge {
    checkSizes(keys)
    const enrolled = this.#examine(keys, new Date(this.#now()))
    const ekPublic = unmarshal(TPMT_PUBLIC, keys.ekPublic)
    return credentialChallenge({ ekPublic, akName: enrolled.akName, now: this.#now, enrolled })
  }

  /** The whole exchange: `activate` has the platform open the credential. Throws as challenge() and complete(). */
  async enrol(
    keys: PlatformEndorsement,
    activate: (credential: Credential) => Promise<Uint8Array>,
  ): Promise<EnrolmentRecord> {
    const challenge = this.challenge(keys)
    const { credentialBlob, secret } = challenge
    return challenge.complete(await activate({ credentialBlob, secret }))
  }

  #examine(keys: PlatformEndorsement, at: Date): EnrolmentRecord {
    const named = refuseAs('REFUSED_ENROLMENT', 'endorsement', 'two public areas', () => platformKeys(keys))
    refuseAs('REFUSED_ENROLMENT', 'attestation key', 'a restricted signing key of this TPM', () => {
      checkAttestationKey(named.akPublic)
    })
    checkEndorsementKey(named.ekPublic)
    checkCertifiedKey(named.ekPublic, keys.ekCertificates)
    const { anchor, reportKey } = this.#commonAnchor(keys, at)
    return {
      ekName: named.ekName,
      akName: named.akName,
      ekPublic: Uint8Array.from(keys.ekPublic),
      akPublic: Uint8Array.from(keys.akPublic),
      reportKey,
      anchor,
      enrolledAt: at.getTime(),
    }
  }

  /** One root must have certified both: else the EK of one make could stand beside the report key of another. */
  #commonAnchor(keys: PlatformEndorsement, at: Date): { anchor: Uint8Array; reportKey: PublicKey } {
    const chains = [
      { what: 'endorsement key', certificates: keys.ekCertificates, usage: CERTIFICATE_USAGE.endorsementKey },
      { what: 'report key', certificates: keys.reportKeyCertificates, usage: CERTIFICATE_USAGE.reportKey },
    ] as const
    const verifyAll = (roots: readonly Uint8Array[]): PublicKey[] =>
      chains.map(({ what, certificates, usage }) =>
        refuseAs('REFUSED_ENROLMENT', what, 'a certificate chain to a trust anchor', () => {
          const [leaf, ...intermediates] = certificates
          return verifyChain({ leaf: leaf ?? new Uint8Array(), intermediates, roots, at, usage })
        }),
      )
    verifyAll(this.#anchors)
    for (const anchor of this.#anchors) {
      const reportKey = unlessRefused(() => verifyAll([anchor]))?.at(-1)
      if (reportKey !== undefined) return { anchor: sha256(anchor), reportKey }
    }
    throw new Refusal('REFUSED_ENROLMENT', 'report key', {
      expected: 'the trust anchor of the endorsement key',
      found: 'another one',
      action: 'use certificates of one manufacturer',
    })
  }
}

/** The DER of PEM trust anchors. */
export function anchorsOf(trustAnchors: readonly string[]): Uint8Array[] {
  return trustAnchors.flatMap((pem) => parseCertificates(pem).map(({ der }) => der))
}

function checkSizes(keys: PlatformEndorsement): void {
  const lists = [keys.ekCertificates, keys.reportKeyCertificates]
  const parts = [keys.ekPublic, keys.akPublic, ...lists.flat()]
  const counted = lists.every((list) => list.length >= 1 && list.length <= MAX_CERTIFICATES)
  if (counted && parts.every((part) => part.length <= PART_LIMIT)) return
  throw new Refusal('REFUSED_SIZE', 'endorsement', {
    expected: `1..${String(MAX_CERTIFICATES)} certificates a key and at most ${String(PART_LIMIT)} bytes a part`,
    found: `${lists.map((list) => String(list.length)).join(' and ')} certificates, the longest part of ${String(
      Math.max(...parts.map((part) => part.length)),
    )} bytes`,
  })
}

/** The certificate is of this key. */
function checkCertifiedKey(ek: TPMT_PUBLIC, certificates: readonly Uint8Array[]): void {
  const named = refuseAs('REFUSED_ENROLMENT', 'endorsement key', 'a P-256 key in its certificate', () =>
    certificateKey(parseCertificate(certificates[0] ?? new Uint8Array())),
  )
  const shown = refuseAs('REFUSED_ENROLMENT', 'endorsement key', 'a P-256 key', () => eccKey(ek))
  if (shown?.equals(named) === true) return
  throw new Refusal('REFUSED_ENROLMENT', 'endorsement key', {
    expected: `the key ${hex(named.digest)} of its certificate`,
    found: shown === undefined ? 'a key of another kind' : `the key ${hex(shown.digest)}`,
  })
}

function eccKey(ek: TPMT_PUBLIC): PublicKey | undefined {
  if (ek.type !== TPM_ALG.ECC) return undefined
  return PublicKey.fromPoint(leftPad(ek.unique.x, 32), leftPad(ek.unique.y, 32))
}
