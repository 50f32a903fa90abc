// Issuing X.509 v3 certificates (RFC 5280 section 4), signed by P-256 keys with ECDSA and SHA-256 (RFC 5758).

import { randomFillSync, X509Certificate } from 'node:crypto'
import { equalBytes, utf8 } from './bytes.ts'
import {
  bitString,
  derTrue,
  element,
  elements,
  octetString,
  oid,
  sequence,
  smallInteger,
  Tag,
  time,
  unsigned,
} from './der.ts'
import { sha256 } from './digest.ts'
import { FormatError } from './errors.ts'
import { type IdentityKey, type PublicKey } from './identity.ts'
import { readCertificate } from './x509-read.ts'
import {
  type Certificate,
  type CertificateContent,
  certificateOf,
  type DirectoryAttribute,
  OID_AUTHORITY_KEY_ID,
  OID_BASIC_CONSTRAINTS,
  OID_DIRECTORY_ATTRIBUTES,
  OID_EXTENDED_KEY_USAGE,
  OID_KEY_USAGE,
  OID_SUBJECT_ALT_NAME,
  OID_SUBJECT_KEY_ID,
  usageOid,
} from './x509-types.ts'

const DAY_MS = 86_400_000
/** Certificates start this long before now, so that a peer whose clock is a little behind accepts them. */
const CLOCK_SKEW_MS = 300_000
const ECDSA_WITH_SHA256 = sequence(oid('1.2.840.10045.4.3.2'))

// KeyUsage bits, first bit highest (RFC 5280 section 4.2.1.3), with the number of unused bits of the shortest form.
const KEY_USE = {
  sign: bitString(Uint8Array.of(0x80), 7),
  encipher: bitString(Uint8Array.of(0x20), 5),
  agree: bitString(Uint8Array.of(0x08), 3),
} as const
const CERT_AND_CRL_SIGN = bitString(Uint8Array.of(0x06), 1)

// Attribute types of names (RFC 4519), as RFC 4514 abbreviates them.
const ATTRIBUTES: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  SERIALNUMBER: '2.5.4.5',
  C: '2.5.4.6',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  O: '2.5.4.10',
  OU: '2.5.4.11',
}

/**
 * Issues a certificate for `publicKey`, signed by `issuer`; `ca: true` makes it an intermediate CA. A key that is not on
 * P-256 is given as its DER SubjectPublicKeyInfo. Throws TypeError or RangeError for wrong arguments, FormatError for an
 * issuer certificate or a SubjectPublicKeyInfo that does not parse.
 */
export function issueCertificate(
  options: CertificateContent & {
    readonly issuer: { readonly certificate: Certificate; readonly key: IdentityKey }
    readonly publicKey: PublicKey | Uint8Array
    readonly ca?: boolean | undefined
  },
): Certificate {
  const { publicKey, issuer: by } = options
  const { certificate, key } = by
  const issuer = readCertificate(certificate.der, 'issuer certificate')
  if (!equalBytes(issuer.spki, key.publicKey.spki)) {
    throw new RangeError('"issuer" expected the key that the issuer certificate names, got another key')
  }
  return create(options, {
    ca: options.ca === true,
    spki: publicKey instanceof Uint8Array ? publicKey : publicKey.spki,
    signer: key,
    issuerName: issuer.subject,
    authorityKeyId: issuer.subjectKeyId,
  })
}

/** A self-signed CA certificate of `key`: a root to pin. Throws TypeError or RangeError for wrong arguments. */
export function selfSignedRoot(options: CertificateContent & { readonly key: IdentityKey }): Certificate {
  const { spki } = options.key.publicKey
  return create(options, {
    ca: true,
    spki,
    signer: options.key,
    issuerName: distinguishedName(options.subject),
    authorityKeyId: keyIdentifier(spki),
  })
}

interface Making {
  readonly ca: boolean
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array
  readonly signer: IdentityKey
  /** DER Name. */
  readonly issuerName: Uint8Array
  readonly authorityKeyId: Uint8Array | undefined
}

function create(content: CertificateContent, making: Making): Certificate {
  const notBefore = content.notBefore ?? new Date(Date.now() - CLOCK_SKEW_MS)
  const notAfter = new Date(Math.max(Date.now(), notBefore.getTime()) + content.days * DAY_MS)
  if (!(content.days > 0) || Number.isNaN(notAfter.getTime())) {
    throw new RangeError(`"days" expected a positive number, got ${String(content.days)}`)
  }
  // 16 random bytes, the first one 1 to 127: positive, never zero, at most 20 octets.
  const serial = randomFillSync(new Uint8Array(16))
  serial[0] = ((serial[0] ?? 0) & 0x7e) | 1
  const toBeSigned = sequence(
    element(0xa0, smallInteger(2)),
    unsigned(serial),
    ECDSA_WITH_SHA256,
    making.issuerName,
    sequence(time(notBefore), time(notAfter)),
    distinguishedName(content.subject),
    making.spki,
    element(0xa3, sequence(...extensionsOf(content, making))),
  )
  const signature = making.signer.sign(toBeSigned)
  const signatureValue = sequence(unsigned(signature.subarray(0, 32)), unsigned(signature.subarray(32)))
  return certificateOf(
    new X509Certificate(sequence(toBeSigned, ECDSA_WITH_SHA256, bitString(signatureValue))),
  )
}

/** Leftmost 160 bits of SHA-256 of the BIT STRING subjectPublicKey (RFC 7093 section 2, method 1). */
function keyIdentifier(spki: Uint8Array): Uint8Array {
  const what = 'public key'
  const [info] = elements(spki, what)
  const [, bits] = elements(info?.content ?? spki, what)
  if (bits?.tag !== Tag.bitString || info?.raw.length !== spki.length) {
    throw new FormatError(what, 'expected a DER SubjectPublicKeyInfo, found another structure')
  }
  return sha256(bits.content.subarray(1)).slice(0, 20)
}

