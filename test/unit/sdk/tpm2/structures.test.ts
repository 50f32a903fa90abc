// Marshalling: round trips of every structure, fixed bytes of a known template, and strictness towards bad input.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Codec,
  marshal,
  objectName,
  TPM_ALG,
  TPM_ECC,
  TPM_GENERATED_VALUE,
  TPM_ST,
  TPMA_OBJECT,
  Tpm2Error,
  TPML_PCR_SELECTION,
  TPMS_ATTEST,
  TPMS_CLOCK_INFO,
  TPMS_TIME_INFO,
  TPMT_PUBLIC,
  TPMT_SIGNATURE,
  unmarshal,
} from '../../../../sdk/tpm2/index.ts'

const bytes = (max: number) => fc.uint8Array({ maxLength: max })
const u16 = fc.nat({ max: 0xffff })
const u32 = fc.nat({ max: 0xffffffff })
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })

const symmetric = fc.oneof(
  fc.constant({ algorithm: TPM_ALG.NULL }),
  fc.record({
    algorithm: fc.constantFrom(TPM_ALG.AES, TPM_ALG.TDES, TPM_ALG.SM4, TPM_ALG.CAMELLIA),
    keyBits: u16,
    mode: u16,
  }),
)
const none = fc.constant({ scheme: TPM_ALG.NULL })
const kdf = fc.oneof(none, fc.record({ scheme: fc.constant(TPM_ALG.KDF1_SP800_108), hashAlg: u16 }))
const head = {
  nameAlg: u16,
  objectAttributes: u32,
  authPolicy: bytes(64),
}
const point = fc.record({ x: bytes(66), y: bytes(66) })
const publicArea: fc.Arbitrary<TPMT_PUBLIC> = fc.oneof(
  fc.record({
    type: fc.constant(TPM_ALG.ECC),
    ...head,
    parameters: fc.record({
      symmetric,
      scheme: fc.oneof(
        none,
        fc.record({ scheme: fc.constantFrom(TPM_ALG.ECDSA, TPM_ALG.ECDH, TPM_ALG.SM2), hashAlg: u16 }),
        fc.record({ scheme: fc.constant(TPM_ALG.ECDAA), hashAlg: u16, count: u16 }),
      ),
      curveID: u16,
      kdf,
    }),
    unique: point,
  }),
  fc.record({
    type: fc.constant(TPM_ALG.RSA),
    ...head,
    parameters: fc.record({
      symmetric,
      scheme: fc.oneof(
        none,
        fc.constant({ scheme: TPM_ALG.RSAES }),
        fc.record({ scheme: fc.constantFrom(TPM_ALG.RSASSA, TPM_ALG.RSAPSS, TPM_ALG.OAEP), hashAlg: u16 }),
      ),
      keyBits: u16,
      exponent: u32,
    }),
    unique: bytes(512),
  }),
  fc.record({
    type: fc.constant(TPM_ALG.KEYEDHASH),
    ...head,
    parameters: fc.record({
      scheme: fc.oneof(
        none,
        fc.record({ scheme: fc.constant(TPM_ALG.HMAC), hashAlg: u16 }),
        fc.record({ scheme: fc.constant(TPM_ALG.XOR), hashAlg: u16, kdf: u16 }),
      ),
    }),
    unique: bytes(64),
  }),
)
const selection = fc.array(fc.record({ hash: u16, pcrSelect: bytes(32) }), { maxLength: 16 })
const clockInfo = fc.record({ clock: u64, resetCount: u32, restartCount: u32, safe: fc.boolean() })
const attest: fc.Arbitrary<TPMS_ATTEST> = fc.record({
  magic: fc.constant(TPM_GENERATED_VALUE),
  type: fc.constant(TPM_ST.ATTEST_QUOTE),
  qualifiedSigner: bytes(66),
  extraData: bytes(66),
  clockInfo,
  firmwareVersion: u64,
  attested: fc.record({ pcrSelect: selection, pcrDigest: bytes(64) }),
})
const signature: fc.Arbitrary<TPMT_SIGNATURE> = fc.oneof(
  fc.record({ sigAlg: fc.constant(TPM_ALG.ECDSA), hash: u16, signatureR: bytes(66), signatureS: bytes(66) }),
  fc.record({ sigAlg: fc.constantFrom(TPM_ALG.RSASSA, TPM_ALG.RSAPSS), hash: u16, sig: bytes(512) }),
)

