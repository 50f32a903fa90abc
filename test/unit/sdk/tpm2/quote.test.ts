// Verification of quotes: the good one passes, each kind of bad one has its own code.

import { constants } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  checkAttestationKey,
  describeSelection,
  marshal,
  pcrDigest,
  type QuoteToVerify,
  readPublicArea,
  type RsaPublic,
  selectedPcrs,
  selectPcrs,
  type SigningAlgorithm,
  signingAlgorithm,
  TPM2B_PUBLIC,
  TPM_ALG,
  TPM_ECC,
  TPMA_OBJECT,
  Tpm2Error,
  type Tpm2ErrorCode,
  TPMT_PUBLIC,
  verifyQuote,
} from '../../../../sdk/tpm2/index.ts'
import {
  AK_ATTRIBUTES,
  attestation,
  attestBytes,
  type SoftwareAk,
  softwareAk,
  softwareRsaAk,
} from './software-key.ts'

const nonce = Uint8Array.from({ length: 32 }, (_, index) => 255 - index)
const ak = softwareAk()
const expectedSelection = [selectPcrs(TPM_ALG.SHA256, [0, 4, 7])]

function quote(attest = attestBytes(attestation(ak.akPublic, nonce))): QuoteToVerify {
  return {
    attest,
    signature: ak.sign(attest),
    akPublic: ak.akPublic,
    qualifyingData: nonce,
    expectedSelection,
  }
}

function codeOf(changed: QuoteToVerify): Tpm2ErrorCode | undefined {
  try {
    verifyQuote(changed)
    return undefined
  } catch (error) {
    if (error instanceof Tpm2Error) return error.code
    throw error
  }
}

const ecdsa = (bits: number, hash: number): SigningAlgorithm => ({
  type: TPM_ALG.ECC,
  bits,
  scheme: TPM_ALG.ECDSA,
  hash,
})
const rsa = (
  scheme: typeof TPM_ALG.RSASSA | typeof TPM_ALG.RSAPSS,
  bits: number,
  hash: number,
): SigningAlgorithm => ({ type: TPM_ALG.RSA, bits, scheme, hash })

