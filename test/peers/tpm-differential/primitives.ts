// Hashes, HMACs, sequences, random bytes and self-tests, on our TPM and on swtpm.

import type { TpmClient } from '../../../sdk/tpm2/index.ts'
import {
  TPM2_Commit,
  TPM2_ECDH_KeyGen,
  TPM2_ECDH_ZGen,
  TPM2_EncryptDecrypt2,
  TPM2_EventSequenceComplete,
  TPM2_Hash,
  TPM2_HashSequenceStart,
  TPM2_HMAC,
  TPM2_HMAC_Start,
  TPM2_Quote,
  TPM2_RSA_Decrypt,
  TPM2_RSA_Encrypt,
  TPM2_SequenceComplete,
  TPM2_SequenceUpdate,
  TPM2_GetRandom,
  TPM2_GetTestResult,
  TPM2_IncrementalSelfTest,
  TPM2_SelfTest,
  TPM2_Sign,
  TPM2_VerifySignature,
  TPM_ALG,
  TPM_RH,
  TPMA_OBJECT,
} from '../../../sdk/tpm2/index.ts'
import {
  DECRYPT,
  flush,
  loadKeyedHash,
  NONE,
  pointOf,
  SIGN,
  utf8,
} from '../../unit/emulator/platform/tpm/commands/crypto-rig.ts'
import {
  peer,
  SHA256,
  NO_SCHEME,
  NO_TICKET,
  digest,
  auth,
  two,
  type Case,
  outcome,
  code,
  type Call,
  each,
  raw,
  MAGIC,
} from './common.ts'

export const primitives: readonly Case[] = [
  [
    'hashes',
    (client) =>
      each(
        client,
        [TPM_ALG.SHA1, SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512].map((hashAlg) => [
          TPM2_Hash,
          { data: utf8('abc'), hashAlg, hierarchy: TPM_RH.NULL },
        ]),
        outcome,
      ),
  ],
  [
    'which hashes get tickets',
    async (client) => {
      const datas = [
        NONE,
        utf8('abc'),
        utf8('abcd'),
        Uint8Array.of(0xff, 0x54, 0x43, 0x47),
        Uint8Array.of(0xff, 0x54, 0x43),
      ]
      const lengths: unknown[] = []
      for (const data of datas) {
        const { validation } = await client.call(TPM2_Hash, {
          data,
          hashAlg: SHA256,
          hierarchy: TPM_RH.OWNER,
        })
        lengths.push([validation.hierarchy, validation.digest.length])
      }
      return lengths
    },
  ],
  [
    'hashes of unknown algorithms',
    (client) => raw(client, TPM2_Hash, {}, Uint8Array.of(0, 0, 0, 0x99, 0x40, 0, 0, 7)),
  ],
  [
    'HMACs, by key and hash',
    async (client) => {
      const key = await loadKeyedHash(client, utf8('key'), SIGN)
      const open = await loadKeyedHash(client, utf8('key'), SIGN | DECRYPT, NO_SCHEME)
      const data = await loadKeyedHash(client, utf8('data'), TPMA_OBJECT.userWithAuth, NO_SCHEME)
      const buffer = utf8('message')
      const calls: Call[] = [
        [TPM2_HMAC, { handle: key.handle, buffer, hashAlg: TPM_ALG.NULL }, auth],
        [TPM2_HMAC, { handle: key.handle, buffer, hashAlg: SHA256 }, auth],
        [TPM2_HMAC, { handle: open.handle, buffer, hashAlg: TPM_ALG.SHA384 }, auth],
        [TPM2_HMAC, { handle: data.handle, buffer, hashAlg: SHA256 }, auth],
      ]
      const found = await each(client, calls, outcome)
      await flush(client, key.handle, open.handle, data.handle)
      return found
    },
  ],
]

/** Sequences: start, feed, end. */
async function sequence(client: TpmClient, hashAlg: number, parts: readonly Uint8Array[], hierarchy: number) {
  const { sequenceHandle } = await client.call(TPM2_HashSequenceStart, { auth: NONE, hashAlg })
  for (const buffer of parts.slice(0, -1))
    await client.call(TPM2_SequenceUpdate, { sequenceHandle, buffer }, auth)
  const buffer = parts.at(-1) ?? NONE
  const { result, validation } = await client.call(
    TPM2_SequenceComplete,
    { sequenceHandle, buffer, hierarchy },
    auth,
  )
  return { result, ticket: [validation.hierarchy, validation.digest.length] }
}

