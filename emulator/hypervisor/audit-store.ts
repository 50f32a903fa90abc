/**
 * Audit logs that the host keeps for workers: one append-only file per worker, entries with a 4-byte big-endian length
 * before each. The host may lose or cut one; then the head that a VM keeps no longer fits.
 * Source: design.md section 5 step 7; worker_data.proto (AppendAudit).
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { PalimpsestError } from '../../sdk/rpc/index.ts'

const prefixBytes = 4
const entryLimit = 1 << 20
const pageLimit = 10_000
const pageBytes = 16 << 20

interface LogFile {
  readonly fd: number
  /** Byte offset of each entry's length prefix, and the end as the last element. */
  readonly offsets: number[]
}

/** A page of a log: entries and the number of the entry after them. */
export interface AuditPage {
  readonly entries: Uint8Array[]
  readonly next: bigint
}

/** All workers' audit logs under one directory. */
export class AuditStore {
  readonly #directory: string
  readonly #logs = new Map<string, LogFile>()

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#directory = directory
  }

  /** Appends entries in one write. @throws PalimpsestError INVALID_ARGUMENT for an entry above 1 MiB. */
  append(worker: string, entries: readonly Uint8Array[]): void {
    const tooLong = entries.find((entry) => entry.length > entryLimit)
    if (tooLong) {
      throw new PalimpsestError(
        'INVALID_ARGUMENT',
        `entries: expected at most ${entryLimit} bytes each, found ${tooLong.length}`,
      )
    }
    const log = this.#open(worker)
    const pieces = entries.flatMap((entry) => {
      const prefix = Buffer.alloc(prefixBytes)
      prefix.writeUInt32BE(entry.length)
      return [prefix, entry]
    })
    const bytes = Buffer.concat(pieces)
    let end = log.offsets.at(-1) ?? 0
    writeSync(log.fd, bytes, 0, bytes.length, end)
    for (const entry of entries) log.offsets.push((end += prefixBytes + entry.length))
  }

  /** Whether there is a log of that worker, of this or of an earlier host process. */
  has(worker: string): boolean {
    return this.#logs.has(worker) || existsSync(this.#path(worker))
  }

  /** Entries from number `since` (0 is the first) on, at most 10 000 and 16 MiB. An unknown worker has none. */
  read(worker: string, since: bigint): AuditPage {
    if (!this.has(worker)) return { entries: [], next: since }
    const log = this.#open(worker)
    if (since >= BigInt(log.offsets.length - 1)) return { entries: [], next: since }
    const entries: Uint8Array[] = []
    let bytes = 0
    let at = Number(since)
    for (; at < log.offsets.length - 1 && entries.length < pageLimit && bytes < pageBytes; at++) {
      const start = (log.offsets[at] ?? 0) + prefixBytes
      const entry = new Uint8Array((log.offsets[at + 1] ?? 0) - start)
      readSync(log.fd, entry, 0, entry.length, start)
      bytes += entry.length
      entries.push(entry)
    }
    return { entries, next: BigInt(at) }
  }

  /** Closes all files. */
  close(): void {
    for (const log of this.#logs.values()) closeSync(log.fd)
    this.#logs.clear()
  }

  #path(worker: string): string {
    return join(this.#directory, `${worker}.audit`)
  }

  #open(worker: string): LogFile {
    const known = this.#logs.get(worker)
    if (known) return known
    const path = this.#path(worker)
    const offsets = existsSync(path) ? entryOffsets(readFileSync(path)) : [0]
    // Not opened for appending: after a crash in the middle of a write, the torn entry is overwritten.
    const log = { fd: openSync(path, existsSync(path) ? 'r+' : 'w+', 0o600), offsets }
    this.#logs.set(worker, log)
    return log
  }
}

/** Offsets of the whole entries of a file; what is torn at its end does not count. */
function entryOffsets(bytes: Buffer): number[] {
  const offsets = [0]
  let at = 0
  while (at + prefixBytes <= bytes.length) {
    at += prefixBytes + bytes.readUInt32BE(at)
    if (at > bytes.length) break
    offsets.push(at)
  }
  return offsets
}
