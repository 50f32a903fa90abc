// The door of this room: the computations that a TPM's keys need, synchronous, pure but for the random bytes that each
// operation is given. No objects, no handles, no response codes.

export { KeyError, type KeyErrorCode } from './errors.ts'
export {
  deterministicStream,
  type Entropy,
  type EntropySource,
  fixedEntropy,
  systemEntropy,
} from './random.ts'
export {
  generateRsaKey,
  RSA_KEY_BITS,
  rsaExponent,
  type RsaKey,
  rsaKeyFromPrime,
  rsaPublicKey,
} from './rsa-keys.ts'
export {
  oaepDecrypt,
  oaepEncrypt,
  rsaesDecrypt,
  rsaesEncrypt,
  rsapssSign,
  rsapssVerify,
  rsaPrivate,
  rsaPublic,
  rsassaSign,
  rsassaVerify,
} from './rsa.ts'
export { type Curve, curveOf, ECC_CURVES } from './curves.ts'
export {
  eccAgree,
  type EccKey,
  eccMultiply,
  eccPrivateKey,
  eccPublicKey,
  generateEccKey,
  isOnCurve,
  publicPoint,
  scalarFromMaterial,
  scalarMaterialSize,
} from './ecc.ts'
export {
  commitScalar,
  ecdaaSign,
  ecdsaSign,
  ecdsaSignMessage,
  ecdsaVerify,
  type EccSignature,
  ecSchnorrSign,
  ecSchnorrVerify,
} from './ecc-signatures.ts'
export { type CommitPoints, commitPoints, type TwoPhase, twoPhaseEcdh, twoPhaseMqv } from './ecc-exchange.ts'
export {
  AES_BLOCK_SIZE,
  AES_KEY_BITS,
  aesDecrypt,
  aesEncrypt,
  type SymmetricResult,
  xorObfuscate,
} from './symmetric.ts'
