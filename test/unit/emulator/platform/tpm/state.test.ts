// A TPM's state: what is stored before an answer goes out, files that a kill at any point leaves whole, stores that fail,
// and powered TPMs that are saved and taken up elsewhere.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterEach, describe, expect, it } from 'vitest'
import {
  FileTpmStore,
  fixedEntropy,
  MemoryTpmStore,
  type StateKind,
  Tpm,
  type TpmStore,
} from '../../../../../emulator/platform/tpm/index.ts'
import {
  hash,
  marshal,
  passwordSession,
  startPolicyDirectly,
  TPM2_Clear,
  TPM2_ContextLoad,
  TPM2_ContextSave,
  TPM2_HashSequenceStart,
  TPM2_PolicyGetDigest,
  TPM2_PolicyPCR,
  TPM2_ReadPublic,
  TPM2_SequenceComplete,
  TPM2_SequenceUpdate,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPMT_PUBLIC,
} from '../../../../../sdk/tpm2/index.ts'
import { NONE, Powered, rcOf, utf8 } from './powered.ts'

const folders: string[] = []

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'tpm-state-'))
  folders.push(made)
  return made
}

afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true })
})

describe('a state file', () => {
  it('holds the old state or the new one when the TPM is killed at any point of a command stream', async () => {
    const where = folder()
    const first = Powered.started({ store: FileTpmStore.inFolder(where) })
    first.defineNv(1024)
    first.writeNv(new Uint8Array(1024))
    const key = marshal(TPMT_PUBLIC, first.primary().outPublic)
    let resets = first.clock().clockInfo.resetCount
    const program = await writingProgram()
    for (let round = 0; round < 8; round += 1) {
      const answered = await killedAfter(program, where, Math.random() * 60)
      const powered = Powered.started({ store: FileTpmStore.inFolder(where) })
      const data = powered.readNv(1024)
      expect(new Set(data).size).toBe(1)
      expect([answered, answered + 1].map((value) => value & 0xff)).toContain(data[0])
      expect(marshal(TPMT_PUBLIC, powered.primary().outPublic)).toEqual(key)
      const { resetCount } = powered.clock().clockInfo
      expect(resetCount).toBeGreaterThan(resets)
      resets = resetCount
    }
  })

  it('is read by its owner alone, and holds the next state before the command is answered', () => {
    const where = folder()
    const powered = Powered.started({ store: FileTpmStore.inFolder(where) })
    powered.defineNv()
    powered.writeNv(utf8('01234567'))
    expect(statSync(join(where, 'tpm-state')).mode & 0o777).toBe(0o600)
    const again = Powered.started({ store: FileTpmStore.inFolder(where) })
    expect(again.readNv(8)).toEqual(utf8('01234567'))
  })

  it('that is cut, changed or another file is refused with advice and stays as it is', () => {
    const where = folder()
    const path = join(where, 'tpm-state')
    Powered.started({ store: FileTpmStore.inFolder(where) })
    const good = readFileSync(path)
    const changed = Uint8Array.from(good)
    changed[200] = (changed[200] ?? 0) ^ 1
    for (const bad of [good.subarray(0, -1), changed, good.subarray(0, 10), utf8('something else')]) {
      writeFileSync(path, bad)
      expect(() => Powered.started({ store: FileTpmStore.inFolder(where) })).toThrow(
        /remove it to make a new TPM/,
      )
      expect(readFileSync(path).equals(bad)).toBe(true)
    }
    writeFileSync(path, good)
    expect(() => Powered.started({ store: FileTpmStore.inFolder(where) })).not.toThrow()
  })
})

/** A program that writes NV memory over and over, and says what was answered, until it is killed. */
const WRITING = `
  import { writeSync } from 'node:fs'
  import { FileTpmStore } from '../../../../../emulator/platform/tpm/index.ts'
  import { Powered } from './powered.ts'

  const powered = Powered.started({ store: FileTpmStore.inFolder(process.argv[2]) })
  for (let value = powered.readNv(1)[0]; ; value += 1) {
    powered.writeNv(new Uint8Array(1024).fill(value))
    writeSync(1, value + '\\n')
  }
`

/** That program as one file, which starts faster than its sources. */
async function writingProgram(): Promise<string> {
  const outfile = join(folder(), 'writing.mjs')
  const stdin = { contents: WRITING, resolveDir: import.meta.dirname, loader: 'ts' } as const
  await build({ stdin, outfile, bundle: true, platform: 'node', format: 'esm', logLevel: 'error' })
  return outfile
}

