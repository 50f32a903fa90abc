// Where a served TPM keeps its state: the files of the place, with the place's mode.

import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { listStates, openTpm } from '../../../../../emulator/cli/tpm/served-tpm.ts'
import { FileTpmStore } from '../../../../../emulator/platform/tpm/index.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'served-tpm-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true })
})

function modeOf(path: string): number {
  return statSync(path).mode & 0o777
}

describe('a TPM at a place', () => {
  // 0400 is a mode that no umask makes of another.
  for (const mode of [0o600, 0o400]) {
    it(`keeps its state in files of mode ${mode.toString(8)} when the place says so`, () => {
      const file = { kind: 'file', path: join(folder, 'tpm'), mode } as const
      const within = { kind: 'folder', path: join(folder, 'in'), mode } as const
      for (const place of [file, within]) {
        const { tpm } = openTpm(place)
        tpm.powerOn()
        tpm.putAside()
        tpm.powerOff()
        expect(listStates(place).map(({ name }) => name)).toEqual(['permall', 'volatilestate'])
      }
      expect(modeOf(file.path)).toBe(mode)
      expect(modeOf(`${file.path}.volatile`)).toBe(mode)
      expect(modeOf(join(within.path, 'tpm-state'))).toBe(mode)
    })
  }

  it("is the owner's alone where nobody says otherwise", () => {
    const store = new FileTpmStore(join(folder, 'tpm'))
    store.save('permanent', Uint8Array.of(1))
    expect(modeOf(store.path('permanent'))).toBe(0o600)
  })
})
