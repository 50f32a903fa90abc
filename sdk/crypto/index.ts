// The public entry of this room: cryptography that knows no domain. Secrets, canonical bytes and their signatures,
// identities and certificates, sealing, block keys, and the AES-256-XTS engines. Pure: no files, no sockets, no state.

export {
  assertBytes,
  assertU64,
  base64url,
  concatBytes,
  equalBytes,
  fromHex,
  hex,
  plainView,
  le64,
  U64_MAX,
  utf8,
} from './bytes.ts'
export {
  CertificateError,
  CryptoError,
  type CryptoErrorCode,
  FormatError,
  SealError,
  SignatureError,
  WeakKeyError,
} from './errors.ts'
export { type KeyBytes, Secret } from './secret.ts'
export { sha256, sha384, taggedDigest } from './digest.ts'
export { type Canonical, type CanonicalMap, decodeCanonical, encodeCanonical } from './cbor.ts'
export { decodeMap, expect, field } from './fields.ts'
export { IdentityKey, PublicKey, SIGNATURE_LENGTH } from './identity.ts'
export { parse1, type Parsed1, sign1, verify1 } from './cose.ts'
export {
  certificateKey,
  type ChainToVerify,
  parseCertificate,
  parseCertificates,
  verifyChain,
  verifyChainToAnyKey,
} from './x509.ts'
export * as der from './der.ts'
export { issueCertificate, selfSignedRoot } from './x509-issue.ts'
export {
  type Certificate,
  type CertificateContent,
  type CertificateExtension,
  type CertificateUsage,
  type DirectoryAttribute,
} from './x509-types.ts'
export { generateHpkeKeyPair, HPKE_KEY_LENGTH, type HpkeKeyPair, open, seal, type Sealed } from './hpke.ts'
export {
  BLOCK_KEY_LENGTH,
  BlockKeyDeriver,
  deriveBlockKey,
  type KeyMode,
  keyModes,
  ROOT_KEY_LENGTH,
  tweakFor,
} from './block-keys.ts'
export { type SectorBuffers, type SectorLayout, type SectorSize, sectorSizes, XTS_KEY_LENGTH } from './xts.ts'
export {
  engineNames,
  type KeyedLayout,
  type ReencryptEngine,
  type SectorReencryptor,
  selectEngine,
  type XtsSectorCipher,
} from './engine.ts'
