// Signatures and attestations, on our TPM and on swtpm.

import {
  selectPcrs,
  TPM2_GetSessionAuditDigest,
  TPM2_GetTime,
  TPM2_Hash,
  TPM2_Quote,
  TPM2_Certify,
  TPM2_GetCommandAuditDigest,
  TPM2_Sign,
  TPM2_VerifySignature,
  TPM_ALG,
  TPM_RH,
  type TPMT_SIGNATURE,
} from '../../../sdk/tpm2/index.ts'
import {
  DECRYPT,
  flush,
  loadEcc,
  loadKeyedHash,
  loadRsa,
  NONE,
  primaryAk,
  SIGN,
  utf8,
} from '../../unit/emulator/platform/tpm/commands/crypto-rig.ts'
import {
  rsa,
  p256,
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
  rsassa,
  rsapss,
  ecdsa,
  hmacScheme,
  MAGIC,
} from './common.ts'

export const signing: readonly Case[] = [
  [
    'signatures without chance',
    async (client) => {
      const { handle: rsaKey } = await loadRsa(client, rsa, SIGN)
      const { handle: hmacKey } = await loadKeyedHash(client, utf8('key'), SIGN)
      const sign = { digest, validation: NO_TICKET }
      const found = await each(
        client,
        [
          [TPM2_Sign, { ...sign, keyHandle: rsaKey, inScheme: rsassa }, auth],
          [TPM2_Sign, { ...sign, keyHandle: hmacKey, inScheme: hmacScheme }, auth],
          [TPM2_Sign, { ...sign, keyHandle: hmacKey, inScheme: NO_SCHEME }, auth],
        ],
        outcome,
      )
      await flush(client, rsaKey, hmacKey)
      return found
    },
  ],
  [
    'what TPM2_Sign refuses',
    async (client) => {
      const { handle: rsaKey } = await loadRsa(client, rsa, SIGN, rsapss)
      const { handle: eccKey } = await loadEcc(client, p256, SIGN)
      const { handle: decrypts } = await loadRsa(client, rsa, DECRYPT)
      const sign = { keyHandle: rsaKey, digest, validation: NO_TICKET, inScheme: NO_SCHEME }
      const badTicket = { ...NO_TICKET, hierarchy: TPM_RH.OWNER, digest: new Uint8Array(64) }
      const found = await each(
        client,
        [
          [TPM2_Sign, sign, auth],
          [TPM2_Sign, { ...sign, inScheme: rsassa }, auth],
          [TPM2_Sign, { ...sign, inScheme: { ...rsapss, hashAlg: TPM_ALG.SHA1 } }, auth],
          [TPM2_Sign, { ...sign, inScheme: ecdsa }, auth],
          [TPM2_Sign, { ...sign, keyHandle: eccKey }, auth],
          [TPM2_Sign, { ...sign, keyHandle: eccKey, inScheme: rsassa }, auth],
          [TPM2_Sign, { ...sign, keyHandle: eccKey, inScheme: ecdsa }, auth],
          [
            TPM2_Sign,
            { ...sign, keyHandle: eccKey, inScheme: { ...ecdsa, scheme: TPM_ALG.ECSCHNORR } },
            auth,
          ],
          [TPM2_Sign, { ...sign, keyHandle: eccKey, inScheme: hmacScheme }, auth],
          [TPM2_Sign, { ...sign, keyHandle: decrypts, inScheme: rsassa }, auth],
          [TPM2_Sign, { ...sign, digest: digest.slice(1) }, auth],
          [TPM2_Sign, { ...sign, validation: badTicket }, auth],
        ],
        code,
      )
      await flush(client, rsaKey, eccKey, decrypts)
      return found
    },
  ],
  [
    'verification, good and bad, by type of key',
    async (client) => {
      const { handle: rsaKey } = await loadRsa(client, rsa, SIGN)
      const { handle: eccKey } = await loadEcc(client, p256, SIGN)
      const { handle: hmacKey } = await loadKeyedHash(client, utf8('key'), SIGN)
      const signed = async (keyHandle: number, inScheme: object) => {
        const request = { keyHandle, digest, inScheme, validation: NO_TICKET }
        return (await client.call(TPM2_Sign, request as never, auth)).signature
      }
      const schnorr = { ...ecdsa, scheme: TPM_ALG.ECSCHNORR }
      const found: unknown[] = []
      const pairs: readonly (readonly [number, object])[] = [
        [rsaKey, rsassa],
        [rsaKey, rsapss],
        [eccKey, ecdsa],
        [eccKey, schnorr],
        [hmacKey, hmacScheme],
      ]
      for (const [keyHandle, scheme] of pairs) {
        const signature = await signed(keyHandle, scheme)
        const verify = (
          over: Partial<{ keyHandle: number; digest: Uint8Array; signature: TPMT_SIGNATURE }>,
        ): Call => [TPM2_VerifySignature, { keyHandle, digest, signature, ...over }]
        found.push(
          await each(
            client,
            [
              verify({}),
              verify({ digest: digest.slice(1) }),
              verify({ digest: new Uint8Array(32) }),
              ...[rsaKey, eccKey, hmacKey].map((other) => verify({ keyHandle: other })),
            ],
            code,
          ),
        )
      }
      const bad = { sigAlg: TPM_ALG.RSASSA, hash: SHA256, sig: new Uint8Array(255) } as const
      found.push(
        await each(
          client,
          [
            [TPM2_VerifySignature, { keyHandle: rsaKey, digest, signature: bad }],
            [
              TPM2_VerifySignature,
              { keyHandle: rsaKey, digest, signature: { ...bad, sig: new Uint8Array(256).fill(0xff) } },
            ],
            [
              TPM2_VerifySignature,
              {
                keyHandle: eccKey,
                digest,
                signature: { sigAlg: TPM_ALG.ECDAA, hash: SHA256, signatureR: digest, signatureS: digest },
              },
            ],
            [
              TPM2_VerifySignature,
              {
                keyHandle: eccKey,
                digest,
                signature: { sigAlg: TPM_ALG.ECDSA, hash: SHA256, signatureR: NONE, signatureS: digest },
              },
            ],
          ],
          code,
        ),
      )
      await flush(client, rsaKey, eccKey, hmacKey)
      const { handle: decrypts } = await loadRsa(client, rsa, DECRYPT)
      const { handle: closed } = await loadKeyedHash(client, utf8('key'), SIGN, hmacScheme, 'public')
      found.push(
        await each(
          client,
          [
            [TPM2_VerifySignature, { keyHandle: decrypts, digest, signature: bad }],
            [
              TPM2_VerifySignature,
              { keyHandle: closed, digest, signature: { sigAlg: TPM_ALG.HMAC, hashAlg: SHA256, digest } },
            ],
            [TPM2_Sign, { keyHandle: closed, digest, inScheme: NO_SCHEME, validation: NO_TICKET }, auth],
          ],
          code,
        ),
      )
      await flush(client, decrypts, closed)
      return found
    },
  ],
]

