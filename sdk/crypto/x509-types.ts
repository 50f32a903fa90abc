// What a certificate is to the rest of this room, and the object identifiers of RFC 5280 that it understands.

import type { X509Certificate } from 'node:crypto'
import { plainView } from './bytes.ts'

/** Object identifiers of certificate extensions (RFC 5280 section 4.2.1); this one is subjectDirectoryAttributes. */
export const OID_DIRECTORY_ATTRIBUTES = '2.5.29.9'
/** subjectKeyIdentifier */
export const OID_SUBJECT_KEY_ID = '2.5.29.14'
/** keyUsage */
export const OID_KEY_USAGE = '2.5.29.15'
/** subjectAltName */
export const OID_SUBJECT_ALT_NAME = '2.5.29.17'
/** basicConstraints */
export const OID_BASIC_CONSTRAINTS = '2.5.29.19'
/** authorityKeyIdentifier */
export const OID_AUTHORITY_KEY_ID = '2.5.29.35'
/** extKeyUsage */
export const OID_EXTENDED_KEY_USAGE = '2.5.29.37'

/** What a certificate's key is for: a TLS role, or the object identifier of another extended key usage. */
export type CertificateUsage = 'server' | 'client' | `${number}.${string}`

/** The object identifier of a usage. */
export function usageOid(usage: CertificateUsage): string {
  if (usage === 'server') return '1.3.6.1.5.5.7.3.1'
  return usage === 'client' ? '1.3.6.1.5.5.7.3.2' : usage
}

/** A certificate in both encodings. */
export interface Certificate {
  readonly der: Uint8Array
  readonly pem: string
}

/** A further extension: object identifier, criticality, and the DER of its value. */
export interface CertificateExtension {
  readonly oid: string
  readonly critical: boolean
  readonly value: Uint8Array
}

/** An attribute of the subject beside its name: object identifier, and the DER of its one value. */
export interface DirectoryAttribute {
  readonly oid: string
  readonly value: Uint8Array
}

/** What goes into a certificate, whoever signs it. */
export interface CertificateContent {
  /**
   * Distinguished name in the text form of RFC 4514, `CN=vm-7,O=Example`, with `\` before a comma inside a value.
   * A text without `=` is the common name. May be empty.
   */
  readonly subject: string
  /** Days from now until it expires; a fraction is allowed. */
  readonly days: number
  /** Start of validity; default five minutes ago. When it lies in the future, `days` count from it. */
  readonly notBefore?: Date | undefined
  /** For a CA: how many CAs may follow below it. Default: any number. */
  readonly pathLength?: number | undefined
  /**
   * DNS names and IP addresses of the subject alternative name, which is critical when the subject is empty
   * (RFC 5280 section 4.2.1.6).
   */
  readonly serverNames?: readonly string[] | undefined
  /** Distinguished name of the subject alternative name, in the form of `subject`: its directoryName. */
  readonly directoryName?: string | undefined
  /** Subject directory attributes (RFC 5280 section 4.2.1.8). */
  readonly directoryAttributes?: readonly DirectoryAttribute[] | undefined
  /** Extended key usages; none means no such extension. */
  readonly usages?: readonly CertificateUsage[] | undefined
  /** Whether the key signs (default), agrees on keys, or encrypts them, as a TPM's ECC and RSA endorsement keys do. */
  readonly keyUse?: 'sign' | 'agree' | 'encipher' | undefined
  /** Further extensions, added as they are. */
  readonly extensions?: readonly CertificateExtension[] | undefined
}

/** Both encodings of a parsed certificate. */
export function certificateOf(certificate: X509Certificate): Certificate {
  return { der: new Uint8Array(plainView(certificate.raw)), pem: certificate.toString() }
}
