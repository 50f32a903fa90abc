// The worker's audit log: a chain of entries in which each names the digest of the one before it. The host stores the
// entries; whoever keeps a head (a VM, from its last receipt) can tell whether entries were changed or cut off.
// Source: hash chains as in RFC 6962 section 1 (append-only logs), reduced to one writer.

import {
  type Canonical,
  decodeMap,
  encodeCanonical,
  equalBytes,
  field,
  hex,
  taggedDigest,
} from '../crypto/index.ts'

const TAG = 'palimpsest/v1/audit'

/** The head before the first entry. */
export const AUDIT_START: Uint8Array = new Uint8Array(32)

/** Values that an entry may carry: names, counts and digests; never a key, plaintext or digest of plaintext. */
export type AuditFields = Readonly<Record<string, string | bigint | Uint8Array>>

/** One entry as read back. */
export interface AuditEntry {
  readonly sequence: bigint
  readonly previous: Uint8Array
  /** Milliseconds of platform time. */
  readonly at: bigint
  readonly event: string
  readonly fields: AuditFields
}

/** Where a log stands: the digest of its last entry and how many there are. */
export interface AuditHead {
  readonly sequence: bigint
  readonly digest: Uint8Array
}

/** Writes the chain. Entries leave through `sink` in order; the head moves on at once. */
export class AuditLog {
  #head: AuditHead = { sequence: 0n, digest: AUDIT_START }
  readonly #sink: (entry: Uint8Array) => void

  constructor(sink: (entry: Uint8Array) => void) {
    this.#sink = sink
  }

  get head(): AuditHead {
    return this.#head
  }

  /** Appends an entry and returns the new head. */
  append(at: bigint, event: string, fields: AuditFields): AuditHead {
    const sequence = this.#head.sequence + 1n
    const entry = encodeCanonical({ v: 1n, sequence, previous: this.#head.digest, at, event, fields })
    this.#head = { sequence, digest: taggedDigest(TAG, entry) }
    this.#sink(entry)
    return this.#head
  }
}

/** Parses one entry. Throws FormatError when it is malformed. */
export function parseAuditEntry(bytes: Uint8Array): AuditEntry {
  const map = decodeMap(bytes, 'audit entry')
  field.only(map, ['v', 'sequence', 'previous', 'at', 'event', 'fields'])
  field.uint(map, 'v', 1n)
  const fields: Record<string, string | bigint | Uint8Array> = {}
  for (const [name, value] of Object.entries(field.map(map, 'fields'))) fields[name] = auditValue(name, value)
  return {
    sequence: field.uint(map, 'sequence'),
    previous: field.bytes(map, 'previous', 32),
    at: field.uint(map, 'at'),
    event: field.text(map, 'event', 64),
    fields,
  }
}

function auditValue(name: string, value: Canonical): string | bigint | Uint8Array {
  if (typeof value === 'string' || typeof value === 'bigint' || value instanceof Uint8Array) return value
  throw new TypeError(`audit field "${name}" expected text, an integer or bytes`)
}

/** What checking a log found. */
export type AuditVerdict =
  | { readonly ok: true; readonly entries: bigint; readonly head: Uint8Array }
  | { readonly ok: false; readonly at: bigint; readonly reason: string }

/**
 * Checks a chain from its start, and that it reaches `head` when one is given. A log that ends before `head`, or that
 * passes it without meeting it, was cut off or rewritten.
 */
export function verifyAudit(entries: Iterable<Uint8Array>, head?: Uint8Array): AuditVerdict {
  let digest: Uint8Array = AUDIT_START
  let sequence = 0n
  let met = head === undefined || equalBytes(head, AUDIT_START)
  for (const bytes of entries) {
    sequence += 1n
    let entry: AuditEntry
    try {
      entry = parseAuditEntry(bytes)
    } catch {
      return { ok: false, at: sequence, reason: 'the entry is malformed' }
    }
    if (entry.sequence !== sequence) {
      return {
        ok: false,
        at: sequence,
        reason: `expected sequence ${sequence.toString()}, found ${entry.sequence.toString()}`,
      }
    }
    if (!equalBytes(entry.previous, digest)) {
      return { ok: false, at: sequence, reason: 'the entry does not follow from the one before it' }
    }
    digest = taggedDigest(TAG, bytes)
    met ||= head !== undefined && equalBytes(head, digest)
  }
  if (met) return { ok: true, entries: sequence, head: digest }
  return {
    ok: false,
    at: sequence,
    reason: `the log ends at ${hex(digest)} and never passes the expected head: entries were cut off or replaced`,
  }
}
