// Of all processes that work with a TPM's state, one has it at a time; also when the one before was killed.

import { type ChildProcess, fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { lockPlace } from '../../../../../emulator/cli/tpm/served-tpm.ts'
import { lockState } from '../../../../../emulator/cli/tpm/state-lock.ts'

const CONTENDERS = 4
const ROUNDS = 150

let folder: string
let state: string
let lock: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'state-lock-'))
  state = join(folder, 'tpm-state')
  lock = `${state}.lock`
})

afterEach(() => {
  rmSync(folder, { recursive: true })
})

/** What a process that was killed leaves behind: a lock with the number of a process that is no more. */
function abandoned(): string {
  const { pid } = spawnSync(process.execPath, ['--version'])
  return `${String(pid)} 3b241101-e2bb-4255-8caf-4136c566a962`
}

describe('the lock of a state', () => {
  it('is refused while a process that lives has it, which is named, and given when it is free', async () => {
    writeFileSync(lock, `${String(process.ppid)} of another process`)
    await expect(lockState(state, 0)).rejects.toThrow(`process ${String(process.ppid)} works with the TPM in`)
    expect(readFileSync(lock, 'utf8')).toBe(`${String(process.ppid)} of another process`)
    rmSync(lock)
    const unlock = await lockState(state, 0)
    await expect(lockState(state, 0)).rejects.toThrow(`process ${String(process.pid)} works`)
    unlock()
    expect(readdirSync(folder)).toEqual([])
  })

  it('is waited for, as long as patience lasts', async () => {
    const unlock = await lockState(state)
    setTimeout(unlock, 50)
    ;(await lockState(state))()
    expect(existsSync(lock)).toBe(false)
  })

  it('is taken over from a process that has gone, also when it went while it took over itself', async () => {
    for (const left of [abandoned(), '', `${String(process.pid)} of a container before this one`]) {
      for (const name of [lock, `${lock}.takeover`, `${lock}.takeover.takeover`]) writeFileSync(name, left)
      const unlock = await lockState(state, 0)
      await expect(lockState(state, 0)).rejects.toThrow('works with the TPM')
      unlock()
      expect(readdirSync(folder)).toEqual([])
    }
  })

  it('is not taken over while another process is about to', async () => {
    const left = abandoned()
    writeFileSync(lock, left)
    writeFileSync(`${lock}.takeover`, `${String(process.ppid)} of another process`)
    await expect(lockState(state, 0)).rejects.toThrow(`process ${String(process.ppid)} works`)
    expect(readFileSync(lock, 'utf8')).toBe(left)
  })

  it('is given back by the one who has it and by nobody else', async () => {
    const unlock = await lockState(state, 0)
    writeFileSync(lock, `${String(process.ppid)} of another process`)
    unlock()
    expect(readFileSync(lock, 'utf8')).toBe(`${String(process.ppid)} of another process`)
  })

  it('is one for a folder and for the file in it that is its state', async () => {
    const place = { path: folder, mode: 0o600 }
    const unlock = await lockPlace({ ...place, kind: 'folder' }, 0)
    await expect(lockPlace({ ...place, kind: 'file', path: state }, 0)).rejects.toThrow('works with the TPM')
    ;(await lockPlace({ ...place, kind: 'file', path: join(folder, 'another') }, 0))()
    unlock()
    ;(await lockPlace({ ...place, kind: 'file', path: state }, 0))()
  })
})

describe('a lock that a killed process left', () => {
  let contenders: readonly ChildProcess[]

  beforeAll(async () => {
    const program = fileURLToPath(new URL('lock-contender.ts', import.meta.url))
    contenders = Array.from({ length: CONTENDERS }, () => fork(program, { execArgv: ['--import', 'tsx'] }))
    await Promise.all(contenders.map((child) => once(child, 'message')))
  })

  afterAll(() => {
    for (const child of contenders) child.kill()
  })

  /** Tells all contenders the same; whether each has the lock then. */
  function tell(message: object): Promise<boolean[]> {
    return Promise.all(
      contenders.map(async (child) => {
        const answer = once(child, 'message')
        child.send(message)
        const [{ locked }] = (await answer) as [{ locked: boolean }]
        return locked
      }),
    )
  }

  it('goes to one of the processes that want it at once', async () => {
    const left = abandoned()
    for (let round = 0; round < ROUNDS; round += 1) {
      writeFileSync(lock, left)
      expect((await tell({ take: state })).filter((locked) => locked)).toHaveLength(1)
      await tell({})
      expect(readdirSync(folder)).toEqual([])
    }
  })
})
