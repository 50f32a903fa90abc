// Reading the parts of a certificate that node:crypto does not show: raw names, extensions with their criticality, path
// length, key identifier. The certificate was parsed by OpenSSL before; this walk only finds the places.

import { type DerElement, dotted, elements, Tag } from './der.ts'
import { FormatError } from './errors.ts'
import { type CertificateExtension, OID_BASIC_CONSTRAINTS, OID_SUBJECT_KEY_ID } from './x509-types.ts'

/** The parts, as views into the certificate. */
export interface CertificateParts {
  /** DER Name of the subject. */
  readonly subject: Uint8Array
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array
  readonly extensions: readonly CertificateExtension[]
  readonly subjectKeyId: Uint8Array | undefined
  /** pathLenConstraint, or undefined for no limit. */
  readonly pathLength: number | undefined
}

/** Takes a DER certificate apart (RFC 5280 section 4.1). Throws {@link FormatError} `MALFORMED`. */
export function readCertificate(der: Uint8Array, what: string): CertificateParts {
  const [certificate] = elements(der, what)
  const [toBeSigned] = elements(certificate?.content ?? der, what)
  // version [0] (absent in v1), serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, ..., [3]
  const fields = elements(toBeSigned?.content ?? der, what)
  const offset = fields[0]?.tag === 0xa0 ? 1 : 0
  const [subject, spki] = fields.slice(offset + 4)
  if (!subject || !spki) throw new FormatError(what, 'expected the fields of RFC 5280, found fewer')
  const wrapper = fields.find(({ tag }) => tag === 0xa3)
  const [list] = wrapper ? elements(wrapper.content, what) : []
  const extensions = list ? elements(list.content, what).map((item) => readExtension(item, what)) : []
  return {
    subject: subject.raw,
    spki: spki.raw,
    extensions,
    subjectKeyId: onlyContent(extensions, OID_SUBJECT_KEY_ID, what),
    pathLength: readPathLength(extensions, what),
  }
}

function readExtension(item: DerElement, what: string): CertificateExtension {
  const [id, ...rest] = elements(item.content, what)
  const value = rest.at(-1)
  if (id?.tag !== Tag.oid || value?.tag !== Tag.octetString) {
    throw new FormatError(what, 'expected an extension with identifier and value, found another shape')
  }
  const critical = rest[0]?.tag === Tag.boolean && rest[0].content[0] !== 0
  return { oid: dotted(id.content), critical, value: value.content }
}

function onlyContent(
  extensions: readonly CertificateExtension[],
  wanted: string,
  what: string,
): Uint8Array | undefined {
  const extension = extensions.find((item) => item.oid === wanted)
  return extension && elements(extension.value, what)[0]?.content
}

function readPathLength(extensions: readonly CertificateExtension[], what: string): number | undefined {
  const content = onlyContent(extensions, OID_BASIC_CONSTRAINTS, what)
  const limit = content && elements(content, what).find(({ tag }) => tag === Tag.integer)
  return limit?.content.reduce((sum, byte) => sum * 256 + byte, 0)
}