function extensionsOf(content: CertificateContent, making: Making): Uint8Array[] {
  const { ca } = making
  const use = KEY_USE[content.keyUse ?? 'sign']
  const list = [
    { oid: OID_BASIC_CONSTRAINTS, critical: true, value: basicConstraints(ca, content.pathLength) },
    { oid: OID_KEY_USAGE, critical: true, value: ca ? CERT_AND_CRL_SIGN : use },
    { oid: OID_SUBJECT_KEY_ID, critical: false, value: octetString(keyIdentifier(making.spki)) },
  ]
  if (making.authorityKeyId) {
    const value = sequence(element(0x80, making.authorityKeyId))
    list.push({ oid: OID_AUTHORITY_KEY_ID, critical: false, value })
  }
  const usages = (content.usages ?? []).map((usage) => oid(usageOid(usage)))
  if (usages.length > 0)
    list.push({ oid: OID_EXTENDED_KEY_USAGE, critical: false, value: sequence(...usages) })
  const names = alternativeNames(content)
  const critical = content.subject === ''
  if (names.length > 0) list.push({ oid: OID_SUBJECT_ALT_NAME, critical, value: sequence(...names) })
  const attributes = (content.directoryAttributes ?? []).map(directoryAttribute)
  if (attributes.length > 0) {
    list.push({ oid: OID_DIRECTORY_ATTRIBUTES, critical: false, value: sequence(...attributes) })
  }
  list.push(...(content.extensions ?? []))
  const repeated = list.find((item, i) => list.findIndex((other) => other.oid === item.oid) !== i)
  if (repeated) throw new RangeError(`"extensions" expected each once, got ${repeated.oid} twice`)
  return list.map((item) =>
    sequence(oid(item.oid), ...(item.critical ? [derTrue] : []), octetString(item.value)),
  )
}

/** General names; directoryName [4] holds a CHOICE, so its tag is explicit (X.680 section 31.2.7). */
function alternativeNames({ serverNames = [], directoryName = '' }: CertificateContent): Uint8Array[] {
  const names = serverNames.map(generalName)
  if (directoryName !== '') names.push(element(0xa4, distinguishedName(directoryName)))
  return names
}

function directoryAttribute({ oid: type, value }: DirectoryAttribute): Uint8Array {
  return sequence(oid(type), element(Tag.set, value))
}

function basicConstraints(ca: boolean, pathLength: number | undefined): Uint8Array {
  if (!ca) return sequence()
  if (pathLength === undefined) return sequence(derTrue)
  if (!Number.isInteger(pathLength) || pathLength < 0 || pathLength > 127) {
    throw new RangeError(`"pathLength" expected an integer 0..127, got ${String(pathLength)}`)
  }
  return sequence(derTrue, smallInteger(pathLength))
}

/** dNSName [2] or iPAddress [7] (RFC 5280 section 4.2.1.6). */
function generalName(name: string): Uint8Array {
  const address = addressBytes(name)
  if (address) return element(0x87, address)
  if (!/^[A-Za-z0-9_*](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/.test(name)) {
    throw new RangeError(
      `"serverNames" expected DNS names and IP addresses, got ${JSON.stringify(name.slice(0, 60))}`,
    )
  }
  return element(0x82, utf8(name))
}

/** The 4 or 16 bytes of an IP address, or undefined for a text that is none. */
function addressBytes(text: string): Uint8Array | undefined {
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(text)) {
    const bytes = text.split('.').map(Number)
    return bytes.every((byte) => byte < 256) ? Uint8Array.from(bytes) : undefined
  }
  if (!text.includes(':') || !URL.canParse(`http://[${text}]`)) return undefined
  // The URL parser writes an IPv6 address in its one canonical form, with an embedded IPv4 part as two groups.
  const [head = '', tail = ''] = new URL(`http://[${text}]`).hostname.slice(1, -1).split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const zeros = new Array<string>(8 - groups(head).length - groups(tail).length).fill('0')
  return Uint8Array.from(
    [...groups(head), ...zeros, ...groups(tail)].flatMap((group) => {
      const word = parseInt(group, 16)
      return [word >> 8, word & 0xff]
    }),
  )
}

/** DER Name from the text form of RFC 4514, whose first part is the last of the sequence. */
function distinguishedName(subject: string): Uint8Array {
  if (subject === '') return sequence()
  const text = subject.includes('=') ? subject : `CN=${subject.replace(/[\\,]/g, '\\$&')}`
  const parts = text.split(/(?<!\\),/).map(relativeName)
  return sequence(...parts.reverse())
}

function relativeName(part: string): Uint8Array {
  const [, type = '', rawValue = ''] = /^\s*([A-Za-z0-9.]+)=(.+)$/s.exec(part) ?? []
  const value = rawValue.replace(/\\(.)/gs, '$1').trim()
  const attribute = ATTRIBUTES[type.toUpperCase()] ?? (/^\d/.test(type) ? type : undefined)
  if (attribute === undefined || value === '') {
    throw new RangeError(
      `"subject" expected parts like CN=name, with ${Object.keys(ATTRIBUTES).join(', ')} or an OID, got ${JSON.stringify(part.slice(0, 60))}`,
    )
  }
  const isPrintable = attribute === ATTRIBUTES.C || attribute === ATTRIBUTES.SERIALNUMBER
  const text = element(isPrintable ? Tag.printableString : Tag.utf8String, utf8(value))
  return element(Tag.set, sequence(oid(attribute), text))
}