export const sequences: readonly Case[] = [
  [
    'hash sequences and their tickets',
    async (client) => {
      const inputs = [
        [utf8('abcd'), utf8('e')],
        [utf8('abcd')],
        [utf8('ab'), utf8('cd')],
        [NONE, utf8('abcd')],
        [MAGIC, NONE],
        [NONE],
        [MAGIC.slice(0, 2), MAGIC.slice(2)],
        [new Uint8Array(1024).fill(1), new Uint8Array(1000).fill(2)],
      ]
      const found: unknown[] = []
      for (const parts of inputs) found.push(await sequence(client, SHA256, parts, TPM_RH.OWNER))
      found.push(await sequence(client, TPM_ALG.SHA512, [utf8('abcd')], TPM_RH.NULL))
      return found
    },
  ],
  [
    'HMAC sequences',
    async (client) => {
      const key = await loadKeyedHash(client, utf8('key'), SIGN)
      const request = { handle: key.handle, auth: utf8('s'), hashAlg: TPM_ALG.NULL }
      const { sequenceHandle } = await client.call(TPM2_HMAC_Start, request, auth)
      const found = await each(
        client,
        [
          [TPM2_SequenceUpdate, { sequenceHandle, buffer: utf8('x') }, auth],
          [TPM2_SequenceComplete, { sequenceHandle: key.handle, buffer: NONE, hierarchy: TPM_RH.NULL }, auth],
          [TPM2_EventSequenceComplete, { pcrHandle: 16, sequenceHandle: key.handle, buffer: NONE }, two],
        ],
        outcome,
      )
      await flush(client, key.handle, sequenceHandle)
      return found
    },
  ],
  [
    'event sequences',
    async (client) => {
      const start = { auth: NONE, hashAlg: TPM_ALG.NULL }
      const { sequenceHandle } = await client.call(TPM2_HashSequenceStart, start)
      const hashing = await client.call(TPM2_HashSequenceStart, { auth: NONE, hashAlg: SHA256 })
      const found = await each(
        client,
        [
          [TPM2_SequenceUpdate, { sequenceHandle, buffer: utf8('event') }, auth],
          [TPM2_SequenceComplete, { sequenceHandle, buffer: NONE, hierarchy: TPM_RH.NULL }, auth],
          [TPM2_EventSequenceComplete, { pcrHandle: 17, sequenceHandle, buffer: NONE }, two],
          [
            TPM2_EventSequenceComplete,
            { pcrHandle: 16, sequenceHandle: hashing.sequenceHandle, buffer: NONE },
            two,
          ],
          [TPM2_EventSequenceComplete, { pcrHandle: 16, sequenceHandle, buffer: utf8('!') }, two],
          [TPM2_SequenceUpdate, { sequenceHandle, buffer: NONE }, auth],
        ],
        outcome,
      )
      await flush(client, hashing.sequenceHandle)
      return found
    },
  ],
  [
    'sequences in place of keys',
    async (client) => {
      const { sequenceHandle: keyHandle } = await client.call(TPM2_HashSequenceStart, {
        auth: NONE,
        hashAlg: SHA256,
      })
      const found = await each(
        client,
        [
          [TPM2_RSA_Encrypt, { keyHandle, message: NONE, inScheme: NO_SCHEME, label: NONE }],
          [TPM2_RSA_Decrypt, { keyHandle, cipherText: NONE, inScheme: NO_SCHEME, label: NONE }, auth],
          [TPM2_ECDH_KeyGen, { keyHandle }],
          [TPM2_ECDH_ZGen, { keyHandle, inPoint: pointOf(peer) }, auth],
          [
            TPM2_EncryptDecrypt2,
            { keyHandle, inData: NONE, decrypt: false, mode: TPM_ALG.CFB, ivIn: NONE },
            auth,
          ],
          [TPM2_Sign, { keyHandle, digest, inScheme: NO_SCHEME, validation: NO_TICKET }, auth],
          [
            TPM2_VerifySignature,
            { keyHandle, digest, signature: { sigAlg: TPM_ALG.HMAC, hashAlg: SHA256, digest } },
          ],
          [TPM2_Commit, { signHandle: keyHandle, P1: { x: NONE, y: NONE }, s2: NONE, y2: NONE }, auth],
          [
            TPM2_Quote,
            { signHandle: keyHandle, qualifyingData: NONE, inScheme: NO_SCHEME, PCRselect: [] },
            auth,
          ],
        ],
        code,
      )
      await flush(client, keyHandle)
      return found
    },
  ],
]

export const testing: readonly Case[] = [
  [
    'self-tests',
    (client) =>
      each(
        client,
        [
          [TPM2_SelfTest, { fullTest: true }],
          [TPM2_IncrementalSelfTest, { toTest: [TPM_ALG.AES, SHA256] }],
          [TPM2_IncrementalSelfTest, { toTest: [0x7fff] }],
          [TPM2_IncrementalSelfTest, { toTest: [] }],
          [TPM2_GetTestResult, {}],
          [TPM2_SelfTest, { fullTest: false }],
        ],
        outcome,
      ),
  ],
  [
    'random bytes, as many as a digest has',
    async (client) => {
      const lengths: number[] = []
      for (const bytesRequested of [0, 1, 64, 65, 0xffff]) {
        lengths.push((await client.call(TPM2_GetRandom, { bytesRequested })).randomBytes.length)
      }
      return lengths
    },
  ],
]
