// Arbitrary values of every structure of sdk/tpm2, by the name under which its codec is exported.

import fc from 'fast-check'
import {
  type Codec,
  TPM_ALG,
  TPM_CAP,
  TPM_CLOCK_ADJUST,
  TPM_ECC,
  TPM_EO,
  TPM_GENERATED_VALUE,
  TPM_RH,
  TPM_RS_PW,
  TPM_SE,
  TPM_ST,
  TPM_SU,
} from '../../../../sdk/tpm2/index.ts'
import * as tpm2 from '../../../../sdk/tpm2/index.ts'

/** A codec and values that it must write and read back. */
export interface Sample {
  readonly codec: Codec<unknown>
  readonly values: fc.Arbitrary<unknown>
}

function sample<T>(codec: Codec<T>, values: fc.Arbitrary<T>): Sample {
  return { codec: codec, values }
}

const bytes = (max: number) => fc.uint8Array({ maxLength: max, size: 'max' })
const exactly = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const u8 = fc.nat({ max: 0xff })
const u16 = fc.nat({ max: 0xffff })
const u32 = fc.nat({ max: 0xffffffff })
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const bitsOf = (...bits: readonly number[]) =>
  fc.subarray([...bits]).map((set) => set.reduce((sum, bit) => sum + 2 ** bit, 0))
/** Bits from `first` to `last`. */
const span = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, at) => first + at)

const { NULL } = TPM_ALG
const hash = fc.constantFrom(TPM_ALG.SHA1, TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512)
const hashOrNull = fc.oneof(hash, fc.constant(NULL))
const kdf = fc.constantFrom(TPM_ALG.MGF1, TPM_ALG.KDF1_SP800_56A, TPM_ALG.KDF2, TPM_ALG.KDF1_SP800_108, NULL)
const cipherMode = fc.constantFrom(TPM_ALG.CTR, TPM_ALG.OFB, TPM_ALG.CBC, TPM_ALG.CFB, TPM_ALG.ECB, NULL)
const mode = fc.oneof(cipherMode, fc.constant(TPM_ALG.CMAC))
const curveID = fc.constantFrom(...Object.values(TPM_ECC))
const keyBits = fc.constantFrom(1024, 2048, 3072, 4096)
const hierarchy = fc.constantFrom(TPM_RH.OWNER, TPM_RH.PLATFORM, TPM_RH.ENDORSEMENT, TPM_RH.NULL)
const session = fc.oneof(
  fc.integer({ min: 0x02000000, max: 0x02fffffe }),
  fc.integer({ min: 0x03000000, max: 0x03fffffe }),
)
const objectAttributes = bitsOf(1, 2, 4, 5, 6, 7, 10, 11, 16, 17, 18, 19)
const sessionAttributes = bitsOf(0, 1, 2, 5, 6, 7)
const nvAttributes = bitsOf(...span(0, 7), ...span(10, 19), ...span(25, 31))
const algAttributes = bitsOf(0, 1, 2, 3, 8, 9, 10)

const digestSizes: ReadonlyMap<number, number> = new Map([
  [TPM_ALG.SHA1, 20],
  [TPM_ALG.SHA256, 32],
  [TPM_ALG.SHA384, 48],
  [TPM_ALG.SHA512, 64],
  [NULL, 0],
])
const tagged = (hashes: fc.Arbitrary<number>) =>
  hashes.chain((hashAlg) =>
    fc.record({ hashAlg: fc.constant(hashAlg), digest: exactly(digestSizes.get(hashAlg) ?? 0) }),
  )

const cipher = fc.oneof(
  fc.record({
    algorithm: fc.constantFrom(TPM_ALG.AES, TPM_ALG.CAMELLIA),
    keyBits: fc.constantFrom(128, 192, 256),
    mode,
  }),
  fc.record({ algorithm: fc.constant(TPM_ALG.TDES), keyBits: fc.constantFrom(128, 192), mode }),
  fc.record({ algorithm: fc.constant(TPM_ALG.SM4), keyBits: fc.constant(128), mode }),
)
const cipherOrNull = fc.oneof(cipher, fc.constant({ algorithm: NULL }))
const symDef = fc.oneof(cipherOrNull, fc.record({ algorithm: fc.constant(TPM_ALG.XOR), hashAlg: hash }))

