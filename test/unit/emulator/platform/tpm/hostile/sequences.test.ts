// Random commands in a row on one TPM: those of the scenes, with handles, authorizations and octets changed at random,
// between them time, power and the platform's signals. Whatever comes, the TPM does not fail, keeps to its limits, has
// stored what it must not forget, and can be put aside and taken up.

import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { IMPLEMENTED } from '../../../../../../emulator/platform/tpm/commands/index.ts'
import {
  DEFAULT_LIMITS,
  type Limits,
  MemoryTpmStore,
  Tpm,
} from '../../../../../../emulator/platform/tpm/index.ts'
import { readState } from '../../../../../../emulator/platform/tpm/state/codecs.ts'
import { SNAPSHOT } from '../../../../../../emulator/platform/tpm/state/volatile.ts'
import {
  type AnyCommand,
  authHandles,
  TPM2_Startup,
  TPM_ALG,
  TPM_CC,
  TPM_RC,
  TPM_RH,
  TPM_RS_PW,
  TPM_ST,
  TPM_SU,
  TPMA_SESSION,
  Writer,
} from '../../../../../../sdk/tpm2/index.ts'
import { equalBytes } from '../../../../../../sdk/crypto/index.ts'
import { strike } from './attack.ts'
import { NONE, NV_INDEX, Rig, stage, utf8 } from './scene.ts'
import { SCENES } from './scenes.ts'

/** More walks, or others, from the environment: for a longer search than each test run makes. */
const RUNS = Number(process.env['HOSTILE_RUNS'] ?? '30')
const SEED = Number(process.env['HOSTILE_SEED'] ?? '3')
const LIMITS: Limits = { ...DEFAULT_LIMITS, transientObjects: 4, loadedSessions: 4, activeSessions: 6 }
/** Handles of what the scenes make, and of what is always there. */
const HANDLES: readonly number[] = [
  ...[TPM_RH.OWNER, TPM_RH.ENDORSEMENT, TPM_RH.PLATFORM, TPM_RH.LOCKOUT, TPM_RH.NULL, TPM_RH.PLATFORM_NV],
  ...[0x80000000, 0x80000001, 0x80000002, 0x80000003, 0x81000001],
  ...[0x02000000, 0x02000001, 0x02000002, 0x03000000, 0x03000001, 0x03000002, 0x03000003],
  ...[NV_INDEX, NV_INDEX + 1, 0, 16, 20, 23],
]
/** authValues that the scenes set. */
const PASSWORDS: readonly Uint8Array[] = ['', 'secret', 'a', 'new'].map(utf8)
const SESSION_HANDLES: readonly number[] = HANDLES.filter(
  (handle) => handle >>> 24 === 2 || handle >>> 24 === 3,
)
/** They take too long to be tried often. */
const SLOW: ReadonlySet<number> = new Set([TPM_CC.SelfTest, TPM_CC.RSA_Decrypt, TPM_CC.RSA_Encrypt])

/** A command of a scene, taken apart. */
interface Part {
  readonly row: AnyCommand
  readonly handles: readonly number[]
  readonly parameters: Uint8Array
}

const parts: Part[] = []

beforeAll(async () => {
  for (const scene of SCENES.filter(({ row }) => !SLOW.has(row.code))) {
    const { sent } = await stage(scene)
    parts.push(takeApart(scene.row, sent.bytes))
  }
})

function takeApart(row: AnyCommand, bytes: Uint8Array): Part {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const handles = row.handles.map((_, index) => view.getUint32(10 + 4 * index))
  const after = 10 + 4 * handles.length
  const sessions = view.getUint16(0) === TPM_ST.SESSIONS
  return { row, handles, parameters: bytes.slice(after + (sessions ? 4 + view.getUint32(after) : 0)) }
}

const authorization = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('password' as const), index: fc.nat(3) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('session' as const),
      index: fc.nat(SESSION_HANDLES.length - 1),
      attributes: fc.oneof(fc.constant<number>(TPMA_SESSION.continueSession), fc.nat(0xff)),
    }),
  },
)
type Authorization = typeof authorization extends fc.Arbitrary<infer T> ? T : never