describe('quote verification', () => {
  it('[C-02 control] returns what a good quote says', () => {
    expect(verifyQuote(quote())).toEqual(attestation(ak.akPublic, nonce))
  })

  it('[C-02] a changed octet anywhere in the attestation fails the signature', () => {
    const good = quote()
    for (let index = 0; index < good.attest.length; index += 1) {
      const attest = good.attest.map((octet, at) => (at === index ? octet ^ 0x80 : octet))
      expect(codeOf({ ...good, attest })).toBe('BAD_SIGNATURE')
    }
  })

  it('[C-02] another key, another scheme and SHA-1 are BAD_SIGNATURE', () => {
    const good = quote()
    expect(codeOf({ ...good, akPublic: softwareAk().akPublic })).toBe('BAD_SIGNATURE')
    const { scheme: _, ...parameters } = ak.akPublic.parameters
    const sha384 = { ...parameters, scheme: { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA384 } }
    expect(codeOf({ ...good, akPublic: { ...ak.akPublic, parameters: sha384 } })).toBe('BAD_SIGNATURE')
    const weak = good.signature.slice()
    weak[3] = TPM_ALG.SHA1
    expect(codeOf({ ...good, signature: weak })).toBe('BAD_SIGNATURE')
  })

  it('[C-02] bytes that a TPM did not make, other attestations and trailing bytes are refused though signed', () => {
    const good = quote()
    const patched = (at: number, octet: number) =>
      quote(good.attest.map((old, index) => (index === at ? octet : old)))
    expect(codeOf(patched(0, 0xfe))).toBe('BAD_MAGIC')
    expect(codeOf(patched(5, 0x17))).toBe('BAD_TYPE')
    expect(codeOf(quote(Uint8Array.from([...good.attest, 0])))).toBe('MALFORMED')
    expect(codeOf(quote(good.attest.slice(0, -1)))).toBe('MALFORMED')
    expect(codeOf({ ...good, signature: Uint8Array.from([...good.signature, 0]) })).toBe('MALFORMED')
  })

  it('[C-02] the qualifying data must be those of this challenge', () => {
    const good = quote()
    expect(codeOf({ ...good, qualifyingData: nonce.map((octet) => octet ^ 1) })).toBe('BAD_QUALIFYING_DATA')
    expect(codeOf({ ...good, qualifyingData: nonce.slice(1) })).toBe('BAD_QUALIFYING_DATA')
    expect(codeOf({ ...good, qualifyingData: new Uint8Array(0) })).toBe('BAD_QUALIFYING_DATA')
  })

  it('[C-02] a quote of fewer PCRs, more PCRs or another bank is refused', () => {
    const good = quote()
    for (const selection of [
      [selectPcrs(TPM_ALG.SHA256, [0, 4])],
      [selectPcrs(TPM_ALG.SHA256, [0, 4, 7, 9])],
      [selectPcrs(TPM_ALG.SHA384, [0, 4, 7])],
      [...expectedSelection, selectPcrs(TPM_ALG.SHA384, [0])],
      [],
    ]) {
      expect(codeOf({ ...good, expectedSelection: selection })).toBe('PCR_SELECTION')
    }
    const shortMap = [{ hash: TPM_ALG.SHA256, pcrSelect: Uint8Array.of(0x91) }]
    expect(codeOf({ ...good, expectedSelection: shortMap })).toBeUndefined()
  })

  it('[C-02] a key that could sign what no TPM made is no attestation key', () => {
    const with_ = (objectAttributes: number) => ({ ...ak.akPublic, objectAttributes })
    expect(() => {
      checkAttestationKey(ak.akPublic)
    }).not.toThrow()
    for (const bit of ['restricted', 'sign', 'fixedTPM', 'fixedParent', 'sensitiveDataOrigin'] as const) {
      expect(() => {
        checkAttestationKey(with_(AK_ATTRIBUTES & ~TPMA_OBJECT[bit]))
      }).toThrow(`missing: ${bit}`)
      expect(codeOf({ ...quote(), akPublic: with_(AK_ATTRIBUTES & ~TPMA_OBJECT[bit]) })).toBe('BAD_AK')
    }
    expect(codeOf({ ...quote(), akPublic: with_(AK_ATTRIBUTES | TPMA_OBJECT.decrypt) })).toBe('BAD_AK')
  })

  const { RSASSA, RSAPSS, SHA1, SHA256, SHA384, SHA512 } = TPM_ALG
  const { NIST_P256, NIST_P384, NIST_P521 } = TPM_ECC
  const longest = constants.RSA_PSS_SALTLEN_MAX_SIGN

  it.each<[string, () => SoftwareAk, SigningAlgorithm]>([
    ['P-256', () => softwareAk(), ecdsa(256, SHA256)],
    ['P-256, SHA-512', () => softwareAk(NIST_P256, SHA512), ecdsa(256, SHA512)],
    ['P-384', () => softwareAk(NIST_P384, SHA384), ecdsa(384, SHA384)],
    ['P-521', () => softwareAk(NIST_P521, SHA512), ecdsa(521, SHA512)],
    ['RSASSA 2048', () => softwareRsaAk(RSASSA), rsa(RSASSA, 2048, SHA256)],
    ['RSASSA 3072', () => softwareRsaAk(RSASSA, { bits: 3072, hashAlg: SHA384 }), rsa(RSASSA, 3072, SHA384)],
    ['RSASSA 4096', () => softwareRsaAk(RSASSA, { bits: 4096, hashAlg: SHA512 }), rsa(RSASSA, 4096, SHA512)],
    ['RSAPSS 2048', () => softwareRsaAk(RSAPSS), rsa(RSAPSS, 2048, SHA256)],
    ['RSAPSS, SHA-512', () => softwareRsaAk(RSAPSS, { hashAlg: SHA512 }), rsa(RSAPSS, 2048, SHA512)],
    ['RSAPSS, longest salt', () => softwareRsaAk(RSAPSS, { saltLength: longest }), rsa(RSAPSS, 2048, SHA256)],
  ])('[C-02] verifies a quote by an attestation key of kind %s, and no changed one', (_, make, algorithm) => {
    const { akPublic, sign } = make()
    expect(signingAlgorithm(akPublic)).toEqual(algorithm)
    const attest = attestBytes(attestation(akPublic, nonce))
    const good = { attest, signature: sign(attest), akPublic, qualifyingData: nonce, expectedSelection }
    expect(codeOf(good)).toBeUndefined()
    const signature = good.signature.map((octet, at) =>
      at === good.signature.length - 1 ? octet ^ 1 : octet,
    )
    expect(codeOf({ ...good, signature })).toBe('BAD_SIGNATURE')
    expect(codeOf({ ...good, akPublic: make().akPublic })).toBe('BAD_SIGNATURE')
  })

  it('[C-02] a PSS signature with a salt that no TPM makes is refused', () => {
    for (const saltLength of [0, 20, 33]) {
      const { akPublic, sign } = softwareRsaAk(RSAPSS, { saltLength })
      const attest = attestBytes(attestation(akPublic, nonce))
      const signed = { attest, signature: sign(attest), akPublic, qualifyingData: nonce, expectedSelection }
      expect(codeOf(signed)).toBe('BAD_SIGNATURE')
    }
  })

  it('[C-02] a weak or unusual attestation key is none', () => {
    const rsaAk = softwareRsaAk(RSASSA).akPublic
    const parameters = (change: Partial<RsaPublic['parameters']>) => ({
      ...rsaAk,
      parameters: { ...rsaAk.parameters, ...change },
    })
    const none = { scheme: TPM_ALG.NULL } as const
    const weak: [TPMT_PUBLIC, RegExp][] = [
      [softwareAk(NIST_P256, SHA1).akPublic, /the hash of its scheme, found TPM_ALG_ID 0x4$/],
      [{ ...ak.akPublic, nameAlg: SHA1 }, /the hash of its name, found TPM_ALG_ID 0x4$/],
      [parameters({ scheme: { scheme: RSASSA, hashAlg: SHA1 } }), /the hash of its scheme/],
      [parameters({ scheme: none }), /scheme RSASSA or RSAPSS, found TPM_ALG_ID 0x10$/],
      [{ ...ak.akPublic, parameters: { ...ak.akPublic.parameters, scheme: none } }, /scheme ECDSA/],
      [softwareRsaAk(RSASSA, { bits: 1024 }).akPublic, /of 2048 bits or more, found 1024/],
      [parameters({ keyBits: 3072 }), /a modulus of 3072 bits/],
      [parameters({ exponent: 3 }), /the exponent 65537/],
    ]
    for (const [akPublic, why] of weak) {
      expect(() => signingAlgorithm(akPublic)).toThrow(why)
      expect(codeOf({ ...quote(), akPublic })).toBe('BAD_AK')
    }
    expect(() => signingAlgorithm(parameters({ exponent: 65537 }))).not.toThrow()
  })

  it('[C-02] the hashes in a quote are those of its key', () => {
    const { attested, ...rest } = attestation(ak.akPublic, nonce)
    const others = [
      { ...rest, attested: { ...attested, pcrDigest: new Uint8Array(48) } },
      { ...rest, attested, qualifiedSigner: Uint8Array.of(0, SHA384, ...new Uint8Array(48)) },
      { ...rest, attested, qualifiedSigner: rest.qualifiedSigner.slice(0, -1) },
      { ...rest, attested, qualifiedSigner: new Uint8Array(0) },
    ]
    for (const other of others) expect(codeOf(quote(attestBytes(other)))).toBe('MALFORMED')
  })
})