const none = fc.constant({ scheme: NULL })
const hashed = <const S extends number>(...schemes: readonly S[]) =>
  fc.record({ scheme: fc.constantFrom(...schemes), hashAlg: hash })
const rsaSignature = hashed(TPM_ALG.RSASSA, TPM_ALG.RSAPSS)
const eccSignature = fc.oneof(
  hashed(TPM_ALG.ECDSA, TPM_ALG.SM2, TPM_ALG.ECSCHNORR),
  fc.record({ scheme: fc.constant(TPM_ALG.ECDAA), hashAlg: hash, count: u16 }),
)
const rsaEncryption = fc.oneof(fc.constant({ scheme: TPM_ALG.RSAES }), hashed(TPM_ALG.OAEP))
const exchange = hashed(TPM_ALG.ECDH, TPM_ALG.ECMQV)
const eccScheme = fc.oneof(none, eccSignature, exchange)
const rsaScheme = fc.oneof(none, rsaSignature, rsaEncryption)
const kdfScheme = fc.oneof(
  none,
  hashed(TPM_ALG.MGF1, TPM_ALG.KDF1_SP800_56A, TPM_ALG.KDF2, TPM_ALG.KDF1_SP800_108),
)
const keyedHashScheme = fc.oneof(
  none,
  hashed(TPM_ALG.HMAC),
  fc.record({ scheme: fc.constant(TPM_ALG.XOR), hashAlg: hash, kdf }),
)

const point = fc.record({ x: bytes(80), y: bytes(80) })
const derive = fc.record({ label: bytes(32), context: bytes(32) })
const parms = {
  ecc: fc.record({ symmetric: cipherOrNull, scheme: eccScheme, curveID, kdf: kdfScheme }),
  rsa: fc.record({ symmetric: cipherOrNull, scheme: rsaScheme, keyBits, exponent: u32 }),
  keyedHash: fc.record({ scheme: keyedHashScheme }),
  symCipher: fc.record({ sym: cipher }),
}
const publicParms = fc.oneof(
  fc.record({ type: fc.constant(TPM_ALG.ECC), parameters: parms.ecc }),
  fc.record({ type: fc.constant(TPM_ALG.RSA), parameters: parms.rsa }),
  fc.record({ type: fc.constant(TPM_ALG.KEYEDHASH), parameters: parms.keyedHash }),
  fc.record({ type: fc.constant(TPM_ALG.SYMCIPHER), parameters: parms.symCipher }),
)
const body = <T extends number, P, U>(
  type: T,
  nameAlg: fc.Arbitrary<number>,
  parameters: fc.Arbitrary<P>,
  unique: fc.Arbitrary<U>,
) =>
  fc.record({ type: fc.constant(type), nameAlg, objectAttributes, authPolicy: bytes(64), parameters, unique })
const publicArea = (nameAlg: fc.Arbitrary<number>) =>
  fc.oneof(
    body(TPM_ALG.ECC, nameAlg, parms.ecc, point),
    body(TPM_ALG.RSA, nameAlg, parms.rsa, bytes(512)),
    body(TPM_ALG.KEYEDHASH, nameAlg, parms.keyedHash, bytes(64)),
    body(TPM_ALG.SYMCIPHER, nameAlg, parms.symCipher, bytes(64)),
  )
const template = fc.oneof(
  body(TPM_ALG.ECC, hash, parms.ecc, derive),
  body(TPM_ALG.RSA, hash, parms.rsa, derive),
  body(TPM_ALG.KEYEDHASH, hash, parms.keyedHash, derive),
  body(TPM_ALG.SYMCIPHER, hash, parms.symCipher, derive),
)
const eccDetail = fc.record({
  curveID,
  keySize: u16,
  kdf: kdfScheme,
  sign: eccScheme,
  p: bytes(80),
  a: bytes(80),
  b: bytes(80),
  gX: bytes(80),
  gY: bytes(80),
  n: bytes(80),
  h: bytes(80),
})

const secret = <const T extends number>(type: T, max: number) =>
  fc.record({
    sensitiveType: fc.constant(type),
    authValue: bytes(64),
    seedValue: bytes(64),
    sensitive: bytes(max),
  })