const PCRS = [selectPcrs(SHA256, [0, 1, 16])]

export const attestation: readonly Case[] = [
  [
    'attestations: codes',
    async (client) => {
      const { objectHandle: ak } = await primaryAk(client, TPM_RH.OWNER)
      const { handle: decrypts } = await loadRsa(client, rsa, DECRYPT)
      const { handle: rsaKey } = await loadRsa(client, rsa, SIGN)
      const quote = { signHandle: ak, qualifyingData: digest, inScheme: NO_SCHEME, PCRselect: PCRS }
      const certify = { objectHandle: rsaKey, signHandle: ak, qualifyingData: digest, inScheme: NO_SCHEME }
      const time = {
        privacyAdminHandle: TPM_RH.ENDORSEMENT,
        signHandle: ak,
        qualifyingData: digest,
        inScheme: NO_SCHEME,
      }
      const audit = {
        privacyHandle: TPM_RH.ENDORSEMENT,
        signHandle: ak,
        qualifyingData: digest,
        inScheme: NO_SCHEME,
      }
      const found = await each(
        client,
        [
          [TPM2_Quote, quote, auth],
          [TPM2_Quote, { ...quote, inScheme: ecdsa }, auth],
          [TPM2_Quote, { ...quote, inScheme: { ...ecdsa, hashAlg: TPM_ALG.SHA384 } }, auth],
          [TPM2_Quote, { ...quote, inScheme: rsassa }, auth],
          [TPM2_Quote, { ...quote, signHandle: decrypts }, auth],
          [TPM2_Quote, { ...quote, signHandle: rsaKey }, auth],
          [TPM2_Quote, { ...quote, signHandle: rsaKey, inScheme: rsapss }, auth],
          [TPM2_Quote, { ...quote, signHandle: TPM_RH.NULL }, auth],
          [TPM2_Quote, { ...quote, signHandle: TPM_RH.NULL, inScheme: ecdsa }, auth],
          [TPM2_Quote, { ...quote, PCRselect: [] }, auth],
          [TPM2_Quote, { ...quote, PCRselect: [{ hash: SHA256, pcrSelect: Uint8Array.of(1, 0) }] }, auth],
          [
            TPM2_Quote,
            { ...quote, PCRselect: [{ hash: SHA256, pcrSelect: Uint8Array.of(1, 0, 0, 0) }] },
            auth,
          ],
          [TPM2_Quote, { ...quote, PCRselect: [{ hash: 0x99, pcrSelect: Uint8Array.of(1, 0, 0) }] }, auth],
          [
            TPM2_Quote,
            { ...quote, PCRselect: [0, 1, 2, 3, 4].map((pcr) => selectPcrs(SHA256, [pcr])) },
            auth,
          ],
          [TPM2_Certify, certify, two],
          [TPM2_Certify, { ...certify, signHandle: TPM_RH.NULL }, two],
          [TPM2_Certify, { ...certify, signHandle: decrypts }, two],
          [TPM2_GetTime, time, two],
          [TPM2_GetTime, { ...time, signHandle: TPM_RH.NULL }, two],
          [TPM2_GetCommandAuditDigest, audit, two],
          [TPM2_GetCommandAuditDigest, { ...audit, signHandle: decrypts }, two],
          [TPM2_GetSessionAuditDigest, { ...time, sessionHandle: 0x02000000 }, two],
        ],
        code,
      )
      await flush(client, ak, decrypts, rsaKey)
      return found
    },
  ],
  [
    'a restricted key signs what the TPM has hashed',
    async (client) => {
      const { objectHandle: keyHandle } = await primaryAk(client, TPM_RH.OWNER)
      const ticketed = async (data: Uint8Array) =>
        client.call(TPM2_Hash, { data, hashAlg: SHA256, hierarchy: TPM_RH.OWNER })
      const good = await ticketed(utf8('message'))
      const bad = await ticketed(MAGIC)
      const sign = { keyHandle, inScheme: NO_SCHEME }
      const found = await each(
        client,
        [
          [TPM2_Sign, { ...sign, digest: good.outHash, validation: good.validation }, auth],
          [TPM2_Sign, { ...sign, digest: bad.outHash, validation: good.validation }, auth],
          [TPM2_Sign, { ...sign, digest: bad.outHash, validation: bad.validation }, auth],
          [TPM2_Sign, { ...sign, digest: good.outHash, validation: NO_TICKET }, auth],
          [
            TPM2_Sign,
            { ...sign, digest: good.outHash, validation: { ...good.validation, hierarchy: TPM_RH.PLATFORM } },
            auth,
          ],
        ],
        code,
      )
      await flush(client, keyHandle)
      return found
    },
  ],
  [
    'an attestation that nobody signs',
    async (client) => {
      const { handle: objectHandle } = await loadRsa(client, rsa, SIGN)
      const request = { objectHandle, signHandle: TPM_RH.NULL, qualifyingData: digest, inScheme: NO_SCHEME }
      const { certifyInfo, signature } = await client.call(TPM2_Certify, request, two)
      await flush(client, objectHandle)
      // Up to the clock, and what follows the version; both are the TPM's own.
      const attested = certifyInfo.slice(-72)
      return { head: certifyInfo.slice(0, 46), attested, signature }
    },
  ],
]
