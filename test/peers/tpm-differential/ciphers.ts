// Encryption and key exchanges, on our TPM and on swtpm.

import {
  TPM2_Commit,
  TPM2_EC_Ephemeral,
  TPM2_ECC_Parameters,
  TPM2_ECDH_KeyGen,
  TPM2_ECDH_ZGen,
  TPM2_EncryptDecrypt,
  TPM2_EncryptDecrypt2,
  TPM2_RSA_Decrypt,
  TPM2_RSA_Encrypt,
  TPM2_Sign,
  TPM2_ZGen_2Phase,
  TPM_ALG,
  TPM_ECC,
} from '../../../sdk/tpm2/index.ts'
import {
  DECRYPT,
  flush,
  loadAes,
  loadEcc,
  loadKeyedHash,
  loadRsa,
  NONE,
  pointOf,
  SIGN,
  utf8,
} from '../../unit/emulator/platform/tpm/commands/crypto-rig.ts'
import {
  rsa,
  p256,
  p384,
  peer,
  SHA256,
  NO_SCHEME,
  NO_TICKET,
  digest,
  auth,
  type Case,
  outcome,
  code,
  type Call,
  each,
  raw,
} from './common.ts'

const MODES = [TPM_ALG.CFB, TPM_ALG.CBC, TPM_ALG.CTR, TPM_ALG.OFB, TPM_ALG.ECB]

export const symmetric: readonly Case[] = [
  [
    'AES in every mode, both ways, with and without whole blocks',
    async (client) => {
      const found: unknown[] = []
      for (const keyBytes of [16, 32]) {
        const secret = new Uint8Array(keyBytes).fill(3)
        const key = await loadAes(client, secret, SIGN | DECRYPT, TPM_ALG.NULL)
        for (const mode of [...MODES, TPM_ALG.NULL]) {
          for (const length of [0, 1, 16, 33, 1024]) {
            for (const decrypt of [false, true]) {
              const ivIn = mode === TPM_ALG.ECB ? NONE : new Uint8Array(16).fill(0xff)
              const inData = new Uint8Array(length).map((_, at) => at)
              const request = { keyHandle: key.handle, decrypt, mode, ivIn, inData }
              const result = await outcome(client.call(TPM2_EncryptDecrypt2, request, auth))
              // After a partial block nothing can follow: the chain then is what each implementation happens to have.
              const chained = mode !== TPM_ALG.CFB || length % 16 === 0
              found.push(
                chained || typeof result === 'string' ? result : (result as { outData: Uint8Array }).outData,
              )
            }
          }
        }
        await flush(client, key.handle)
      }
      return found
    },
  ],
  [
    'what a symmetric key refuses',
    async (client) => {
      const sign = await loadAes(client, new Uint8Array(16), SIGN, TPM_ALG.CFB)
      const hmac = await loadKeyedHash(client, utf8('key'), SIGN)
      const base = {
        keyHandle: sign.handle,
        decrypt: false,
        mode: TPM_ALG.NULL,
        ivIn: new Uint8Array(16),
        inData: new Uint8Array(16),
      }
      const found: unknown[] = []
      for (const row of [TPM2_EncryptDecrypt, TPM2_EncryptDecrypt2]) {
        found.push(
          await each(
            client,
            [
              [row, base, auth],
              [row, { ...base, decrypt: true }, auth],
              [row, { ...base, mode: TPM_ALG.CBC }, auth],
              [row, { ...base, mode: TPM_ALG.CFB }, auth],
              [row, { ...base, mode: TPM_ALG.CBC, inData: NONE }, auth],
              [row, { ...base, ivIn: NONE }, auth],
              [row, { ...base, ivIn: new Uint8Array(15) }, auth],
              [row, { ...base, keyHandle: hmac.handle }, auth],
            ],
            outcome,
          ),
        )
      }
      await flush(client, sign.handle, hmac.handle)
      return found
    },
  ],
]

