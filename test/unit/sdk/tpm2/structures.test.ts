// Marshalling: fixed bytes of known structures, and with which response code what is refused. Round trips of every
// structure are in round-trips.test.ts.

import { describe, expect, it } from 'vitest'
import {
  type Codec,
  CAPABILITY,
  marshal,
  objectName,
  SESSION_TYPE,
  TPM2B_DIGEST,
  TPM2B_MAX_BUFFER,
  TPM2B_MAX_NV_BUFFER,
  TPM2B_PUBLIC,
  TPM2B_PUBLIC_PLUS,
  TPM2B_SENSITIVE,
  TPM2B_SENSITIVE_CREATE,
  TPM2B_SENSITIVE_DATA,
  TPM2B_SENSITIVE_OPTIONAL,
  TPM_ALG,
  TPM_ECC,
  TPM_RC,
  TPM_ST,
  TPMA_NV_BITS,
  TPMA_OBJECT,
  TPMA_SESSION_BITS,
  Tpm2Error,
  TPMI_ALG_HASH,
  TPMI_ECC_CURVE,
  TPML_ALG,
  TPML_DIGEST,
  TPML_DIGEST_OR,
  TPML_HANDLE,
  TPML_PCR_SELECTION,
  TPMS_ATTEST,
  TPMS_CAPABILITY_DATA,
  TPMS_CLOCK_INFO,
  TPMS_CONTEXT,
  TPMS_NV_PUBLIC,
  TPMT_ECC_SCHEME,
  TPMT_HA,
  TPMT_HA_PLUS,
  TPMT_KDF_SCHEME,
  TPMT_KEYEDHASH_SCHEME,
  TPMT_PUBLIC,
  TPMT_RSA_DECRYPT,
  TPMT_RSA_SCHEME,
  TPMT_SENSITIVE,
  TPMT_SIG_SCHEME_PLUS,
  TPMT_SIGNATURE,
  TPMT_SIGNATURE_PLUS,
  TPMT_SYM_DEF,
  TPMT_SYM_DEF_OBJECT,
  TPMT_SYM_DEF_OBJECT_PLUS,
  TPMT_TK_AUTH,
  TPMT_TK_CREATION,
  unmarshal,
} from '../../../../sdk/tpm2/index.ts'

/** What is wrong, the codec, the bytes in hexadecimal, and the response code of a TPM. */
type Wrong = readonly [
  what: string,
  codec: Codec<never> | Codec<unknown>,
  hex: string,
  rc: keyof typeof TPM_RC,
]

const zeros = (octets: number): string => '00'.repeat(octets)
/** ECC, nameAlg and attributes to follow. */
const publicArea = (nameAlg: string, attributes: string): string =>
  `0023${nameAlg}${attributes}0000001000100003001000000000`
const tpm2b = (hex: string): string => (hex.length / 2).toString(16).padStart(4, '0') + hex

