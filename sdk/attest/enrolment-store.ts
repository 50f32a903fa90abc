// Where enrolment records are kept between runs. A record holds public keys only, but whoever can change it chooses
// the platform that is trusted: the file belongs to the VM, never to the host.

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fromHex, hex, PublicKey } from '../crypto/index.ts'
import type { EnrolmentRecord } from './enrolment.ts'

/** Records by EK name. */
export interface EnrolmentStore {
  /** The record of a platform, or undefined. */
  get(ekName: Uint8Array): Promise<EnrolmentRecord | undefined>
  /** Keeps a record; one of the same platform is replaced. */
  put(record: EnrolmentRecord): Promise<void>
}

/** A store that ends with the process. */
export function memoryEnrolments(): EnrolmentStore {
  const records = new Map<string, EnrolmentRecord>()
  return {
    get: (ekName) => Promise.resolve(records.get(hex(ekName))),
    put: (record) => {
      records.set(hex(record.ekName), record)
      return Promise.resolve()
    },
  }
}

/**
 * A store in one JSON file of mode 0600, replaced as a whole at each put, so that a crash leaves the old or the new.
 * A missing file is an empty store. Its methods throw EnrolmentFileError for a file that is no store.
 */
export function fileEnrolments(path: string): EnrolmentStore {
  let last: Promise<unknown> = Promise.resolve()
  return {
    get: async (ekName) => (await load(path)).get(hex(ekName)),
    put: (record) => {
      // One after the other: two puts at once would each write only their own record.
      const next = last.then(async () => {
        const records = await load(path)
        records.set(hex(record.ekName), record)
        await save(path, records)
      })
      last = next.catch(() => undefined)
      return next
    },
  }
}

/** An enrolment file that does not hold records. */
export class EnrolmentFileError extends Error {
  readonly code = 'ENROLMENT_FILE_INVALID'

  constructor(path: string, problem: string, options?: ErrorOptions) {
    super(`${path} is no enrolment file: ${problem}; remove it and enrol again`, options)
    this.name = 'EnrolmentFileError'
  }
}

const BYTE_FIELDS = ['ekName', 'akName', 'ekPublic', 'akPublic', 'anchor'] as const

async function load(path: string): Promise<Map<string, EnrolmentRecord>> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return new Map()
    throw error
  }
  try {
    const { version, platforms } = JSON.parse(text) as { version: unknown; platforms: unknown }
    if (version !== 1 || !Array.isArray(platforms))
      throw new TypeError('expected version 1 and a list of platforms')
    const records = platforms.map(recordOf)
    return new Map(records.map((record) => [hex(record.ekName), record]))
  } catch (cause) {
    throw new EnrolmentFileError(path, cause instanceof Error ? cause.message : 'unknown', { cause })
  }
}

async function save(path: string, records: ReadonlyMap<string, EnrolmentRecord>): Promise<void> {
  const platforms = [...records.values()].map((record) => ({
    ...Object.fromEntries(BYTE_FIELDS.map((name) => [name, hex(record[name])])),
    reportKey: record.reportKey.toPem(),
    enrolledAt: new Date(record.enrolledAt).toISOString(),
  }))
  await mkdir(dirname(path), { recursive: true })
  const fresh = `${path}.${String(process.pid)}.new`
  await writeFile(fresh, `${JSON.stringify({ version: 1, platforms }, undefined, 2)}\n`, {
    mode: 0o600,
    flush: true,
  })
  await rename(fresh, path)
}

function recordOf(item: unknown): EnrolmentRecord {
  if (typeof item !== 'object' || item === null)
    throw new TypeError('expected a platform, found another value')
  const fields = item as Record<string, unknown>
  const text = (name: string): string => {
    const value = fields[name]
    if (typeof value !== 'string') throw new TypeError(`expected text in "${name}", found ${typeof value}`)
    return value
  }
  const enrolledAt = Date.parse(text('enrolledAt'))
  if (Number.isNaN(enrolledAt)) throw new TypeError('expected a time in "enrolledAt", found another text')
  return {
    ekName: fromHex(text('ekName')),
    akName: fromHex(text('akName')),
    ekPublic: fromHex(text('ekPublic')),
    akPublic: fromHex(text('akPublic')),
    anchor: fromHex(text('anchor')),
    reportKey: PublicKey.fromPem(text('reportKey')),
    enrolledAt,
  }
}
