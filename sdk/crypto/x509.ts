// Verifying X.509 certificate chains up to pinned roots (RFC 5280 section 6). Signatures, names, key identifiers and
// validity are checked by node:crypto (OpenSSL). The rules that its single-step functions leave to the caller are here:
// CA flag, path length, critical extensions, purpose, and the search for a path.

import { X509Certificate } from 'node:crypto'
import { assertBytes, plainView } from './bytes.ts'
import { CertificateError, FormatError } from './errors.ts'
import { PublicKey } from './identity.ts'
import { readCertificate } from './x509-read.ts'
import {
  type Certificate,
  certificateOf,
  type CertificateUsage,
  OID_BASIC_CONSTRAINTS,
  OID_EXTENDED_KEY_USAGE,
  OID_KEY_USAGE,
  OID_SUBJECT_ALT_NAME,
  usageOid,
} from './x509-types.ts'

const MAX_CHAIN = 8
/** Intermediates of one name could be tried in very many orders; a real chain needs a handful of checks. */
const MAX_SIGNATURE_CHECKS = 64
const UNDERSTOOD = [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE, OID_SUBJECT_ALT_NAME, OID_EXTENDED_KEY_USAGE]

/** Reads one certificate, DER or PEM. Throws {@link FormatError} `MALFORMED`. */
export function parseCertificate(encoded: Uint8Array | string): Certificate {
  return certificateOf(parseX509('certificate', encoded))
}

/** Every certificate of a PEM bundle, in order. Throws {@link FormatError}. */
export function parseCertificates(pem: string): Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block) => parseCertificate(block))
}

/** The P-256 key that a certificate names, without verifying the certificate. Throws {@link FormatError}. */
export function certificateKey(certificate: Certificate | Uint8Array | string): PublicKey {
  return PublicKey.fromKeyObject(parseX509('certificate', encodingOf(certificate)).publicKey)
}

/**
 * Verifies that `leaf` chains to one of `roots` and returns the leaf's key. Checks, on every step: signature, names and
 * key identifiers, validity at `at` (default now; the root's too), CA flag and right to sign certificates, path length,
 * no critical extension that nobody understands. The leaf must not be a CA, and must have the extended key usage
 * `usage` when given: without it, a key certified for one purpose could stand in for another of the same root.
 * Intermediates may come in any order; ones that are not needed are ignored.
 *
 * Throws {@link CertificateError} `BAD_CHAIN` with the reason, and {@link FormatError} `MALFORMED` for a certificate that
 * does not parse or whose leaf key is not on P-256.
 */
export function verifyChain(options: ChainToVerify): PublicKey {
  return PublicKey.fromKeyObject(verifiedLeaf(options).publicKey)
}

/** As {@link verifyChain} for a leaf with any kind of key: returns its DER SubjectPublicKeyInfo. */
export function verifyChainToAnyKey(options: ChainToVerify): Uint8Array {
  return plainView(verifiedLeaf(options).publicKey.export({ format: 'der', type: 'spki' }))
}

/** What {@link verifyChain} takes. */
export interface ChainToVerify {
  readonly leaf: Certificate | Uint8Array | string
  readonly intermediates?: readonly (Certificate | Uint8Array | string)[] | undefined
  readonly roots: readonly (Certificate | Uint8Array | string)[]
  readonly at?: Date | undefined
  readonly usage?: CertificateUsage | undefined
  /** Object identifiers of critical extensions that the caller checks by itself. */
  readonly understood?: readonly string[] | undefined
}

function verifiedLeaf(options: ChainToVerify): X509Certificate {
  const intermediates = options.intermediates ?? []
  if (intermediates.length > MAX_CHAIN) {
    throw new CertificateError(
      `expected at most ${String(MAX_CHAIN)} intermediates, found ${String(intermediates.length)}`,
    )
  }
  const search: Search = {
    roots: options.roots.map((root) => parseX509('root certificate', encodingOf(root))),
    intermediates: intermediates.map((entry) => parseX509('intermediate certificate', encodingOf(entry))),
    at: options.at ?? new Date(),
    understood: [...UNDERSTOOD, ...(options.understood ?? [])],
    checks: { left: MAX_SIGNATURE_CHECKS },
  }
  const leaf = parseX509('leaf certificate', encodingOf(options.leaf))
  checkLeaf(leaf, search, options.usage)
  const reason = findPath(leaf, 0, search)
  if (reason !== undefined) throw new CertificateError(reason)
  return leaf
}

interface Search {
  readonly roots: readonly X509Certificate[]
  readonly intermediates: readonly X509Certificate[]
  readonly at: Date
  readonly understood: readonly string[]
  /** Shared by all branches of the search. */
  readonly checks: { left: number }
}