describe('public areas', () => {
  it('are read as TPM2B_PUBLIC and as TPMT_PUBLIC, whole', () => {
    for (const area of [ak.akPublic, softwareRsaAk(TPM_ALG.RSASSA).akPublic]) {
      const [bare, file] = [marshal(TPMT_PUBLIC, area), marshal(TPM2B_PUBLIC, area)]
      expect(readPublicArea(bare)).toEqual(area)
      expect(readPublicArea(file)).toEqual(area)
      for (const bytes of [bare, file]) {
        expect(() => readPublicArea(Uint8Array.from([...bytes, 0]))).toThrow(Tpm2Error)
        expect(() => readPublicArea(bytes.slice(0, -1))).toThrow(Tpm2Error)
      }
    }
    expect(() => readPublicArea(new Uint8Array(0))).toThrow(Tpm2Error)
  })
})

describe('PCR selections', () => {
  it('lists the PCRs it was made of and refuses others', () => {
    expect(selectedPcrs(selectPcrs(TPM_ALG.SHA256, [23, 0, 8]))).toEqual([0, 8, 23])
    expect(describeSelection([selectPcrs(TPM_ALG.SHA384, [4, 0])])).toBe('0xc:0,4')
    expect(() => selectPcrs(TPM_ALG.SHA256, [24])).toThrow(RangeError)
    expect(() => selectPcrs(TPM_ALG.SHA256, [-1])).toThrow(RangeError)
  })

  it('[C-09] digests PCRs as a quote does (vector: one extend of "emulated-firmware-image-v1")', () => {
    const pcr0 = Buffer.from('0a2ab78b60f048188e8c661de95cb4b35238a1e5cc3e287fe0fa8789edd81b74', 'hex')
    const banks = new Map([[TPM_ALG.SHA256, new Map([[0, new Uint8Array(pcr0)]])]])
    const digest = pcrDigest([selectPcrs(TPM_ALG.SHA256, [0])], banks)
    expect(Buffer.from(digest).toString('hex')).toBe(
      '0f9c3290df514a019b1ffbc5b69776c8b5a809e0a58321715aab8676f4db976d',
    )
    expect(() => pcrDigest([selectPcrs(TPM_ALG.SHA256, [1])], banks)).toThrow(
      /expected PCR 1 of bank 0xb, got none/,
    )
  })
})