/** The last value that the program wrote and was answered before it was killed, so long after its first answer. */
async function killedAfter(program: string, where: string, milliseconds: number): Promise<number> {
  const child = spawn(process.execPath, [program, where], { stdio: ['ignore', 'pipe', 'inherit'] })
  let answered = ''
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (text: string) => {
    answered += text
  })
  const closed = once(child, 'close')
  await Promise.race([once(child.stdout, 'data'), closed])
  await new Promise((resolve) => setTimeout(resolve, milliseconds))
  child.kill('SIGKILL')
  await closed
  return Number(answered.split('\n').at(-2))
}

/** A store that fails on demand. */
class FailingStore implements TpmStore {
  failing = false
  readonly #inner = new MemoryTpmStore()

  load(kind: StateKind): Uint8Array | undefined {
    return this.#inner.load(kind)
  }

  save(kind: StateKind, state: Uint8Array | undefined): void {
    if (this.failing) throw new Error('disk full')
    this.#inner.save(kind, state)
  }
}

describe('a store that fails', () => {
  it('puts the TPM in failure mode, and nothing that was not stored is acted on', () => {
    const store = new FailingStore()
    const powered = Powered.started({ store })
    powered.defineNv()
    powered.writeNv(utf8('old data'))
    store.failing = true
    expect(
      rcOf(() => {
        powered.writeNv(utf8('new data'))
      }),
    ).toBe(TPM_RC.FAILURE)
    store.failing = false
    expect(rcOf(() => powered.readNv(8))).toBe(TPM_RC.FAILURE)
    powered.tpm.reset()
    powered.startup()
    expect(powered.readNv(8)).toEqual(utf8('old data'))
    powered.writeNv(utf8('new data'))
    expect(powered.readNv(8)).toEqual(utf8('new data'))
  })

  it('is not asked by commands that change nothing that lasts', () => {
    const store = new FailingStore()
    const powered = Powered.started({ store, now: () => 0n })
    powered.random()
    store.failing = true
    expect(powered.random()).toHaveLength(16)
    powered.extend(4)
    expect(powered.pcr(4)).not.toBe('00'.repeat(32))
  })

  it('is told to whoever turns the power on, when a new TPM can not be kept', () => {
    const store = new FailingStore()
    store.failing = true
    expect(() => new Powered({ store })).toThrow('disk full')
  })
})

describe('a command that breaks off', () => {
  it('puts the TPM in failure mode, and nothing of it is stored', () => {
    const store = new MemoryTpmStore()
    const source = fixedEntropy('broken')
    let left = Infinity
    const next = (bytes: number): Uint8Array => {
      left -= 1
      if (left < 0) throw new Error('no more random numbers')
      return source.next(bytes)
    }
    let now = 0n
    const powered = Powered.started({ store, entropy: { ...source, next }, now: () => now })
    powered.defineNv()
    powered.writeNv(utf8('old data'))
    const before = store.load('permanent')
    // The clock passes what is stored of it, so that there is something to store before the command begins; the owner's
    // seed and proof are new when it breaks off.
    now += 1n << 20n
    left = 2
    const clear = () =>
      rcOf(() => powered.call(TPM2_Clear, { authHandle: TPM_RH.LOCKOUT }, [passwordSession()]))
    expect(clear()).toBe(TPM_RC.FAILURE)
    expect(store.load('permanent')).toEqual(before)
    expect(powered.tpm.saveState('permanent')).toEqual(before)
    left = Infinity
    powered.tpm.reset()
    powered.startup()
    expect(powered.readNv(8)).toEqual(utf8('old data'))
    expect(clear()).toBeUndefined()
    expect(rcOf(() => powered.readNv(8))).toBe(TPM_RC.HANDLE)
  })
})