function checkLeaf(leaf: X509Certificate, search: Search, usage: CertificateUsage | undefined): void {
  const problem = checkAlone(leaf, search)
  if (problem !== undefined) throw new CertificateError(problem)
  if (leaf.ca) throw new CertificateError(`expected an end entity, found that ${named(leaf)} is a CA`)
  if (usage === undefined) return
  const oid = usageOid(usage)
  // X509Certificate.keyUsage is, in spite of its name, the extended key usage; undefined when there is none.
  const usages = (leaf.keyUsage as string[] | undefined) ?? []
  if (!usages.includes(oid)) {
    throw new CertificateError(
      `expected ${named(leaf)} to have the usage ${oid}, found ${usages.length === 0 ? 'none' : usages.join(', ')}`,
    )
  }
}

/**
 * Looks for a path from `certificate`, which has `casBelow` CAs under it, to a root. Depth first over all issuers that
 * fit, because several certificates may share a name. Returns undefined when found, else why the last try failed.
 */
function findPath(certificate: X509Certificate, casBelow: number, search: Search): string | undefined {
  if (casBelow > MAX_CHAIN) return `expected at most ${String(MAX_CHAIN)} CAs in the chain, found more`
  let reason = `no issuer of ${named(certificate)} among ${String(search.roots.length)} roots and ${String(
    search.intermediates.length,
  )} intermediates; its issuer is "${oneLine(certificate.issuer)}"`
  for (const root of search.roots) {
    if (certificate.issuer !== root.subject) continue
    const problem = checkAlone(root, search) ?? checkIssuer(certificate, root, casBelow, search)
    if (problem === undefined) return undefined
    reason = problem
  }
  for (const issuer of search.intermediates) {
    if (certificate.issuer !== issuer.subject) continue
    const rest = { ...search, intermediates: search.intermediates.filter((other) => other !== issuer) }
    const problem =
      checkAlone(issuer, search) ??
      checkIssuer(certificate, issuer, casBelow, search) ??
      findPath(issuer, casBelow + 1, rest)
    if (problem === undefined) return undefined
    reason = problem
  }
  return reason
}

/** Rules of one certificate by itself. Returns why it is refused, or undefined. */
function checkAlone(certificate: X509Certificate, search: Search): string | undefined {
  const time = search.at.getTime()
  // Written so that a date that does not parse refuses the certificate.
  if (!(time >= Date.parse(certificate.validFrom))) {
    return `${named(certificate)} is not valid before ${certificate.validFrom}; the time is ${search.at.toUTCString()}`
  }
  if (!(time <= Date.parse(certificate.validTo))) {
    return `${named(certificate)} expired at ${certificate.validTo}; the time is ${search.at.toUTCString()}`
  }
  const unknown = partsOf(certificate).extensions.find(
    ({ critical, oid }) => critical && !search.understood.includes(oid),
  )
  return unknown && `${named(certificate)} has a critical extension ${unknown.oid} that is not understood`
}

/** Rules between a certificate and its issuer. Returns why the step is refused, or undefined. */
function checkIssuer(
  certificate: X509Certificate,
  issuer: X509Certificate,
  casBelow: number,
  search: Search,
): string | undefined {
  if (!issuer.ca) return `${named(issuer)} signed ${named(certificate)} but is no CA`
  if (!certificate.checkIssued(issuer)) {
    return `${named(issuer)} does not fit as issuer of ${named(certificate)} (name, key identifier or key usage)`
  }
  if (search.checks.left-- <= 0) {
    return `expected a chain found within ${String(MAX_SIGNATURE_CHECKS)} signature checks, found none`
  }
  if (!certificate.verify(issuer.publicKey)) {
    return `the signature of ${named(certificate)} does not verify with the key of ${named(issuer)}`
  }
  const { pathLength } = partsOf(issuer)
  if (pathLength !== undefined && casBelow > pathLength) {
    return `${named(issuer)} allows ${String(pathLength)} CAs below it, found ${String(casBelow)}`
  }
  return undefined
}

function partsOf(certificate: X509Certificate): ReturnType<typeof readCertificate> {
  return readCertificate(plainView(certificate.raw), 'certificate')
}

function named(certificate: X509Certificate): string {
  return `"${oneLine(certificate.subject)}"`
}

/** node gives names one attribute a line, and undefined for an empty name. */
function oneLine(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ')
}

function parseX509(what: string, encoded: Uint8Array | string): X509Certificate {
  if (typeof encoded !== 'string') assertBytes('certificate', encoded)
  try {
    return new X509Certificate(encoded)
  } catch (cause) {
    throw new FormatError(
      what,
      'expected an X.509 certificate in DER or PEM, found bytes that do not parse',
      { cause },
    )
  }
}

function encodingOf(certificate: Certificate | Uint8Array | string): Uint8Array | string {
  return typeof certificate === 'string' || certificate instanceof Uint8Array ? certificate : certificate.der
}
