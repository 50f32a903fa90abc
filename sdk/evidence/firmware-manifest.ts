// The firmware manifest: the vendor's signed word about one firmware image. It carries the security version that a
// rollback cannot raise and the signer that a policy names; it is measured at boot and cited by launch reports.
// Form: COSE_Sign1 (RFC 9052) with ES256 over canonical CBOR, under the tag below, kid = digest of the signer's key.

import {
  decodeMap,
  encodeCanonical,
  equalBytes,
  field,
  type IdentityKey,
  parse1,
  PublicKey,
  sha256,
  sign1,
  verify1,
} from '../crypto/index.ts'
import { EvidenceError } from './errors.ts'
import { expectVersion, refusing } from './refusing.ts'

const TAG = 'palimpsest/v1/firmware-manifest'
const VERSION = 1n
const MAX_SPKI = 256
const MAX_DESCRIPTION = 256
const MAX_SVN = 0xffffffffn
const FIELDS = ['version', 'digest', 'svn', 'signer', 'signerKey', 'description']

/** What a firmware vendor states about an image. */
export interface FirmwareManifest {
  /** SHA-256 of the whole image as it is loaded */
  readonly digest: Uint8Array
  /** security version number, 0 to 2^32 - 1: higher is newer */
  readonly svn: number
  /** SHA-256 of the signer's SubjectPublicKeyInfo */
  readonly signer: Uint8Array
  /** the signer's SubjectPublicKeyInfo, DER */
  readonly signerKey: Uint8Array
  /** for people; nothing is decided by it */
  readonly description: string
}

/** Signs a manifest. Throws RangeError for a digest, version or description that does not fit. */
export function signFirmwareManifest(
  manifest: Pick<FirmwareManifest, 'digest' | 'svn' | 'description'>,
  vendor: IdentityKey,
): Uint8Array {
  const { digest, svn, description } = manifest
  if (digest.length !== 32)
    throw new RangeError(`"digest" expected 32 bytes, got length=${String(digest.length)}`)
  if (!Number.isInteger(svn) || svn < 0 || BigInt(svn) > MAX_SVN) {
    throw new RangeError(`"svn" expected an integer from 0 to ${MAX_SVN.toString()}, got ${String(svn)}`)
  }
  if (description.length > MAX_DESCRIPTION) {
    throw new RangeError(`"description" expected at most ${String(MAX_DESCRIPTION)} characters`)
  }
  const signer = vendor.publicKey.digest
  const payload = encodeCanonical({
    version: VERSION,
    digest,
    svn: BigInt(svn),
    signer,
    signerKey: vendor.publicKey.spki,
    description,
  })
  return sign1({ key: vendor, payload, tag: TAG, keyId: signer })
}

function parsePayload(payload: Uint8Array): FirmwareManifest {
  const map = decodeMap(payload, 'firmware manifest')
  field.only(map, FIELDS)
  expectVersion(map, 'firmware manifest', VERSION)
  return {
    digest: field.bytes(map, 'digest', 32),
    svn: Number(field.uint(map, 'svn', MAX_SVN)),
    signer: field.bytes(map, 'signer', 32),
    signerKey: field.bytesUpTo(map, 'signerKey', MAX_SPKI),
    description: field.text(map, 'description', MAX_DESCRIPTION),
  }
}

/**
 * Verifies a manifest under the key that it carries, whose digest is `signer`. Whether that signer is trusted is the
 * caller's policy. Throws EvidenceError MANIFEST_MALFORMED, MANIFEST_SIGNER (key, digest and kid disagree) or
 * MANIFEST_SIGNATURE.
 */
export function verifyFirmwareManifest(message: Uint8Array): FirmwareManifest {
  const { manifest, keyId, key } = refusing('MANIFEST_MALFORMED', () => {
    const { payload, keyId } = parse1(message)
    const manifest = parsePayload(payload)
    return { manifest, keyId, key: PublicKey.fromSpki(manifest.signerKey) }
  })
  if (
    !equalBytes(key.digest, manifest.signer) ||
    keyId === undefined ||
    !equalBytes(keyId, manifest.signer)
  ) {
    throw new EvidenceError(
      'MANIFEST_SIGNER',
      'expected the key whose digest the manifest and its kid name, found another',
    )
  }
  refusing('MANIFEST_SIGNATURE', () => verify1({ message, publicKey: key, tag: TAG }))
  return manifest
}

/** The digest by which launch reports cite a manifest: SHA-256 of its bytes. */
export function firmwareManifestDigest(message: Uint8Array): Uint8Array {
  return sha256(message)
}