describe('a saved powered TPM', () => {
  /** A TPM with a key, a hash under way, a policy session and an extended PCR, and what they must come to. */
  function busy(store?: TpmStore) {
    const powered = Powered.started(store === undefined ? {} : { store })
    powered.extend(4)
    const { objectHandle, name } = powered.primary()
    const sequence = { auth: NONE, hashAlg: TPM_ALG.SHA256 }
    const { sequenceHandle } = powered.call(TPM2_HashSequenceStart, sequence)
    const update = { sequenceHandle, buffer: utf8('one ') }
    powered.call(TPM2_SequenceUpdate, update, [passwordSession()])
    const policy = startPolicyDirectly((command) => powered.tpm.execute(command))
    powered.call(TPM2_PolicyPCR, { policySession: policy.handle, pcrDigest: NONE, pcrs: [] })
    const digest = powered.call(TPM2_PolicyGetDigest, { policySession: policy.handle }).policyDigest
    const before = { pcr4: powered.pcr(4), clock: powered.clock(), digest, name }
    return { powered, objectHandle, sequenceHandle, policySession: policy.handle, before }
  }

  function expectGoesOn(powered: Powered, { before, ...handles }: ReturnType<typeof busy>): void {
    expect(powered.pcr(4)).toBe(before.pcr4)
    expect(powered.call(TPM2_ReadPublic, { objectHandle: handles.objectHandle }).name).toEqual(before.name)
    const { policySession, sequenceHandle } = handles
    expect(powered.call(TPM2_PolicyGetDigest, { policySession }).policyDigest).toEqual(before.digest)
    const last = { sequenceHandle, buffer: utf8('two'), hierarchy: TPM_RH.NULL }
    const { result } = powered.call(TPM2_SequenceComplete, last, [passwordSession()])
    expect(result).toEqual(hash(TPM_ALG.SHA256, utf8('one two')))
    const clock = powered.clock()
    expect(clock.time).toBeGreaterThanOrEqual(before.clock.time)
    expect(clock.clockInfo).toMatchObject({ resetCount: before.clock.clockInfo.resetCount, restartCount: 0 })
  }

  it('goes on elsewhere with objects, sequences, sessions and PCRs, without TPM2_Startup', () => {
    const made = busy()
    const states = (['permanent', 'volatile'] as const).map((kind) => made.powered.tpm.saveState(kind))
    const other = new Tpm()
    for (const [index, kind] of (['permanent', 'volatile'] as const).entries()) {
      other.loadState(kind, states[index] ?? NONE)
    }
    const store = new MemoryTpmStore()
    store.save('permanent', states[0])
    store.save('volatile', states[1])
    expectGoesOn(new Powered({ store }), made)
    other.powerOn()
    expect(other.saveState('permanent')).toEqual(states[0])
  })

  it('goes on where it was put aside, once: after that, power-on is a power-on', () => {
    const where = folder()
    const made = busy(FileTpmStore.inFolder(where))
    made.powered.tpm.putAside()
    made.powered.tpm.powerOff()
    expect(statSync(join(where, 'tpm-state.volatile')).mode & 0o777).toBe(0o600)
    const next = new Powered({ store: FileTpmStore.inFolder(where) })
    expectGoesOn(next, made)
    next.tpm.reset()
    expect(rcOf(() => next.random())).toBe(TPM_RC.INITIALIZE)
    next.startup()
    expect(next.clock().clockInfo.resetCount).toBe(made.before.clock.clockInfo.resetCount + 1)
  })

  it('is told apart from another: its saved contexts load in it alone', () => {
    const made = busy()
    const { context } = made.powered.call(TPM2_ContextSave, { saveHandle: made.objectHandle })
    expect(rcOf(() => made.powered.call(TPM2_ContextLoad, { context }))).toBeUndefined()
    const other = Powered.started({ seed: new Uint8Array(32) })
    expect(rcOf(() => other.call(TPM2_ContextLoad, { context }))).toBe(TPM_RC.INTEGRITY)
  })

  it('is not taken up with power on, nor from bytes that are no state; then nothing changes', () => {
    const { powered } = busy()
    const state = powered.tpm.saveState('permanent')
    expect(() => {
      powered.tpm.loadState('permanent', state)
    }).toThrow(/without power/)
    powered.tpm.powerOff()
    const before = powered.tpm.saveState('permanent')
    for (const bad of [NONE, state.slice(0, -1), Uint8Array.from([...state, 0])]) {
      expect(() => {
        powered.tpm.loadState('permanent', bad)
      }).toThrow(expect.objectContaining({ code: 'MALFORMED' }))
      expect(() => {
        powered.tpm.loadState('volatile', bad)
      }).toThrow(expect.objectContaining({ code: 'MALFORMED' }))
    }
    expect(powered.tpm.saveState('permanent')).toEqual(before)
    expect(powered.tpm.saveState('volatile')).toEqual(NONE)
    powered.tpm.loadState('permanent', state)
    powered.tpm.powerOn()
    powered.startup()
    expect(powered.random()).toHaveLength(16)
  })
})
