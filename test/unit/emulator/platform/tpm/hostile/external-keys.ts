// Commands that use an object from outside as a key: they sign, attest, encrypt and agree with it.

import {
  TPM2_Certify,
  TPM2_CertifyCreation,
  TPM2_Commit,
  TPM2_ECDH_KeyGen,
  TPM2_ECDH_ZGen,
  TPM2_EncryptDecrypt,
  TPM2_EncryptDecrypt2,
  TPM2_EventSequenceComplete,
  TPM2_GetCommandAuditDigest,
  TPM2_GetSessionAuditDigest,
  TPM2_GetTime,
  TPM2_HMAC,
  TPM2_HMAC_Start,
  TPM2_NV_Certify,
  TPM2_PolicySigned,
  TPM2_Quote,
  TPM2_RSA_Decrypt,
  TPM2_RSA_Encrypt,
  TPM2_SequenceComplete,
  TPM2_SequenceUpdate,
  TPM2_Sign,
  TPM2_VerifySignature,
  TPM2_ZGen_2Phase,
  TPM_ALG,
  TPM_ECC,
  TPM_RH,
  TPM_ST,
} from '../../../../../../sdk/tpm2/index.ts'
import { NONE, NV_INDEX, utf8 } from '../powered.ts'
import {
  attestation,
  cipher,
  CURVES,
  encryption,
  hashAlgOf,
  label,
  message,
  ONE,
  pointOf,
  scalar,
  signature,
  signing,
  TWO,
  use,
  type Use,
} from './external-bench.ts'

const UNCHECKED = { tag: TPM_ST.HASHCHECK, hierarchy: TPM_RH.NULL, digest: NONE } as const

const SIGNING: readonly Use[] = [
  use(
    TPM2_Sign,
    ({ handle }) => ({
      keyHandle: handle,
      digest: new Uint8Array(32),
      inScheme: { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA256 },
      validation: UNCHECKED,
    }),
    ONE,
  ),
  use(
    TPM2_Sign,
    ({ handle, chance }) => ({
      keyHandle: handle,
      digest: chance.bytes(chance.of(32, 32, 20, 48, 64)),
      inScheme: signing(chance),
      validation: UNCHECKED,
    }),
    ONE,
  ),
  use(TPM2_VerifySignature, ({ handle, chance }) => ({
    keyHandle: handle,
    digest: chance.bytes(chance.of(0, 20, 32, 64)),
    signature: signature(chance),
  })),
  use(TPM2_PolicySigned, ({ bench, handle, chance }) => ({
    authObject: handle,
    policySession: bench.policySession(),
    nonceTPM: NONE,
    cpHashA: NONE,
    policyRef: NONE,
    expiration: 0,
    auth: signature(chance),
  })),
  use(
    TPM2_Commit,
    (target) => ({
      signHandle: target.handle,
      P1: pointOf(target),
      s2: target.chance.of(NONE, utf8('ab')),
      y2: scalar(target.chance),
    }),
    ONE,
  ),
  use(
    TPM2_Commit,
    ({ handle }) => ({ signHandle: handle, P1: { x: NONE, y: NONE }, s2: NONE, y2: NONE }),
    ONE,
  ),
  use(
    TPM2_Commit,
    ({ handle }) => ({ signHandle: handle, P1: { x: NONE, y: NONE }, s2: utf8('a'), y2: new Uint8Array(32) }),
    ONE,
  ),
]

const ATTESTATION: readonly Use[] = [
  use(
    TPM2_Certify,
    (target) => ({ objectHandle: target.handle, signHandle: TPM_RH.NULL, ...attestation(target) }),
    TWO,
  ),
  use(
    TPM2_Certify,
    (target) => ({ objectHandle: target.bench.parent, signHandle: target.handle, ...attestation(target) }),
    TWO,
  ),
  use(
    TPM2_CertifyCreation,
    (target) => ({
      signHandle: TPM_RH.NULL,
      objectHandle: target.handle,
      ...attestation(target),
      creationHash: new Uint8Array(32),
      creationTicket: { tag: TPM_ST.CREATION, hierarchy: TPM_RH.NULL, digest: new Uint8Array(64) },
    }),
    ONE,
  ),
  use(TPM2_Quote, (target) => ({ signHandle: target.handle, ...attestation(target), PCRselect: [] }), ONE),
  use(
    TPM2_GetTime,
    (target) => ({
      privacyAdminHandle: TPM_RH.ENDORSEMENT,
      signHandle: target.handle,
      ...attestation(target),
    }),
    TWO,
  ),
  use(
    TPM2_GetCommandAuditDigest,
    (target) => ({ privacyHandle: TPM_RH.ENDORSEMENT, signHandle: target.handle, ...attestation(target) }),
    TWO,
  ),
  use(
    TPM2_GetSessionAuditDigest,
    (target) => ({
      privacyAdminHandle: TPM_RH.ENDORSEMENT,
      signHandle: target.handle,
      sessionHandle: target.bench.hmacSession(),
      ...attestation(target),
    }),
    TWO,
  ),
  use(
    TPM2_NV_Certify,
    (target) => ({
      signHandle: target.handle,
      authHandle: TPM_RH.OWNER,
      nvIndex: NV_INDEX,
      ...attestation(target),
      size: 8,
      offset: 0,
    }),
    TWO,
  ),
]

