// The platform's endorsement: its keys and the certificates that lead from them to the manufacturer's root. The
// platform publishes it, a verifier checks it once when it enrols the platform (sdk/attest).
// Source: TCG EK Credential Profile, version 2.5 (EK certificates); TPM 2.0 Library, Part 2, 12.2.4 (TPMT_PUBLIC).

import { objectName, TPMT_PUBLIC, unmarshal } from '../tpm2/index.ts'

/**
 * Extended key usages of a platform's certificates: without them, one certificate could stand in for the other.
 * `endorsementKey` is tcg-kp-EKCertificate (EK Credential Profile, 3.2.16). `reportKey` is this project's own, under the
 * arc for examples (ITU-T X.660, 2.999), which no real authority certifies with: the platform is emulated.
 */
export const CERTIFICATE_USAGE = {
  endorsementKey: '2.23.133.8.1',
  reportKey: '2.999.1886.1',
} as const

/** Keys and certificates as they travel. Certificates are DER, leaf first, without the root. */
export interface PlatformEndorsement {
  /** TPMT_PUBLIC of the endorsement key */
  readonly ekPublic: Uint8Array
  readonly ekCertificates: readonly Uint8Array[]
  /** TPMT_PUBLIC of the attestation key */
  readonly akPublic: Uint8Array
  /** for the key that signs launch reports */
  readonly reportKeyCertificates: readonly Uint8Array[]
}

/** The TPM keys of an endorsement, parsed and named. */
export interface PlatformKeys {
  readonly ekPublic: TPMT_PUBLIC
  /** the name by which launch reports cite the platform (platformId) */
  readonly ekName: Uint8Array
  readonly akPublic: TPMT_PUBLIC
  readonly akName: Uint8Array
}

/** Parses both public areas. Nothing is verified. Throws Tpm2Error MALFORMED or UNSUPPORTED. */
export function platformKeys(endorsement: Pick<PlatformEndorsement, 'ekPublic' | 'akPublic'>): PlatformKeys {
  const ekPublic = unmarshal(TPMT_PUBLIC, endorsement.ekPublic)
  const akPublic = unmarshal(TPMT_PUBLIC, endorsement.akPublic)
  return { ekPublic, ekName: objectName(ekPublic), akPublic, akName: objectName(akPublic) }
}
