// Certificates: what is issued says what was asked, and chains are refused for each broken rule, with a control.

import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  type Certificate,
  CertificateError,
  certificateKey,
  der,
  FormatError,
  fromHex,
  IdentityKey,
  issueCertificate,
  parseCertificate,
  parseCertificates,
  selfSignedRoot,
  utf8,
  verifyChain,
  verifyChainToAnyKey,
} from '../../../../sdk/crypto/index.ts'

const EK_USAGE = '2.23.133.8.1'
const DAY_MS = 86_400_000

const rootKey = IdentityKey.generate()
const root = selfSignedRoot({ subject: 'CN=Maker root,O=Example', days: 3650, key: rootKey })
const middleKey = IdentityKey.generate()
const middle = issueCertificate({
  subject: 'CN=Maker EK CA,O=Example',
  days: 365,
  ca: true,
  pathLength: 0,
  issuer: { certificate: root, key: rootKey },
  publicKey: middleKey.publicKey,
})
const leafKey = IdentityKey.generate()

type LeafOptions = Partial<Parameters<typeof issueCertificate>[0]>

function leafOf(options: LeafOptions = {}): Certificate {
  return issueCertificate({
    subject: 'platform-1',
    days: 30,
    issuer: { certificate: middle, key: middleKey },
    publicKey: leafKey.publicKey,
    usages: [EK_USAGE],
    ...options,
  })
}

const leaf = leafOf()

/** Hexadecimal value of the subject key identifier. */
const subjectKeyId = (certificate: Certificate): string | undefined =>
  /0603551d0e04160414([0-9a-f]{40})/.exec(Buffer.from(certificate.der).toString('hex'))?.[1]
const chain = { leaf, intermediates: [middle], roots: [root] }

