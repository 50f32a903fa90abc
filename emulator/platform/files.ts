// Small files of the platform (TPM state, keys, certificates): read whole, replaced whole. A kill or a power loss at
// any point leaves the old file or the new one.

import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Only the owner may read: for secrets. */
export const PRIVATE_MODE = 0o600
/** Everybody may read: for certificates. */
export const PUBLIC_MODE = 0o644
const FOLDER_MODE = 0o700

/** The file's bytes; undefined when there is no such file. */
export function readFileIfPresent(path: string): Uint8Array | undefined {
  try {
    return new Uint8Array(readFileSync(path))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Writes a new file beside `path` and renames it over: the rename is the moment of change. Durable on return. Makes the
 * folder when there is none.
 */
export function replaceFile(path: string, bytes: Uint8Array, mode: number): void {
  const folder = dirname(path)
  mkdirSync(folder, { recursive: true, mode: FOLDER_MODE })
  const next = `${path}.next`
  withFile(openSync(next, 'w', mode), (file) => {
    for (let written = 0; written < bytes.length;) written += writeSync(file, bytes, written)
    fsyncSync(file)
  })
  renameSync(next, path)
  withFile(openSync(folder, 'r'), fsyncSync)
}

function withFile(file: number, work: (file: number) => void): void {
  try {
    work(file)
  } finally {
    closeSync(file)
  }
}