const WRONG: readonly Wrong[] = [
  ['a hash that does not exist', TPMI_ALG_HASH, '0006', 'HASH'],
  ['no hash where there must be one', TPMI_ALG_HASH, '0010', 'HASH'],
  ['no hash in a TPMT_HA', TPMT_HA, '0010', 'HASH'],
  ['a curve that does not exist', TPMI_ECC_CURVE, '0000', 'CURVE'],
  ['a cipher that does not exist', TPMT_SYM_DEF, '0025', 'SYMMETRIC'],
  ['obfuscation as a cipher of an object', TPMT_SYM_DEF_OBJECT_PLUS, '000a000b', 'SYMMETRIC'],
  ['no cipher where there must be one', TPMT_SYM_DEF_OBJECT, '0010', 'SYMMETRIC'],
  ['a key size that AES does not have', TPMT_SYM_DEF, '000600810043', 'VALUE'],
  ['a mode that does not exist', TPMT_SYM_DEF, '00060080000b', 'MODE'],
  ['obfuscation with a hash that does not exist', TPMT_SYM_DEF, '000a0006', 'HASH'],
  ['a signing scheme that encrypts', TPMT_SIG_SCHEME_PLUS, '0015', 'SCHEME'],
  ['a signing scheme with no hash', TPMT_SIG_SCHEME_PLUS, '00180010', 'HASH'],
  ['an ECC scheme of RSA', TPMT_ECC_SCHEME, '0014000b', 'SCHEME'],
  ['an RSA scheme of ECC', TPMT_RSA_SCHEME, '0018000b', 'VALUE'],
  ['a padding that signs', TPMT_RSA_DECRYPT, '0014000b', 'VALUE'],
  ['a KDF that is none', TPMT_KDF_SCHEME, '000b000b', 'KDF'],
  ['a keyed-hash scheme that is none', TPMT_KEYEDHASH_SCHEME, '0018000b', 'VALUE'],
  ['an unknown KDF of XOR', TPMT_KEYEDHASH_SCHEME, '000a000b0001', 'KDF'],
  ['a signature that is none', TPMT_SIGNATURE, '0010', 'SCHEME'],
  ['a type of object that does not exist', TPMT_PUBLIC, '0026', 'TYPE'],
  ['a type of sensitive area that does not exist', TPMT_SENSITIVE, '0026', 'TYPE'],
  ['an object without a name algorithm', TPMT_PUBLIC, publicArea('0010', '00000000'), 'HASH'],
  ['reserved attributes of an object', TPMT_PUBLIC, publicArea('000b', '00000001'), 'RESERVED_BITS'],
  ['reserved attributes of a session', TPMA_SESSION_BITS, '18', 'RESERVED_BITS'],
  ['reserved attributes of an index', TPMA_NV_BITS, '00000100', 'RESERVED_BITS'],
  ['an empty public area', TPM2B_PUBLIC, '0000', 'SIZE'],
  ['an empty sensitive area to create', TPM2B_SENSITIVE_CREATE, '0000', 'SIZE'],
  ['an empty sensitive area to load with a parent', TPM2B_SENSITIVE, '0000', 'SIZE'],
  ['a sized structure that ends before its size', TPM2B_SENSITIVE_CREATE, `0005${zeros(5)}`, 'SIZE'],
  ['a digest that is too long', TPM2B_DIGEST, '0041', 'SIZE'],
  ['a buffer that is too long', TPM2B_MAX_BUFFER, '0401', 'SIZE'],
  ['an NV buffer that is too long', TPM2B_MAX_NV_BUFFER, '0401', 'SIZE'],
  ['sealed data that are too long', TPM2B_SENSITIVE_DATA, '0081', 'SIZE'],
  ['the wrong ticket', TPMT_TK_CREATION, `8022400000010000`, 'TAG'],
  ['a ticket of no hierarchy', TPMT_TK_AUTH, `8023800000000000`, 'VALUE'],
  ['an index that is none', TPMS_NV_PUBLIC, `81000001`, 'VALUE'],
  ['an index that is too large', TPMS_NV_PUBLIC, `01000001000b0000000000000801`, 'SIZE'],
  ['a context of a persistent object', TPMS_CONTEXT, `${zeros(8)}81000001`, 'VALUE'],
  ['one branch of a policy', TPML_DIGEST_OR, '000000010000', 'SIZE'],
  ['nine branches of a policy', TPML_DIGEST_OR, `00000009${zeros(18)}`, 'SIZE'],
  ['nine digests', TPML_DIGEST, `00000009${zeros(18)}`, 'SIZE'],
  ['too many algorithms', TPML_ALG, `00000041${zeros(130)}`, 'SIZE'],
  ['too many handles', TPML_HANDLE, `000000ff${zeros(1020)}`, 'SIZE'],
  ['a capability that does not exist', TPMS_CAPABILITY_DATA, '0000000b', 'VALUE'],
  ['a capability to ask for that does not exist', CAPABILITY, '0000000b', 'VALUE'],
  ['a session that does not exist', SESSION_TYPE, '02', 'VALUE'],
  ['an attestation that no TPM made', TPMS_ATTEST, 'ff544346', 'VALUE'],
  ['an attestation of an unknown kind', TPMS_ATTEST, 'ff5443478001', 'SELECTOR'],
]

const read = (codec: Codec<never> | Codec<unknown>, hex: string): unknown =>
  unmarshal<unknown>(codec, new Uint8Array(Buffer.from(hex, 'hex')))

describe('TPM structures', () => {
  it.each(WRONG)('refuses %s', (_, codec, hex, rc) => {
    let error: unknown
    try {
      read(codec, hex)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(Tpm2Error)
    expect((error as Tpm2Error).rc).toBe(TPM_RC[rc])
  })

  it('reads NULL where the specification has a "+"', () => {
    expect(read(TPMT_HA_PLUS, '0010')).toEqual({ hashAlg: TPM_ALG.NULL, digest: new Uint8Array(0) })
    expect(read(TPMT_SYM_DEF_OBJECT_PLUS, '0010')).toEqual({ algorithm: TPM_ALG.NULL })
    expect(read(TPMT_SIGNATURE_PLUS, '0010')).toEqual({ sigAlg: TPM_ALG.NULL })
    expect(read(TPM2B_SENSITIVE_OPTIONAL, '0000')).toBeUndefined()
    expect(read(TPM2B_PUBLIC_PLUS, tpm2b(publicArea('0010', '00000000')))).toMatchObject({
      nameAlg: TPM_ALG.NULL,
    })
  })

  it('writes no tag, attribute or algorithm that it would not read', () => {
    const ticket = { tag: TPM_ST.CREATION, hierarchy: 0x40000001, digest: new Uint8Array(0) }
    expect(marshal(TPMT_TK_CREATION, ticket)).toHaveLength(8)
    expect(() => marshal(TPMA_SESSION_BITS, 0x18)).toThrow(RangeError)
    expect(() => marshal(TPMI_ALG_HASH, TPM_ALG.AES)).toThrow(RangeError)
    expect(() => marshal(TPMT_HA, { hashAlg: TPM_ALG.SHA1, digest: new Uint8Array(32) })).toThrow(
      '"digest" expected 20 bytes, got length=32',
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