const sensitive = fc.oneof(
  secret(TPM_ALG.RSA, 1280),
  secret(TPM_ALG.ECC, 80),
  secret(TPM_ALG.KEYEDHASH, 128),
  secret(TPM_ALG.SYMCIPHER, 32),
)
const sensitiveCreate = fc.record({ userAuth: bytes(64), data: bytes(128) })

const signature = fc.oneof(
  fc.record({
    sigAlg: fc.constantFrom(TPM_ALG.ECDSA, TPM_ALG.ECDAA, TPM_ALG.SM2, TPM_ALG.ECSCHNORR),
    hash,
    signatureR: bytes(80),
    signatureS: bytes(80),
  }),
  fc.record({ sigAlg: fc.constantFrom(TPM_ALG.RSASSA, TPM_ALG.RSAPSS), hash, sig: bytes(512) }),
  tagged(hash).map((hmac) => ({ sigAlg: TPM_ALG.HMAC, ...hmac })),
)

const pcrSelection = fc.record({ hash: u16, pcrSelect: bytes(32) })
const pcrSelections = fc.array(pcrSelection, { maxLength: 16 })
const clockInfo = fc.record({ clock: u64, resetCount: u32, restartCount: u32, safe: fc.boolean() })
const timeInfo = fc.record({ time: u64, clockInfo })

const attested = <T extends number, A>(type: T, info: fc.Arbitrary<A>) =>
  fc.record({
    magic: fc.constant(TPM_GENERATED_VALUE),
    type: fc.constant(type),
    qualifiedSigner: bytes(66),
    extraData: bytes(66),
    clockInfo,
    firmwareVersion: u64,
    attested: info,
  })
const attest = fc.oneof(
  attested(TPM_ST.ATTEST_CERTIFY, fc.record({ name: bytes(66), qualifiedName: bytes(66) })),
  attested(TPM_ST.ATTEST_CREATION, fc.record({ objectName: bytes(66), creationHash: bytes(64) })),
  attested(TPM_ST.ATTEST_QUOTE, fc.record({ pcrSelect: pcrSelections, pcrDigest: bytes(64) })),
  attested(
    TPM_ST.ATTEST_COMMAND_AUDIT,
    fc.record({ auditCounter: u64, digestAlg: u16, auditDigest: bytes(64), commandDigest: bytes(64) }),
  ),
  attested(
    TPM_ST.ATTEST_SESSION_AUDIT,
    fc.record({ exclusiveSession: fc.boolean(), sessionDigest: bytes(64) }),
  ),
  attested(TPM_ST.ATTEST_TIME, fc.record({ time: timeInfo, firmwareVersion: u64 })),
  attested(TPM_ST.ATTEST_NV, fc.record({ indexName: bytes(66), offset: u16, nvContents: bytes(1024) })),
  attested(TPM_ST.ATTEST_NV_DIGEST, fc.record({ indexName: bytes(66), nvDigest: bytes(64) })),
)

const ticket = <const T extends number>(...tags: readonly T[]) =>
  fc.record({ tag: fc.constantFrom(...tags), hierarchy, digest: bytes(64) })
const nvPublic = fc.record({
  nvIndex: fc.integer({ min: 0x01000000, max: 0x01ffffff }),
  nameAlg: hash,
  attributes: nvAttributes,
  authPolicy: bytes(64),
  dataSize: fc.nat({ max: 2048 }),
})
const creationData = fc.record({
  pcrSelect: pcrSelections,
  pcrDigest: bytes(64),
  locality: u8,
  parentNameAlg: u16,
  parentName: bytes(66),
  parentQualifiedName: bytes(66),
  outsideInfo: bytes(66),
})

const algProperty = fc.record({ alg: u16, algProperties: algAttributes })
const taggedProperty = fc.record({ property: u32, value: u32 })
const taggedPcrs = fc.record({ tag: u32, pcrSelect: bytes(32) })
const taggedPolicy = fc.record({ handle: u32, policyHash: tagged(hashOrNull) })
const actData = fc.record({ handle: u32, timeout: u32, attributes: u32 })
const upTo = <T>(item: fc.Arbitrary<T>, max: number) => fc.array(item, { maxLength: max, size: 'max' })
const capability = <const C extends number, T>(items: fc.Arbitrary<T[]>, ...capabilities: readonly C[]) =>
  fc.record({ capability: fc.constantFrom(...capabilities), data: items })
