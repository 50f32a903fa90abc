/**
 * Names of the Web Cryptography API that the declarations of @hpke/core use as globals.
 *
 * TypeScript has them in its `dom` library, which would also let `window` or `document` pass in code for Node. Node's
 * own types hold the same shapes under node:crypto (nodejs.org/api/webcrypto.html); this file only gives them the names.
 */
import type { webcrypto } from 'node:crypto'

declare global {
  type Algorithm = webcrypto.Algorithm
  type AlgorithmIdentifier = webcrypto.AlgorithmIdentifier
  type BufferSource = webcrypto.BufferSource
  type Crypto = webcrypto.Crypto
  type CryptoKey = webcrypto.CryptoKey
  type CryptoKeyPair = webcrypto.CryptoKeyPair
  type EcKeyGenParams = webcrypto.EcKeyGenParams
  type EcKeyImportParams = webcrypto.EcKeyImportParams
  type EcdsaParams = webcrypto.EcdsaParams
  type HmacKeyGenParams = webcrypto.HmacKeyGenParams
  type JsonWebKey = webcrypto.JsonWebKey
  type KeyAlgorithm = webcrypto.KeyAlgorithm
  type KeyFormat = webcrypto.KeyFormat
  type KeyUsage = webcrypto.KeyUsage
  type RsaHashedImportParams = webcrypto.RsaHashedImportParams
  type SubtleCrypto = webcrypto.SubtleCrypto
}