export const asymmetric: readonly Case[] = [
  [
    'RSA encryption without padding',
    async (client) => {
      const { handle: keyHandle } = await loadRsa(client, rsa, DECRYPT)
      const call = (message: Uint8Array): Call => [
        TPM2_RSA_Encrypt,
        { keyHandle, message, inScheme: NO_SCHEME, label: NONE },
      ]
      const found = await each(
        client,
        [call(utf8('abc')), call(new Uint8Array(256).fill(7)), call(NONE)],
        outcome,
      )
      const decrypt = { keyHandle, cipherText: new Uint8Array(256).fill(7), inScheme: NO_SCHEME, label: NONE }
      found.push(await outcome(client.call(TPM2_RSA_Decrypt, decrypt, auth)))
      await flush(client, keyHandle)
      return found
    },
  ],
  [
    'RSA encryption: codes',
    async (client) => {
      const { handle: keyHandle } = await loadRsa(client, rsa, DECRYPT)
      const { handle: fixed } = await loadRsa(client, rsa, DECRYPT, { scheme: TPM_ALG.OAEP, hashAlg: SHA256 })
      const { handle: signs } = await loadRsa(client, rsa, SIGN)
      const rsaes = { scheme: TPM_ALG.RSAES } as const
      const oaep = { scheme: TPM_ALG.OAEP, hashAlg: SHA256 } as const
      const encrypt = { keyHandle, message: utf8('abc'), inScheme: rsaes, label: NONE }
      const decrypt = { keyHandle, cipherText: new Uint8Array(256).fill(7), inScheme: rsaes, label: NONE }
      const found = await each(
        client,
        [
          [TPM2_RSA_Encrypt, encrypt],
          [TPM2_RSA_Encrypt, { ...encrypt, inScheme: oaep, label: utf8('L\0') }],
          [TPM2_RSA_Encrypt, { ...encrypt, inScheme: oaep, label: utf8('L') }],
          [TPM2_RSA_Encrypt, { ...encrypt, label: utf8('L') }],
          [TPM2_RSA_Encrypt, { ...encrypt, keyHandle: signs }],
          [TPM2_RSA_Encrypt, { ...encrypt, keyHandle: fixed }],
          [TPM2_RSA_Encrypt, { ...encrypt, keyHandle: fixed, inScheme: { ...oaep, hashAlg: TPM_ALG.SHA1 } }],
          [TPM2_RSA_Encrypt, { ...encrypt, keyHandle: fixed, inScheme: NO_SCHEME }],
          [TPM2_RSA_Decrypt, { ...decrypt, cipherText: new Uint8Array(255) }, auth],
          [TPM2_RSA_Decrypt, { ...decrypt, keyHandle: signs }, auth],
          [TPM2_RSA_Decrypt, { ...decrypt, keyHandle: fixed }, auth],
          [TPM2_RSA_Decrypt, { ...decrypt, label: utf8('L') }, auth],
        ],
        code,
      )
      await flush(client, keyHandle, fixed, signs)
      return found
    },
  ],
  [
    'ECDH',
    async (client) => {
      const { handle: keyHandle } = await loadEcc(client, p256, DECRYPT)
      const { handle: larger } = await loadEcc(client, p384, DECRYPT)
      const { handle: signs } = await loadEcc(client, p256, SIGN)
      const inPoint = pointOf(peer)
      const found = await each(
        client,
        [
          [TPM2_ECDH_ZGen, { keyHandle, inPoint }, auth],
          [TPM2_ECDH_ZGen, { keyHandle, inPoint: pointOf(p256) }, auth],
          [TPM2_ECDH_ZGen, { keyHandle, inPoint: { ...inPoint, y: inPoint.x } }, auth],
          [TPM2_ECDH_ZGen, { keyHandle, inPoint: { x: NONE, y: NONE } }, auth],
          [TPM2_ECDH_ZGen, { keyHandle: larger, inPoint }, auth],
          [TPM2_ECDH_ZGen, { keyHandle: larger, inPoint: pointOf(p384) }, auth],
          [TPM2_ECDH_ZGen, { keyHandle: signs, inPoint }, auth],
        ],
        outcome,
      )
      found.push(await code(client.call(TPM2_ECDH_KeyGen, { keyHandle })))
      found.push(await code(client.call(TPM2_ECDH_KeyGen, { keyHandle: signs })))
      found.push(await raw(client, TPM2_ECDH_ZGen, { keyHandle }, Uint8Array.of(0, 0)))
      await flush(client, keyHandle, larger, signs)
      return found
    },
  ],
  [
    'parameters of curves',
    (client) =>
      each(
        client,
        [TPM_ECC.NIST_P256, TPM_ECC.NIST_P384, TPM_ECC.NIST_P521].map((curveID) => [
          TPM2_ECC_Parameters,
          { curveID },
        ]),
        outcome,
      ),
  ],
  [
    'a curve that is unknown',
    async (client) => [
      await raw(client, TPM2_ECC_Parameters, {}, Uint8Array.of(0, 0x55)),
      await raw(client, TPM2_EC_Ephemeral, {}, Uint8Array.of(0, 0x55)),
    ],
  ],
]