const step = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({
      kind: fc.constant('command' as const),
      which: fc.nat(0xffff),
      handles: fc.array(fc.option(fc.nat(HANDLES.length - 1), { freq: 2 }), { minLength: 3, maxLength: 3 }),
      authorizations: fc.array(authorization, { minLength: 3, maxLength: 3 }),
      more: fc.integer({ min: -6, max: 1 }),
      change: fc.option(fc.record({ at: fc.nat(0xffff), mask: fc.integer({ min: 1, max: 0xff }) }), {
        freq: 1,
      }),
      locality: fc.constantFrom(0, 0, 0, 0, 0, 1, 2, 3, 4, 32),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), milliseconds: fc.nat(3_000_000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('power' as const),
      how: fc.constantFrom('reset', 'aside', 'resume', 'measured'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('signal' as const),
      presence: fc.boolean(),
      nv: fc.constantFrom(true, true, false),
      cancel: fc.constantFrom(false, false, true),
    }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never
type CommandStep = Extract<Step, { kind: 'command' }>

function commandBytes(one: CommandStep): Uint8Array {
  const part = parts[one.which % parts.length]
  if (part === undefined) throw new Error('expected commands to choose from, found none')
  const { row } = part
  const body = new Writer()
  for (const [index, handle] of part.handles.entries())
    body.uint32(HANDLES[one.handles[index] ?? -1] ?? handle)
  const sessions = row.noSessions === true ? 0 : Math.min(3, authHandles(row) + Math.max(0, one.more))
  if (sessions > 0) {
    const area = areaOf(one.authorizations.slice(0, sessions))
    body.uint32(area.length)
    body.bytes(area)
  }
  const parameters = part.parameters.slice()
  if (one.change !== null && parameters.length > 0) {
    const at = one.change.at % parameters.length
    parameters[at] = (parameters[at] ?? 0) ^ one.change.mask
  }
  body.bytes(parameters)
  const bytes = body.finish()
  const writer = new Writer()
  writer.uint16(sessions > 0 ? TPM_ST.SESSIONS : TPM_ST.NO_SESSIONS)
  writer.uint32(10 + bytes.length)
  writer.uint32(row.code)
  writer.bytes(bytes)
  return writer.finish()
}

/** Passwords, and sessions that have no key: they need no HMAC for an entity without an authValue. */
function areaOf(authorizations: readonly Authorization[]): Uint8Array {
  const area = new Writer()
  for (const one of authorizations) {
    const password = one.kind === 'password' ? (PASSWORDS[one.index] ?? utf8('')) : utf8('')
    area.uint32(one.kind === 'password' ? TPM_RS_PW : (SESSION_HANDLES[one.index] ?? TPM_RS_PW))
    area.uint16(0)
    area.uint8(one.kind === 'password' ? TPMA_SESSION.continueSession : one.attributes)
    area.uint16(password.length)
    area.bytes(password)
  }
  return area.finish()
}

/** A rig whose time goes on as it is told to. */
class Walk {
  readonly rig: Rig
  successes = 0
  #now = 1_000_000n
  #nvAvailable = true

  constructor() {
    this.rig = new Rig(LIMITS, { now: () => this.#now, banks: [TPM_ALG.SHA1, TPM_ALG.SHA256] })
  }

  async take(one: Step): Promise<void> {
    switch (one.kind) {
      case 'command':
        this.#command(one)
        break
      case 'wait':
        this.#now += BigInt(one.milliseconds)
        break
      case 'power':
        await this.#power(one.how)
        break
      case 'signal':
        this.rig.tpm.setPhysicalPresence(one.presence)
        this.#nvAvailable = one.nv
        this.rig.tpm.setNvAvailable(one.nv)
        this.rig.tpm.setCancel(one.cancel)
        break
    }
    this.#check()
  }

  #command(one: CommandStep): void {
    const bytes = commandBytes(one)
    const before = this.rig.states()
    const { rc, wrong } = strike(this.rig, bytes, one.locality, before)
    const name = IMPLEMENTED.get(new DataView(bytes.buffer).getUint32(6))?.row.name ?? 'unknown'
    expect(wrong, `${name} ${Buffer.from(bytes).toString('hex')}`).toBeUndefined()
    if (!this.#nvAvailable) {
      expect(equalBytes(this.rig.tpm.saveState('permanent'), before.permanent), name).toBe(true)
    }
    if (rc === TPM_RC.SUCCESS) this.successes += 1
  }

  async #power(how: string): Promise<void> {
    const { tpm } = this.rig
    this.#nvAvailable = true
    tpm.setNvAvailable(true)
    if (how === 'aside') tpm.putAside()
    tpm.reset()
    if (how === 'aside') return
    if (how === 'measured') {
      tpm.hashStart()
      tpm.hashData(utf8('code'))
      tpm.hashEnd()
    }
    const startupType = how === 'resume' ? TPM_SU.STATE : TPM_SU.CLEAR
    try {
      await this.rig.call(TPM2_Startup, { startupType })
    } catch {
      await this.rig.startup()
    }
  }

  /** Limits, the store, and another TPM that takes up the state. */
  #check(): void {
    const states = this.rig.states()
    const { state } = readState(SNAPSHOT, states.volatile)
    expect(state.objects.size).toBeLessThanOrEqual(LIMITS.transientObjects)
    expect(state.sessions.size).toBeLessThanOrEqual(LIMITS.loadedSessions)
    expect(state.sessions.size + state.reset.savedSessions.size).toBeLessThanOrEqual(LIMITS.activeSessions)
    expect(equalBytes(this.rig.store.load('permanent') ?? NONE, states.permanent)).toBe(true)
    const other = new Tpm({ store: new MemoryTpmStore(), now: () => this.#now })
    other.loadState('permanent', states.permanent)
    other.loadState('volatile', states.volatile)
    other.powerOn()
    expect(equalBytes(other.saveState('permanent'), states.permanent)).toBe(true)
    expect(equalBytes(other.saveState('volatile'), states.volatile)).toBe(true)
  }
}

describe('[hostile] random commands in a row', () => {
  it('the TPM never fails, forgets nothing, and keeps to its limits', { timeout: 120_000 }, async () => {
    let [successes, commands] = [0, 0]
    const walks = fc.asyncProperty(
      fc.array(step, { minLength: 80, maxLength: 80, size: 'max' }),
      async (steps) => {
        const walk = new Walk()
        await walk.rig.startup()
        for (const one of steps) await walk.take(one)
        successes += walk.successes
        commands += steps.filter(({ kind }) => kind === 'command').length
      },
    )
    // To shrink would take minutes; the message has the command, and the seed is fixed.
    await fc.assert(walks, { numRuns: RUNS, seed: SEED, endOnFailure: true })
    // Else the steps would show nothing but refusals.
    expect(successes / commands).toBeGreaterThan(0.15)
  })
})
