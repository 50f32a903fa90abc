// Where a served TPM keeps its state: the files of the place, with the place's mode.

import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { listStates, openTpm } from '../../../../../emulator/cli/tpm/served-tpm.ts'
import { FileTpmStore } from '../../../../../emulator/platform/tpm/index.ts'

const STATE = new Uint8Array(300_000).map((_, index) => index)

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
        const { tpm, port, volatileStore } = openTpm(place)
        tpm.powerOn()
        expect(listStates(place).map(({ name }) => name)).toEqual(['permall'])
        volatileStore?.write(port.saveState('volatile'))
        expect(listStates(place).map(({ name }) => name)).toEqual(['permall', 'volatilestate'])
        tpm.putAside()
        tpm.powerOff()
      }
      const names = ['tpm', 'tpm.volatile', 'tpm.stored.volatile']
      const all = [...names, ...names.map((name) => join('in', name.replace('tpm', 'tpm-state')))]
      expect(all.map((name) => modeOf(join(folder, name)))).toEqual(all.map(() => mode))
    })
  }

  it('keeps what is stored for the next INIT apart from what the TPM puts aside itself, until it is removed', () => {
    for (const kind of ['file', 'folder'] as const) {
      const place = { kind, path: join(folder, kind), mode: 0o600 }
      const { tpm, volatileStore } = openTpm(place)
      expect(volatileStore?.read()).toBeUndefined()
      volatileStore?.write(STATE)
      volatileStore?.write(STATE.subarray(0, 10))
      tpm.powerOn()
      tpm.putAside()
      tpm.reset()
      expect(openTpm(place).volatileStore?.read()).toEqual(STATE.slice(0, 10))
      volatileStore?.remove()
      expect(openTpm(place).volatileStore?.read()).toBeUndefined()
      expect(listStates(place).map(({ name }) => name)).toEqual(['permall'])
    }
    expect(openTpm(null).volatileStore).toBeUndefined()
  })

  it("is the owner's alone where nobody says otherwise", () => {
    const store = new FileTpmStore(join(folder, 'tpm'))
    store.save('permanent', Uint8Array.of(1))
    expect(modeOf(store.path('permanent'))).toBe(0o600)
  })
})