const CIPHERS: readonly Use[] = [
  use(TPM2_RSA_Encrypt, ({ handle, chance }) => ({
    keyHandle: handle,
    message: message(chance),
    inScheme: encryption(chance),
    label: label(chance),
  })),
  use(
    TPM2_RSA_Decrypt,
    ({ handle, chance }) => ({
      keyHandle: handle,
      cipherText: message(chance),
      inScheme: encryption(chance),
      label: label(chance),
    }),
    ONE,
  ),
  use(
    TPM2_RSA_Decrypt,
    ({ handle }) => ({
      keyHandle: handle,
      cipherText: new Uint8Array(256).fill(1),
      inScheme: { scheme: TPM_ALG.NULL },
      label: NONE,
    }),
    ONE,
  ),
  use(TPM2_ECDH_KeyGen, ({ handle }) => ({ keyHandle: handle })),
  use(
    TPM2_ECDH_ZGen,
    ({ bench, handle }) => ({ keyHandle: handle, inPoint: bench.ephemeral(TPM_ECC.NIST_P256).point }),
    ONE,
  ),
  use(TPM2_ECDH_ZGen, (target) => ({ keyHandle: target.handle, inPoint: pointOf(target) }), ONE),
  use(
    TPM2_ZGen_2Phase,
    (target) => ({
      keyA: target.handle,
      inQsB: pointOf(target),
      inQeB: pointOf(target),
      inScheme: target.chance.of(TPM_ALG.ECDH, TPM_ALG.ECMQV),
      counter: target.bench.ephemeral(target.chance.of(...CURVES)).counter,
    }),
    ONE,
  ),
  use(TPM2_EncryptDecrypt, (target) => ({ keyHandle: target.handle, ...cipher(target) }), ONE),
  use(
    TPM2_EncryptDecrypt2,
    ({ handle }) => ({
      keyHandle: handle,
      inData: utf8('text'),
      decrypt: false,
      mode: TPM_ALG.CFB,
      ivIn: new Uint8Array(16),
    }),
    ONE,
  ),
  use(TPM2_EncryptDecrypt2, (target) => ({ keyHandle: target.handle, ...cipher(target) }), ONE),
  use(
    TPM2_HMAC,
    ({ handle, chance }) => ({
      handle,
      buffer: utf8('b'),
      hashAlg: chance.of(TPM_ALG.NULL, TPM_ALG.NULL, hashAlgOf(chance)),
    }),
    ONE,
  ),
  use(
    TPM2_HMAC_Start,
    ({ handle, chance }) => ({
      handle,
      auth: NONE,
      hashAlg: chance.of(TPM_ALG.NULL, TPM_ALG.NULL, hashAlgOf(chance)),
    }),
    ONE,
  ),
  use(TPM2_SequenceUpdate, ({ handle }) => ({ sequenceHandle: handle, buffer: utf8('b') }), ONE),
  use(
    TPM2_SequenceComplete,
    ({ handle }) => ({ sequenceHandle: handle, buffer: utf8('b'), hierarchy: TPM_RH.NULL }),
    ONE,
  ),
  use(
    TPM2_EventSequenceComplete,
    ({ handle }) => ({ pcrHandle: 16, sequenceHandle: handle, buffer: utf8('b') }),
    TWO,
  ),
]

/** All of these. */
export const KEY_USES: readonly Use[] = [...SIGNING, ...ATTESTATION, ...CIPHERS]