describe('issueCertificate', () => {
  it('writes the names, usages and constraints that were asked for, as OpenSSL reads them', () => {
    const certificate = leafOf({
      subject: 'CN=worker\\, first,O=Example,C=DE',
      usages: ['server', 'client'],
      serverNames: ['localhost', 'worker.example', '127.0.0.1', '::1', 'fd00::1:2', '::ffff:10.0.0.1'],
    })
    const read = new X509Certificate(certificate.pem)
    expect(read.subject).toBe('C=DE\nO=Example\nCN=worker\\, first')
    expect(read.issuer).toBe('O=Example\nCN=Maker EK CA')
    expect(read.ca).toBe(false)
    expect(read.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
    for (const name of ['localhost', 'worker.example']) expect(read.checkHost(name)).toBe(name)
    for (const ip of ['127.0.0.1', '::1', 'fd00::1:2', '::ffff:10.0.0.1']) expect(read.checkIP(ip)).toBe(ip)
    expect(read.checkHost('other.example')).toBeUndefined()
    expect(Date.parse(read.validTo) - Date.now()).toBeGreaterThan(29 * DAY_MS)
    expect(Date.parse(read.validFrom)).toBeLessThan(Date.now())
  })

  it('gives DER and PEM of the same certificate, and each its own serial number', () => {
    expect(parseCertificate(leaf.pem)).toEqual(leaf)
    expect(parseCertificates(`${leaf.pem}text between\n${middle.pem}`)).toEqual([leaf, middle])
    expect(certificateKey(leaf).equals(leafKey.publicKey)).toBe(true)
    expect(new X509Certificate(leafOf().der).serialNumber).not.toBe(
      new X509Certificate(leaf.der).serialNumber,
    )
  })

  it('carries dates after 2049, an empty subject and further extensions', () => {
    const certificate = leafOf({
      subject: '',
      days: 20_000,
      extensions: [{ oid: '1.3.6.1.4.1.99999.4294967295.1', critical: false, value: fromHex('0c026869') }],
    })
    const read = new X509Certificate(certificate.der)
    expect(new Date(read.validTo).getUTCFullYear()).toBeGreaterThan(2050)
    expect(Buffer.from(certificate.der).includes(Buffer.from('0c026869', 'hex'))).toBe(true)
    const oid = Buffer.from('2b0601040186' + '8d1f' + '8fffffff7f' + '01', 'hex')
    expect(Buffer.from(certificate.der).includes(oid)).toBe(true)
  })

  it('writes a directory name and directory attributes, critical names only for an empty subject', () => {
    const directoryName = '2.23.133.2.2=model,2.23.133.2.1=id:0000'
    const value = der.sequence(der.unsigned(Uint8Array.of(1, 2)))
    const directoryAttributes = [{ oid: '2.23.133.2.16', value }]
    const named = leafOf({ directoryName, directoryAttributes })
    expect(new X509Certificate(named.der).subjectAltName).toMatch(/^DirName:/)
    // directoryName [4], explicit: a Name whose attributes stand in the opposite order of the text.
    const names = 'a428' + '3026' + '3112301006056781050201' + '0c07' + '69643a30303030'
    expect(Buffer.from(named.der).toString('hex')).toContain(
      `${names}3110300e06056781050202` + '0c05' + '6d6f64656c',
    )
    // SEQUENCE OF Attribute, one: its type, and the SET OF its one value.
    const attributes = '3011' + '300f' + '06056781050210' + '3106' + '300402020102'
    expect(Buffer.from(named.der).toString('hex')).toContain('0603551d09' + '0413' + attributes)
    const nameOid = '0603551d11'
    expect(Buffer.from(named.der).toString('hex')).toMatch(new RegExp(`${nameOid}04`))
    const unnamed = Buffer.from(leafOf({ subject: '', directoryName }).der).toString('hex')
    expect(unnamed).toMatch(new RegExp(`${nameOid}0101ff04`))
  })

  it('certifies a key of another kind by its SubjectPublicKeyInfo', () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }))
    const certificate = leafOf({ publicKey: spki, keyUse: 'encipher' })
    expect(new X509Certificate(certificate.der).publicKey.equals(publicKey)).toBe(true)
    expect(verifyChainToAnyKey({ ...chain, leaf: certificate })).toEqual(spki)
    expect(verifyChainToAnyKey(chain)).toEqual(leafKey.publicKey.spki)
    expect(() => verifyChain({ ...chain, leaf: certificate })).toThrow(FormatError)
    expect(() => verifyChainToAnyKey({ leaf: certificate, roots: [root] })).toThrow(CertificateError)
    const same = leafOf({ publicKey: leafKey.publicKey.spki })
    expect(subjectKeyId(leaf)).toMatch(/^[0-9a-f]{40}$/)
    expect(subjectKeyId(same)).toBe(subjectKeyId(leaf))
    expect(() => leafOf({ publicKey: fromHex('0500') })).toThrow(FormatError)
  })

  it('refuses arguments that make no sense', () => {
    expect(() => leafOf({ issuer: { certificate: middle, key: rootKey } })).toThrow(/another key/)
    expect(() => leafOf({ days: 0 })).toThrow(RangeError)
    expect(() => leafOf({ days: Number.NaN })).toThrow(RangeError)
    expect(() => leafOf({ subject: 'XX=1' })).toThrow(/"subject"/)
    for (const name of ['two names', '', '1.2.3.456.', 'a:b', '::1]', '[::1]']) {
      expect(() => leafOf({ serverNames: [name] })).toThrow(/"serverNames"/)
    }
    expect(() => leafOf({ usages: ['1.x'] })).toThrow(/object identifier/)
    expect(() =>
      leafOf({ extensions: [{ oid: '2.5.29.15', critical: true, value: fromHex('0500') }] }),
    ).toThrow(/twice/)
  })
})

