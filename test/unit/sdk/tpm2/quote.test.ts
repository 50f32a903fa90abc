// Verification of quotes: the good one passes, each kind of bad one has its own code.

import { constants, sign } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  checkAttestationKey,
  describeSelection,
  marshal,
  pcrDigest,
  type QuoteToVerify,
  selectedPcrs,
  selectPcrs,
  TPM_ALG,
  TPMA_OBJECT,
  Tpm2Error,
  type Tpm2ErrorCode,
  TPMT_SIGNATURE,
  verifyQuote,
} from '../../../../sdk/tpm2/index.ts'
import { AK_ATTRIBUTES, attestation, attestBytes, softwareAk, softwareRsaAk } from './software-key.ts'

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

  it.each([
    { name: 'RSASSA', scheme: TPM_ALG.RSASSA, padding: constants.RSA_PKCS1_PADDING },
    { name: 'RSAPSS', scheme: TPM_ALG.RSAPSS, padding: constants.RSA_PKCS1_PSS_PADDING },
  ])('verifies $name attestation keys, and refuses a changed signature', ({ scheme, padding }) => {
    const { akPublic, privateKey } = softwareRsaAk(scheme)
    const attest = attestBytes(attestation(akPublic, nonce))
    const sig = new Uint8Array(sign('sha256', attest, { key: privateKey, padding }))
    const signature = (bytes: Uint8Array) =>
      marshal(TPMT_SIGNATURE, { sigAlg: scheme, hash: TPM_ALG.SHA256, sig: bytes })
    const rsa = { attest, signature: signature(sig), akPublic, qualifyingData: nonce, expectedSelection }
    expect(codeOf(rsa)).toBeUndefined()
    expect(codeOf({ ...rsa, signature: signature(sig.map((octet) => octet ^ 1)) })).toBe('BAD_SIGNATURE')
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