export const exchanges: readonly Case[] = [
  [
    'two-phase exchanges',
    async (client) => {
      const { handle: keyA } = await loadEcc(client, p256, DECRYPT)
      const { handle: signs } = await loadEcc(client, p256, SIGN)
      const { handle: ecdh } = await loadEcc(client, p256, DECRYPT, { scheme: TPM_ALG.ECDH, hashAlg: SHA256 })
      const { counter } = await client.call(TPM2_EC_Ephemeral, { curveID: TPM_ECC.NIST_P256 })
      const [inQsB, inQeB] = [pointOf(peer), pointOf(p256)]
      const request = { keyA, inQsB, inQeB, inScheme: TPM_ALG.ECDH, counter }
      const found = await each(
        client,
        [
          [TPM2_ZGen_2Phase, { ...request, keyA: signs }, auth],
          [TPM2_ZGen_2Phase, { ...request, keyA: ecdh, inScheme: TPM_ALG.ECMQV }, auth],
          [TPM2_ZGen_2Phase, { ...request, inQsB: { x: inQsB.x, y: inQsB.x } }, auth],
          [TPM2_ZGen_2Phase, { ...request, inQeB: { x: inQeB.x, y: inQeB.x } }, auth],
          [TPM2_ZGen_2Phase, { ...request, counter: counter + 1 }, auth],
          [TPM2_ZGen_2Phase, request, auth],
          [TPM2_ZGen_2Phase, request, auth],
        ],
        code,
      )
      await flush(client, keyA, signs, ecdh)
      return found
    },
  ],
  [
    'commits',
    async (client) => {
      const ecdaa = { scheme: TPM_ALG.ECDAA, hashAlg: SHA256, count: 0 } as const
      const { handle: signHandle } = await loadEcc(client, p256, SIGN, ecdaa)
      const { handle: ecdsa } = await loadEcc(client, p256, SIGN, { scheme: TPM_ALG.ECDSA, hashAlg: SHA256 })
      const { handle: rsaKey } = await loadRsa(client, rsa, SIGN)
      const P1 = pointOf(peer)
      const request = { signHandle, P1, s2: NONE, y2: NONE }
      const found = await each(
        client,
        [
          [TPM2_Commit, request, auth],
          [TPM2_Commit, { ...request, P1: { x: NONE, y: NONE } }, auth],
          [TPM2_Commit, { ...request, P1: { x: P1.x, y: P1.x } }, auth],
          [TPM2_Commit, { ...request, s2: utf8('s') }, auth],
          [TPM2_Commit, { ...request, y2: P1.y }, auth],
          [TPM2_Commit, { ...request, s2: utf8('s'), y2: P1.y }, auth],
          [TPM2_Commit, { ...request, signHandle: ecdsa }, auth],
          [TPM2_Commit, { ...request, signHandle: rsaKey }, auth],
        ],
        code,
      )
      const { counter } = await client.call(TPM2_Commit, request, auth)
      const sign = {
        keyHandle: signHandle,
        digest,
        inScheme: { ...ecdaa, count: counter },
        validation: NO_TICKET,
      }
      found.push(
        ...(await each(
          client,
          [
            [TPM2_Sign, { ...sign, inScheme: NO_SCHEME }, auth],
            [TPM2_Sign, { ...sign, inScheme: { ...ecdaa, count: counter + 5 } }, auth],
            [TPM2_Sign, sign, auth],
            [TPM2_Sign, sign, auth],
          ],
          code,
        )),
      )
      await flush(client, signHandle, ecdsa, rsaKey)
      return found
    },
  ],
]