function roundTrips<T>(codec: Codec<T>, arbitrary: fc.Arbitrary<T>): void {
  it(`reads back every ${codec.name} that it writes`, () => {
    fc.assert(
      fc.property(arbitrary, (value) => {
        expect(unmarshal(codec, marshal(codec, value))).toEqual(value)
      }),
    )
  })

  it(`refuses a ${codec.name} cut short or followed by more`, () => {
    fc.assert(
      fc.property(arbitrary, fc.nat(), (value, where) => {
        const whole = marshal(codec, value)
        const short = whole.slice(0, where % Math.max(1, whole.length))
        expect(() => unmarshal(codec, short)).toThrow(Tpm2Error)
        expect(() => unmarshal(codec, Uint8Array.from([...whole, 0]))).toThrow(
          /expected the end, found 1 more/,
        )
      }),
    )
  })
}

describe('TPM structures', () => {
  roundTrips(TPMT_PUBLIC, publicArea)
  roundTrips(TPML_PCR_SELECTION, selection)
  roundTrips(TPMS_CLOCK_INFO, clockInfo)
  roundTrips(TPMS_TIME_INFO, fc.record({ time: u64, clockInfo }))
  roundTrips(TPMS_ATTEST, attest)
  roundTrips(TPMT_SIGNATURE, signature)

  it('turns arbitrary bytes into a value or a Tpm2Error, never another exception', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (input) => {
        for (const codec of [TPMT_PUBLIC, TPMS_ATTEST, TPMT_SIGNATURE, TPML_PCR_SELECTION]) {
          try {
            unmarshal<unknown>(codec, input)
          } catch (error) {
            expect(error).toBeInstanceOf(Tpm2Error)
          }
        }
      }),
    )
  })

  it('writes the bytes that the specification lays down (TCG EK template for P-256)', () => {
    const template = marshal(TPMT_PUBLIC, {
      type: TPM_ALG.ECC,
      nameAlg: TPM_ALG.SHA256,
      objectAttributes:
        TPMA_OBJECT.fixedTPM |
        TPMA_OBJECT.fixedParent |
        TPMA_OBJECT.sensitiveDataOrigin |
        TPMA_OBJECT.adminWithPolicy |
        TPMA_OBJECT.restricted |
        TPMA_OBJECT.decrypt,
      authPolicy: new Uint8Array(32).fill(0xaa),
      parameters: {
        symmetric: { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB },
        scheme: { scheme: TPM_ALG.NULL },
        curveID: TPM_ECC.NIST_P256,
        kdf: { scheme: TPM_ALG.NULL },
      },
      unique: { x: new Uint8Array(32), y: new Uint8Array(32) },
    })
    expect(Buffer.from(template).toString('hex')).toBe(
      `0023000b000300b20020${'aa'.repeat(32)}000600800043001000030010` +
        `0020${'00'.repeat(32)}0020${'00'.repeat(32)}`,
    )
  })

  it('names an object by its name algorithm and the digest of its public area', () => {
    const value: TPMT_PUBLIC = {
      type: TPM_ALG.KEYEDHASH,
      nameAlg: TPM_ALG.SHA256,
      objectAttributes: 0,
      authPolicy: new Uint8Array(0),
      parameters: { scheme: { scheme: TPM_ALG.NULL } },
      unique: new Uint8Array(32),
    }
    // SHA-256 of 0008 000b 00000000 0000 0010 0020 ‖ 32 zero octets, computed with sha256sum.
    expect(Buffer.from(objectName(value)).toString('hex')).toBe(
      '000b8639e5bf8ea05c334d2f65cc99895006f1f0538b9d1e573b1363371ac4e894bd',
    )
  })

  it('says what was expected, what was found and where', () => {
    expect(() => unmarshal(TPMS_CLOCK_INFO, new Uint8Array(10))).toThrow(
      'TPMS_CLOCK_INFO: expected 4 more bytes, found 2 (offset 8)',
    )
    expect(() => unmarshal(TPMS_CLOCK_INFO, Uint8Array.from([...new Uint8Array(16), 2]))).toThrow(
      /expected a TPMI_YES_NO of 0 or 1, found 2/,
    )
    expect(() => unmarshal(TPML_PCR_SELECTION, Uint8Array.of(0xff, 0xff, 0xff, 0xff))).toThrow(
      /at most 16 items, found 4294967295/,
    )
  })

  it('refuses a value that does not fit its field instead of writing another', () => {
    const info = { clock: 0n, resetCount: 0, restartCount: 0, safe: true }
    expect(() => marshal(TPMS_CLOCK_INFO, { ...info, clock: 2n ** 64n })).toThrow(RangeError)
    expect(() => marshal(TPMS_CLOCK_INFO, { ...info, resetCount: -1 })).toThrow(RangeError)
    expect(() => marshal(TPMS_CLOCK_INFO, { ...info, resetCount: 0.5 })).toThrow(RangeError)
  })
})