const capabilityData = fc.oneof(
  capability(upTo(algProperty, 127), TPM_CAP.ALGS),
  capability(upTo(u32, 254), TPM_CAP.HANDLES, TPM_CAP.COMMANDS, TPM_CAP.PP_COMMANDS, TPM_CAP.AUDIT_COMMANDS),
  capability(pcrSelections, TPM_CAP.PCRS),
  capability(upTo(taggedProperty, 127), TPM_CAP.TPM_PROPERTIES),
  capability(upTo(taggedPcrs, 127), TPM_CAP.PCR_PROPERTIES),
  capability(upTo(u16, 508), TPM_CAP.ECC_CURVES),
  capability(upTo(taggedPolicy, 14), TPM_CAP.AUTH_POLICIES),
  capability(upTo(actData, 84), TPM_CAP.ACT),
)

const integers = {
  UINT8: sample(tpm2.UINT8, u8),
  UINT16: sample(tpm2.UINT16, u16),
  UINT32: sample(tpm2.UINT32, u32),
  UINT64: sample(tpm2.UINT64, u64),
  INT8: sample(tpm2.INT8, fc.integer({ min: -0x80, max: 0x7f })),
  INT32: sample(tpm2.INT32, fc.integer()),
  TPMI_YES_NO: sample(tpm2.TPMI_YES_NO, fc.boolean()),
  TPMA_ALGORITHM_BITS: sample(tpm2.TPMA_ALGORITHM_BITS, algAttributes),
  TPMA_LOCALITY_BITS: sample(tpm2.TPMA_LOCALITY_BITS, u8),
  TPMA_NV_BITS: sample(tpm2.TPMA_NV_BITS, nvAttributes),
  TPMA_OBJECT_BITS: sample(tpm2.TPMA_OBJECT_BITS, objectAttributes),
  TPMA_SESSION_BITS: sample(tpm2.TPMA_SESSION_BITS, sessionAttributes),
}

const choices = {
  CAPABILITY: sample(tpm2.CAPABILITY, fc.constantFrom(...Object.values(TPM_CAP))),
  CLOCK_ADJUSTMENT: sample(tpm2.CLOCK_ADJUSTMENT, fc.constantFrom(...Object.values(TPM_CLOCK_ADJUST))),
  COMPARISON: sample(tpm2.COMPARISON, fc.constantFrom(...Object.values(TPM_EO))),
  SESSION_TYPE: sample(tpm2.SESSION_TYPE, fc.constantFrom(...Object.values(TPM_SE))),
  STARTUP_TYPE: sample(tpm2.STARTUP_TYPE, fc.constantFrom(...Object.values(TPM_SU))),
  TPMI_ALG_CIPHER_MODE_PLUS: sample(tpm2.TPMI_ALG_CIPHER_MODE_PLUS, cipherMode),
  TPMI_ALG_HASH: sample(tpm2.TPMI_ALG_HASH, hash),
  TPMI_ALG_HASH_PLUS: sample(tpm2.TPMI_ALG_HASH_PLUS, hashOrNull),
  TPMI_ALG_KDF_PLUS: sample(tpm2.TPMI_ALG_KDF_PLUS, kdf),
  TPMI_ALG_PUBLIC: sample(
    tpm2.TPMI_ALG_PUBLIC,
    fc.constantFrom(TPM_ALG.RSA, TPM_ALG.ECC, TPM_ALG.KEYEDHASH, TPM_ALG.SYMCIPHER),
  ),
  TPMI_ALG_SYM_MODE_PLUS: sample(tpm2.TPMI_ALG_SYM_MODE_PLUS, mode),
  TPMI_ALG_SYM_OBJECT: sample(
    tpm2.TPMI_ALG_SYM_OBJECT,
    fc.constantFrom(TPM_ALG.TDES, TPM_ALG.AES, TPM_ALG.SM4, TPM_ALG.CAMELLIA),
  ),
  TPMI_ECC_CURVE: sample(tpm2.TPMI_ECC_CURVE, curveID),
  TPMI_ECC_KEY_EXCHANGE: sample(
    tpm2.TPMI_ECC_KEY_EXCHANGE,
    fc.constantFrom(TPM_ALG.ECDH, TPM_ALG.ECMQV, TPM_ALG.SM2),
  ),
  TPMI_RSA_KEY_BITS: sample(tpm2.TPMI_RSA_KEY_BITS, keyBits),
}

