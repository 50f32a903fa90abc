/**
 * Volume directories for tests, and what a crash leaves of one.
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect } from 'vitest'
import { BLOCK_SIZE, type VolumeStore } from '../../../../emulator/storage/index.ts'

const made: string[] = []

afterEach(async () => {
  for (const directory of made.splice(0)) await rm(directory, { recursive: true, force: true })
})

/** An empty directory that is removed after the test. */
export async function emptyDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'palimpsest-storage-'))
  made.push(directory)
  return directory
}

/** Blocks filled with one byte value. */
export function blocks(count: number, value: number): Uint8Array {
  return new Uint8Array(count * BLOCK_SIZE).fill(value)
}

/** Compares bytes and tells where they differ first; a deep comparison of a megabyte takes seconds. */
export function expectBytes(found: Uint8Array, expected: Uint8Array): void {
  expect(found.length).toBe(expected.length)
  if (Buffer.compare(found, expected) === 0) return
  const at = found.findIndex((byte, index) => byte !== expected[index])
  expect({ at, byte: found[at] }).toEqual({ at, byte: expected[at] })
}

/** What a volume reads as; fails the caller's expectations when parts are foreign. */
export async function readVolume(
  store: VolumeStore,
  id: string,
  first = 0n,
  count = Number(store.describe(id).blocks),
): Promise<Uint8Array> {
  const out = new Uint8Array(count * BLOCK_SIZE).fill(0xee)
  const result = await store.readBlocks(id, first, count, out)
  if (result.status !== 'READ') throw new Error(`blocks of ${id} are foreign`)
  return out
}

/**
 * A copy of an open store's directory: the files as kill -9 would leave them, because what a process has written is
 * in the page cache, which the copy reads.
 */
export async function copyAsKilled(directory: string): Promise<string> {
  const copy = join(await emptyDirectory(), 'copy')
  execFileSync('cp', ['-r', '--sparse=always', directory, copy])
  return copy
}
