// The volatile state that STORE_VOLATILE leaves on disk: whole, durable, and apart from the TPM's own files.

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FileTpmStore } from '../../../../emulator/platform/tpm/index.ts'
import { fileStore } from '../../../../emulator/tpm-server/swtpm-files.ts'

const STATE = new Uint8Array(300_000).map((_, index) => index)

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'swtpm-files-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true })
})

describe('a stored volatile state', () => {
  // 0400 is a mode that no umask makes of another.
  const places = [
    { kind: 'folder', name: 'tpm2-00.volatilestate' },
    { kind: 'file', name: 'tpm.volatilestate' },
  ] as const

  for (const { kind, name } of places) {
    it(`is the file ${name} at a ${kind}, with the place's mode, replaced whole and removed`, () => {
      const path = kind === 'folder' ? folder : join(folder, 'tpm')
      const store = fileStore({ kind, path, mode: 0o400 })
      expect(store.read()).toBeUndefined()
      store.write(STATE)
      expect(readdirSync(folder)).toEqual([name])
      expect(statSync(join(folder, name)).mode & 0o777).toBe(0o400)
      expect(Buffer.compare(readFileSync(join(folder, name)), STATE)).toBe(0)
      store.write(STATE.subarray(0, 10))
      expect(store.read()).toEqual(STATE.slice(0, 10))
      store.remove()
      expect(readdirSync(folder)).toEqual([])
    })

    it(`is none of the files that the TPM itself keeps at a ${kind}`, () => {
      const path = kind === 'folder' ? folder : join(folder, 'tpm')
      const own = kind === 'folder' ? FileTpmStore.inFolder(path) : new FileTpmStore(path)
      const names = (['permanent', 'volatile'] as const).map((state) => basename(own.path(state)))
      fileStore({ kind, path, mode: 0o600 }).write(STATE)
      expect(readdirSync(folder).filter((found) => names.includes(found))).toEqual([])
      expect(own.load('volatile')).toBeUndefined()
    })
  }
})
