/**
 * The write journal: which blocks a top layer has gained since its map was last made durable.
 *
 * The map in LMDB may only promise blocks whose data is on disk: a map entry that survives a power cut while its
 * data does not would hide older, flushed content behind garbage. But a write must also survive kill -9 before any
 * sync. So a write appends a record here, without sync, and is acknowledged; a flush makes the data durable, then
 * the map. After a crash of the process the records are in the page cache and are replayed. After a crash of the
 * machine (another boot id in the header) data and records may have reached the disk in any order, and the records
 * are dropped: they only tell of writes that nobody had flushed.
 *
 * File: 64-byte header (magic, boot id), then records of 16 bytes, little endian:
 * layer u32, count u32, first block u48, check u16.
 */
import { closeSync, mkdirSync, openSync, readFileSync, readdirSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const MAGIC = 'palimpsest journal 1\n'
const HEADER_BYTES = 64
const RECORD_BYTES = 16

/** `count` blocks from `first` on that a layer gained. */
export interface JournalRun {
  readonly layer: number
  readonly first: number
  readonly count: number
}

/** The journals that an earlier process left behind. */
export interface LeftJournals {
  readonly paths: readonly string[]
  /** Records of this boot, oldest first. */
  readonly runs: readonly JournalRun[]
  /** Files of another boot, whose records are dropped. */
  readonly dropped: number
  /** A number above that of every file found. */
  readonly nextNumber: number
}

/** Reads what an earlier process left in `directory`, creating the directory when there is none. */
export function readJournals(directory: string, boot: string): LeftJournals {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const numbers = readdirSync(directory)
    .filter((name) => /^\d+\.journal$/.test(name))
    .map((name) => Number.parseInt(name, 10))
    .sort((left, right) => left - right)
  const paths = numbers.map((number) => journalPath(directory, number))
  const files = paths.map((path) => readFileSync(path))
  const current = files.filter((file) => isOfBoot(file, boot))
  return {
    paths,
    runs: current.flatMap((file) => [...records(file)]),
    dropped: files.length - current.length,
    nextNumber: (numbers.at(-1) ?? 0) + 1,
  }
}

/** Deletes journals whose records are in the durable map. */
export function removeJournals(paths: readonly string[]): void {
  for (const path of paths) unlinkSync(path)
}

/** The journal being written. Appends are synchronous: one small write into the page cache. */
export class Journal {
  readonly #directory: string
  readonly #boot: string
  readonly #record = Buffer.alloc(RECORD_BYTES)
  #number: number
  #fd: number
  #size = HEADER_BYTES

  constructor(directory: string, boot: string, number: number) {
    this.#directory = directory
    this.#boot = boot
    this.#number = number
    this.#fd = this.#create()
  }

  /** Records in the current file. */
  get records(): number {
    return (this.#size - HEADER_BYTES) / RECORD_BYTES
  }

  /**
   * Notes that a layer gained blocks. The data must have been written before.
   * @throws the system's error (ENOSPC, EIO); the record then does not count.
   */
  append(layer: number, first: number, count: number): void {
    this.#record.writeUInt32LE(layer, 0)
    this.#record.writeUInt32LE(count, 4)
    this.#record.writeUIntLE(first, 8, 6)
    this.#record.writeUInt16LE(check(this.#record), 14)
    writeWhole(this.#fd, this.#record, this.#size)
    this.#size += RECORD_BYTES
  }

  /** Begins a new file and returns the path of the old one, to be removed when its records are in the map. */
  rotate(): string {
    const old = journalPath(this.#directory, this.#number)
    const oldFd = this.#fd
    this.#number += 1
    this.#fd = this.#create()
    this.#size = HEADER_BYTES
    closeSync(oldFd)
    return old
  }

  /** Closes the file and leaves it in place; returns its path. */
  close(): string {
    closeSync(this.#fd)
    return journalPath(this.#directory, this.#number)
  }

  #create(): number {
    const fd = openSync(journalPath(this.#directory, this.#number), 'wx', 0o600)
    const header = Buffer.alloc(HEADER_BYTES)
    header.write(MAGIC + this.#boot, 'latin1')
    writeWhole(fd, header, 0)
    return fd
  }
}

function journalPath(directory: string, number: number): string {
  return join(directory, `${String(number)}.journal`)
}

function isOfBoot(file: Buffer, boot: string): boolean {
  const header = Buffer.alloc(HEADER_BYTES)
  header.write(MAGIC + boot, 'latin1')
  return file.length >= HEADER_BYTES && file.subarray(0, HEADER_BYTES).equals(header)
}

function* records(file: Buffer): Generator<JournalRun> {
  for (let at = HEADER_BYTES; at + RECORD_BYTES <= file.length; at += RECORD_BYTES) {
    const record = file.subarray(at, at + RECORD_BYTES)
    // A torn record belongs to a write that was never acknowledged.
    if (record.readUInt16LE(14) !== check(record)) continue
    yield { layer: record.readUInt32LE(0), count: record.readUInt32LE(4), first: record.readUIntLE(8, 6) }
  }
}

/** Fletcher's checksum, seeded so that a record of zeros does not pass. */
function check(record: Uint8Array): number {
  let low = 0x5a
  let high = 0xa5
  for (const byte of record.subarray(0, 14)) {
    low = (low + byte) % 255
    high = (high + low) % 255
  }
  return (high << 8) | low
}

function writeWhole(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done)
  }
}