const buffers = {
  TPM2B_ATTEST: sample(tpm2.TPM2B_ATTEST, bytes(1263)),
  TPM2B_AUTH: sample(tpm2.TPM2B_AUTH, bytes(64)),
  TPM2B_CONTEXT_DATA: sample(tpm2.TPM2B_CONTEXT_DATA, bytes(5188)),
  TPM2B_DATA: sample(tpm2.TPM2B_DATA, bytes(66)),
  TPM2B_DIGEST: sample(tpm2.TPM2B_DIGEST, bytes(64)),
  TPM2B_ECC_PARAMETER: sample(tpm2.TPM2B_ECC_PARAMETER, bytes(80)),
  TPM2B_ENCRYPTED_SECRET: sample(tpm2.TPM2B_ENCRYPTED_SECRET, bytes(512)),
  TPM2B_EVENT: sample(tpm2.TPM2B_EVENT, bytes(1024)),
  TPM2B_ID_OBJECT: sample(tpm2.TPM2B_ID_OBJECT, bytes(132)),
  TPM2B_IV: sample(tpm2.TPM2B_IV, bytes(16)),
  TPM2B_LABEL: sample(tpm2.TPM2B_LABEL, bytes(32)),
  TPM2B_MAX_BUFFER: sample(tpm2.TPM2B_MAX_BUFFER, bytes(1024)),
  TPM2B_MAX_NV_BUFFER: sample(tpm2.TPM2B_MAX_NV_BUFFER, bytes(1024)),
  TPM2B_NAME: sample(tpm2.TPM2B_NAME, bytes(66)),
  TPM2B_NONCE: sample(tpm2.TPM2B_NONCE, bytes(64)),
  TPM2B_OPERAND: sample(tpm2.TPM2B_OPERAND, bytes(64)),
  TPM2B_PRIVATE: sample(tpm2.TPM2B_PRIVATE, bytes(1550)),
  TPM2B_PRIVATE_KEY_RSA: sample(tpm2.TPM2B_PRIVATE_KEY_RSA, bytes(1280)),
  TPM2B_PUBLIC_KEY_RSA: sample(tpm2.TPM2B_PUBLIC_KEY_RSA, bytes(512)),
  TPM2B_SENSITIVE_DATA: sample(tpm2.TPM2B_SENSITIVE_DATA, bytes(128)),
  TPM2B_SYM_KEY: sample(tpm2.TPM2B_SYM_KEY, bytes(32)),
  TPM2B_TEMPLATE: sample(tpm2.TPM2B_TEMPLATE, bytes(606)),
  TPM2B_TIMEOUT: sample(tpm2.TPM2B_TIMEOUT, bytes(8)),
}