describe('verifyChain', () => {
  it('control: returns the key of a leaf that chains to a pinned root', () => {
    expect(verifyChain(chain).equals(leafKey.publicKey)).toBe(true)
    expect(verifyChain({ ...chain, usage: EK_USAGE }).equals(leafKey.publicKey)).toBe(true)
    expect(
      verifyChain({ leaf: leaf.der, intermediates: [root.pem, middle.der], roots: [root.pem] }),
    ).toBeDefined()
  })

  function reason(options: Parameters<typeof verifyChain>[0]): string {
    try {
      verifyChain(options)
    } catch (error) {
      expect(error).toBeInstanceOf(CertificateError)
      expect(error).toMatchObject({ code: 'BAD_CHAIN' })
      return (error as Error).message
    }
    throw new Error('the chain was accepted')
  }

  it('refuses a chain to another root, or with a missing link', () => {
    const twinKey = IdentityKey.generate()
    const twin = selfSignedRoot({ subject: 'CN=Maker root,O=Example', days: 1, key: twinKey })
    expect(reason({ ...chain, roots: [] })).toMatch(/no issuer/)
    expect(reason({ ...chain, intermediates: [] })).toMatch(/no issuer of "CN=platform-1"/)
    expect(reason({ ...chain, roots: [twin] })).toMatch(/does not fit/)
  })

  it('refuses a forged signature under the right names and identifiers', () => {
    const der = new Uint8Array(leaf.der)
    der[der.length - 1] = (der[der.length - 1] ?? 0) ^ 1
    expect(reason({ ...chain, leaf: der })).toMatch(/signature of "CN=platform-1" does not verify/)
  })

  it('refuses what is expired or not yet valid, at any step', () => {
    expect(reason({ ...chain, at: new Date(Date.now() + 31 * DAY_MS) })).toMatch(/"CN=platform-1" expired/)
    expect(reason({ ...chain, at: new Date(Date.now() - DAY_MS) })).toMatch(/not valid before/)
    const long = leafOf({ days: 1000 })
    expect(reason({ ...chain, leaf: long, at: new Date(Date.now() + 400 * DAY_MS) })).toMatch(
      /Maker EK CA" expired/,
    )
    expect(reason({ ...chain, at: new Date(Number.NaN) })).toMatch(/not valid before/)
  })

  it('refuses an issuer that is no CA', () => {
    const signer = leafOf({ publicKey: middleKey.publicKey, subject: 'CN=signer' })
    const below = leafOf({ issuer: { certificate: signer, key: middleKey } })
    expect(reason({ leaf: below, intermediates: [signer, middle], roots: [root] })).toMatch(/is no CA/)
  })

  it('refuses a CA below a CA that allows none', () => {
    const deepKey = IdentityKey.generate()
    const deep = leafOf({ ca: true, subject: 'CN=deep', publicKey: deepKey.publicKey, usages: [] })
    const below = leafOf({ issuer: { certificate: deep, key: deepKey } })
    expect(reason({ leaf: below, intermediates: [deep, middle], roots: [root] })).toMatch(
      /allows 0 CAs below it, found 1/,
    )
    const wide = issueCertificate({
      subject: 'CN=Maker EK CA,O=Example',
      days: 365,
      ca: true,
      pathLength: 1,
      issuer: { certificate: root, key: rootKey },
      publicKey: middleKey.publicKey,
    })
    expect(verifyChain({ leaf: below, intermediates: [deep, wide], roots: [root] })).toBeDefined()
    // Both certificates of the same CA at once: the one that fits is found.
    expect(verifyChain({ leaf: below, intermediates: [middle, deep, wide], roots: [root] })).toBeDefined()
  })

  it('refuses a leaf that is a CA, a pinned root as leaf among them', () => {
    expect(reason({ ...chain, leaf: middle })).toMatch(/is a CA/)
    expect(reason({ ...chain, leaf: root })).toMatch(/is a CA/)
  })

  it('refuses a leaf without the wanted usage', () => {
    expect(reason({ ...chain, usage: 'server' })).toMatch(
      /to have the usage 1\.3\.6\.1\.5\.5\.7\.3\.1, found 2\.23\.133\.8\.1/,
    )
    expect(reason({ ...chain, leaf: leafOf({ usages: [] }), usage: EK_USAGE })).toMatch(/found none/)
  })

  it('refuses a critical extension that nobody understands, and takes it when the caller does', () => {
    const extension = { oid: '1.3.6.1.4.1.99999.1', critical: true, value: fromHex('0500') }
    const marked = leafOf({ extensions: [extension] })
    expect(reason({ ...chain, leaf: marked })).toMatch(/critical extension 1\.3\.6\.1\.4\.1\.99999\.1/)
    expect(verifyChain({ ...chain, leaf: marked, understood: [extension.oid] })).toBeDefined()
    const plain = leafOf({ extensions: [{ ...extension, critical: false }] })
    expect(verifyChain({ ...chain, leaf: plain })).toBeDefined()
  })

  it('ends soon when many intermediates sign each other', () => {
    const key = IdentityKey.generate()
    const first = selfSignedRoot({ subject: 'CN=loop', days: 1, key })
    const others = Array.from({ length: 8 }, () => selfSignedRoot({ subject: 'CN=loop', days: 1, key }))
    const below = leafOf({ issuer: { certificate: first, key } })
    expect(reason({ leaf: below, intermediates: others, roots: [root] })).toMatch(
      /no issuer|64 signature checks/,
    )
    expect(reason({ leaf: below, intermediates: [...others, first], roots: [root] })).toMatch(
      /at most 8 intermediates/,
    )
  })

  it('refuses bytes that are no certificate', () => {
    expect(() => verifyChain({ ...chain, leaf: utf8('no certificate') })).toThrow(FormatError)
    expect(() => verifyChain({ ...chain, roots: [new Uint8Array()] })).toThrow(FormatError)
    expect(() => parseCertificate('')).toThrow(FormatError)
  })
})