const lists = {
  TPML_ACT_DATA: sample(tpm2.TPML_ACT_DATA, upTo(actData, 84)),
  TPML_ALG: sample(tpm2.TPML_ALG, upTo(u16, 64)),
  TPML_ALG_PROPERTY: sample(tpm2.TPML_ALG_PROPERTY, upTo(algProperty, 127)),
  TPML_CC: sample(tpm2.TPML_CC, upTo(u32, 254)),
  TPML_CCA: sample(tpm2.TPML_CCA, upTo(u32, 254)),
  TPML_DIGEST: sample(tpm2.TPML_DIGEST, upTo(bytes(64), 8)),
  TPML_DIGEST_OR: sample(tpm2.TPML_DIGEST_OR, fc.array(bytes(64), { minLength: 2, maxLength: 8 })),
  TPML_DIGEST_VALUES: sample(tpm2.TPML_DIGEST_VALUES, upTo(tagged(hash), 16)),
  TPML_ECC_CURVE: sample(tpm2.TPML_ECC_CURVE, upTo(u16, 508)),
  TPML_HANDLE: sample(tpm2.TPML_HANDLE, upTo(u32, 254)),
  TPML_PCR_SELECTION: sample(tpm2.TPML_PCR_SELECTION, pcrSelections),
  TPML_TAGGED_PCR_PROPERTY: sample(tpm2.TPML_TAGGED_PCR_PROPERTY, upTo(taggedPcrs, 127)),
  TPML_TAGGED_POLICY: sample(tpm2.TPML_TAGGED_POLICY, upTo(taggedPolicy, 14)),
  TPML_TAGGED_TPM_PROPERTY: sample(tpm2.TPML_TAGGED_TPM_PROPERTY, upTo(taggedProperty, 127)),
  TPMS_ACT_DATA: sample(tpm2.TPMS_ACT_DATA, actData),
  TPMS_ALG_PROPERTY: sample(tpm2.TPMS_ALG_PROPERTY, algProperty),
  TPMS_CAPABILITY_DATA: sample(tpm2.TPMS_CAPABILITY_DATA, capabilityData),
  TPMS_PCR_SELECTION: sample(tpm2.TPMS_PCR_SELECTION, pcrSelection),
  TPMS_TAGGED_PCR_SELECT: sample(tpm2.TPMS_TAGGED_PCR_SELECT, taggedPcrs),
  TPMS_TAGGED_POLICY: sample(tpm2.TPMS_TAGGED_POLICY, taggedPolicy),
  TPMS_TAGGED_PROPERTY: sample(tpm2.TPMS_TAGGED_PROPERTY, taggedProperty),
}

const algorithms = {
  TPMT_ASYM_SCHEME: sample(
    tpm2.TPMT_ASYM_SCHEME,
    fc.oneof(none, rsaSignature, eccSignature, rsaEncryption, exchange),
  ),
  TPMT_ECC_SCHEME: sample(tpm2.TPMT_ECC_SCHEME, eccScheme),
  TPMT_HA: sample(tpm2.TPMT_HA, tagged(hash)),
  TPMT_HA_PLUS: sample(tpm2.TPMT_HA_PLUS, tagged(hashOrNull)),
  TPMT_KDF_SCHEME: sample(tpm2.TPMT_KDF_SCHEME, kdfScheme),
  TPMT_KEYEDHASH_SCHEME: sample(tpm2.TPMT_KEYEDHASH_SCHEME, keyedHashScheme),
  TPMT_RSA_DECRYPT: sample(tpm2.TPMT_RSA_DECRYPT, fc.oneof(none, rsaEncryption)),
  TPMT_RSA_SCHEME: sample(tpm2.TPMT_RSA_SCHEME, rsaScheme),
  TPMT_SIG_SCHEME_PLUS: sample(
    tpm2.TPMT_SIG_SCHEME_PLUS,
    fc.oneof(none, rsaSignature, eccSignature, hashed(TPM_ALG.HMAC)),
  ),
  TPMT_SIGNATURE: sample(tpm2.TPMT_SIGNATURE, signature),
  TPMT_SIGNATURE_PLUS: sample(tpm2.TPMT_SIGNATURE_PLUS, fc.oneof(signature, fc.constant({ sigAlg: NULL }))),
  TPMT_SYM_DEF: sample(tpm2.TPMT_SYM_DEF, symDef),
  TPMT_SYM_DEF_OBJECT: sample(tpm2.TPMT_SYM_DEF_OBJECT, cipher),
  TPMT_SYM_DEF_OBJECT_PLUS: sample(tpm2.TPMT_SYM_DEF_OBJECT_PLUS, cipherOrNull),
  TPMS_ALGORITHM_DETAIL_ECC: sample(tpm2.TPMS_ALGORITHM_DETAIL_ECC, eccDetail),
}

const structures = {
  TPM2B_CREATION_DATA: sample(tpm2.TPM2B_CREATION_DATA, creationData),
  TPM2B_ECC_POINT: sample(tpm2.TPM2B_ECC_POINT, point),
  TPM2B_NV_PUBLIC: sample(tpm2.TPM2B_NV_PUBLIC, nvPublic),
  TPM2B_PUBLIC: sample(tpm2.TPM2B_PUBLIC, publicArea(hash)),
  TPM2B_PUBLIC_PLUS: sample(tpm2.TPM2B_PUBLIC_PLUS, publicArea(hashOrNull)),
  TPM2B_SENSITIVE: sample(tpm2.TPM2B_SENSITIVE, sensitive),
  TPM2B_SENSITIVE_CREATE: sample(tpm2.TPM2B_SENSITIVE_CREATE, sensitiveCreate),
  TPM2B_SENSITIVE_OPTIONAL: sample(
    tpm2.TPM2B_SENSITIVE_OPTIONAL,
    fc.oneof(sensitive, fc.constant(undefined)),
  ),
  TPMS_ATTEST: sample(tpm2.TPMS_ATTEST, attest),
  TPMS_AUTH_COMMAND: sample(
    tpm2.TPMS_AUTH_COMMAND,
    fc.record({
      sessionHandle: fc.oneof(session, fc.constant(TPM_RS_PW)),
      nonce: bytes(64),
      sessionAttributes,
      hmac: bytes(64),
    }),
  ),
  TPMS_AUTH_RESPONSE: sample(
    tpm2.TPMS_AUTH_RESPONSE,
    fc.record({ nonce: bytes(64), sessionAttributes, hmac: bytes(64) }),
  ),
  TPMS_CLOCK_INFO: sample(tpm2.TPMS_CLOCK_INFO, clockInfo),
  TPMS_CONTEXT: sample(
    tpm2.TPMS_CONTEXT,
    fc.record({
      sequence: u64,
      savedHandle: fc.oneof(session, fc.constantFrom(0x80000000, 0x80000001, 0x80000002)),
      hierarchy,
      contextBlob: bytes(5188),
    }),
  ),
  TPMS_CREATION_DATA: sample(tpm2.TPMS_CREATION_DATA, creationData),
  TPMS_DERIVE: sample(tpm2.TPMS_DERIVE, derive),
  TPMS_ECC_POINT: sample(tpm2.TPMS_ECC_POINT, point),
  TPMS_EMPTY: sample(tpm2.TPMS_EMPTY, fc.constant({})),
  TPMS_NV_PIN_COUNTER_PARAMETERS: sample(
    tpm2.TPMS_NV_PIN_COUNTER_PARAMETERS,
    fc.record({ pinCount: u32, pinLimit: u32 }),
  ),
  TPMS_NV_PUBLIC: sample(tpm2.TPMS_NV_PUBLIC, nvPublic),
  TPMS_SENSITIVE_CREATE: sample(tpm2.TPMS_SENSITIVE_CREATE, sensitiveCreate),
  TPMS_TIME_INFO: sample(tpm2.TPMS_TIME_INFO, timeInfo),
  TPMT_PUBLIC: sample(tpm2.TPMT_PUBLIC, publicArea(hash)),
  TPMT_PUBLIC_PARMS: sample(tpm2.TPMT_PUBLIC_PARMS, publicParms),
  TPMT_PUBLIC_PLUS: sample(tpm2.TPMT_PUBLIC_PLUS, publicArea(hashOrNull)),
  TPMT_SENSITIVE: sample(tpm2.TPMT_SENSITIVE, sensitive),
  TPMT_TEMPLATE: sample(tpm2.TPMT_TEMPLATE, template),
  TPMT_TK_AUTH: sample(tpm2.TPMT_TK_AUTH, ticket(TPM_ST.AUTH_SIGNED, TPM_ST.AUTH_SECRET)),
  TPMT_TK_CREATION: sample(tpm2.TPMT_TK_CREATION, ticket(TPM_ST.CREATION)),
  TPMT_TK_HASHCHECK: sample(tpm2.TPMT_TK_HASHCHECK, ticket(TPM_ST.HASHCHECK)),
  TPMT_TK_VERIFIED: sample(tpm2.TPMT_TK_VERIFIED, ticket(TPM_ST.VERIFIED)),
}

/** Every exported codec's values, by the codec's export. */
export const SAMPLES: Readonly<Record<string, Sample>> = {
  ...integers,
  ...choices,
  ...buffers,
  ...lists,
  ...algorithms,
  ...structures,
}
