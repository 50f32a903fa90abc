// What grants are good for, and no more: opaque to the host that relays them, of use in one registration, for the blocks
// that they name, once, for a time. The hypervisor runs in this process and is made to misuse them.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestbed, type Testbed } from '../../emulator/testbed/index.ts'
import { decodeOpen, type Open } from '../../sdk/attest/index.ts'
import { Secret } from '../../sdk/crypto/index.ts'
import { parseLaunchReport } from '../../sdk/evidence/index.ts'
import { type KeyRequest, memoryKeys } from '../../sdk/plugin/index.ts'
import type { Role } from '../../sdk/rpc/index.ts'
import { HostView } from './support/host-view.ts'
import { openPageWith, pageKey } from './support/independent.ts'
import { Liar, toSide } from './support/liar.ts'
import { at, bytesOf, codeOf, pattern, type Stage, stage, type StageOptions, until } from './support/stage.ts'

const roles: readonly Role[] = ['source', 'destination']

const liar = new Liar()
let bed: Testbed
let host: HostView

beforeAll(async () => {
  bed = await startTestbed({ tampering: liar.tampering })
  host = new HostView(bed)
})
afterAll(async () => {
  host.close()
  await bed.close()
})

/** A stage whose pages 0 to 7 are cloned; its registration is `<name>-1`. */
async function cloned(name: string, options: StageOptions = {}): Promise<Stage & { registration: string }> {
  const made = await stage(bed, name, { pages: 16, ...options })
  await bed.cloneMemory(name, made.source, made.destination, 8n)
  return { ...made, registration: `${name}-1` }
}

/** What a host asks of the worker to copy page `page` into a frame of its choice. */
async function block({ source }: Stage, page: number, secondFrame: bigint | undefined) {
  const { frame } = await host.mapping(source.name, page)
  return { first: BigInt(page), second: BigInt(page), firstFrame: frame, secondFrame }
}

/** Frames that the terms name for the destination's second blocks. */
function pooled(registration: string): bigint[] {
  const { open } = liar.offerFor(registration, 'destination').value
  const { memory } = decodeOpen(open) as Open & { memory: NonNullable<Open['memory']> }
  return memory.destinationPool.flatMap(({ first, count }) =>
    Array.from({ length: Number(count) }, (_, i) => first + BigInt(i)),
  )
}

describe('a second block', () => {
  it("[C-22] that is in use is refused, and the victim's page stays as it is", async () => {
    const made = await cloned('in-use')
    const { frame: victim } = await host.mapping(made.source.name, 12)
    const [before, generation] = [await host.ciphertext(victim), (await host.row(victim)).generation]
    expect(await host.copyCode(made.registration, [await block(made, 1, victim)])).toBe('DEST_IN_USE')
    // Nor may it be a first block, its own among them.
    const own = await block(made, 1, (await host.mapping(made.source.name, 1)).frame)
    expect(await host.copyCode(made.registration, [own])).toBe('DEST_IN_USE')
    expect(await host.ciphertext(victim)).toEqual(before)
    expect((await host.row(victim)).generation).toBe(generation)
    expect(await made.source.guest.load(at(12), 4096)).toEqual(pattern(12))
  })

  it('[C-22 control] that is reserved for the registration is accepted', async () => {
    const made = await cloned('reserved')
    const [frame] = pooled(made.registration)
    expect(await host.copyCode(made.registration, [await block(made, 1, frame)])).toBe('stored')
    expect((await host.row(frame ?? -1n)).sharers).toEqual([{ vm: made.destination.name, index: 1n }])
  })
})

describe('grants on their way', () => {
  it.each(roles)(
    "[C-31] [A-19] of another registration are refused in the place of the %s's own",
    async (role) => {
      const name = `replayed-${role}`
      const earlier = await cloned(name)
      const old = liar.evidenceFor(earlier.registration, role).answer
      const lie = toSide(role, async (_side, value, pass) => {
        await pass(value)
        return old
      })
      expect(await liar.telling(lie, () => cloneMore(earlier, `${name}-again`))).toBe('GRANT_INVALID')
      expect(await host.registration(`${name}-again-1`)).toBeUndefined()
    },
  )

  it('[C-31 control] [A-19 control] of the registration at hand are accepted', async () => {
    const made = await cloned('own-grants')
    const again = toSide('source', (_side, value, pass) => pass(value))
    expect(await liar.telling(again, () => cloneMore(made, 'own-grants-again'))).toBe('ok')
  })

  it('[C-31] carry no key that the host could read', async () => {
    const made = await cloned('opaque')
    const relayed = roles.flatMap((role) => liar.evidenceFor(made.registration, role).answer.grants)
    const seen = Buffer.concat(relayed)
    const frames = [...pooled(made.registration), ...(await sourceFrames(made))]
    expect(frames.length).toBeGreaterThanOrEqual(16)
    for (const { root } of [made.source, made.destination]) {
      expect(seen.includes(Buffer.from(bytesOf(root)))).toBe(false)
      for (const frame of frames)
        expect(seen.includes(pageKey(bytesOf(root), frame).subarray(0, 16))).toBe(false)
    }
  })

  it('[C-33] are used once: the same bytes a second time are spent', async () => {
    const made = await cloned('twice')
    const worker = await host.worker()
    for (const role of roles) {
      const { grants } = liar.evidenceFor(made.registration, role).answer
      const again = worker.submitGrants({ registration: made.registration, grants })
      expect(await codeOf(again)).toBe('GRANT_SPENT')
    }
  })

  async function cloneMore({ source, destination }: Stage, clone: string): Promise<string> {
    const pairs = [{ first: 8n, second: 8n, count: 8n }]
    const storage = { case: 'memory' as const, value: { pairs } }
    const names = { clone, source: source.name, destination: destination.name }
    return codeOf(bed.hypervisor.createClone({ ...names, storage }, { deadlineMs: 60_000 }))
  }

  async function sourceFrames({ source }: Stage): Promise<bigint[]> {
    return (await host.mappings(source.name, 0, 8)).map(({ frame }) => frame)
  }
})

describe('least privilege', () => {
  it('[C-32] keys are asked for the frames of the terms only, one for each', async () => {
    const requests: KeyRequest[] = []
    const root = Secret.random(32)
    const give = memoryKeys({ root, mode: 'location' })
    const keys = (request: KeyRequest) => {
      requests.push(request)
      return give(request)
    }
    const made = await cloned('asked', { sourceKeys: { root }, sourcePlugin: { keys } })
    const frames = (await host.mappings(made.source.name, 0, 8)).map(({ frame }) => frame)
    const read = requests.filter(({ use }) => use === 'read').flatMap((request) => request.frames)
    expect([...read].sort()).toEqual([...frames].sort())
    expect((await host.registration(made.registration))?.wideScope).toBe(false)
  })

  it('[C-32] a location key opens its own page and not the neighbour', async () => {
    const made = await cloned('neighbour')
    const { frame } = await host.mapping(made.source.name, 1)
    const { frame: neighbour } = await host.mapping(made.source.name, 2)
    const key = pageKey(bytesOf(made.source.root), frame)
    for (const tweak of [frame, neighbour]) {
      const opened = openPageWith(key, tweak, await host.ciphertext(neighbour))
      for (let i = 0; i < 4096; i += 16) {
        expect(opened.includes(Buffer.from(pattern(2).subarray(i, i + 16)))).toBe(false)
      }
    }
  })

  it('[C-32] pages outside the terms, and frames without a key, are not copied', async () => {
    const made = await cloned('outside')
    const [granted] = pooled(made.registration)
    const outside = await block(made, 9, granted)
    expect(await host.copyCode(made.registration, [outside])).toBe('REFUSED_BINDING')
    const crossed = { ...(await block(made, 1, granted)), second: 2n }
    expect(await host.copyCode(made.registration, [crossed])).toBe('REFUSED_BINDING')
    const { frame: notShared } = await host.mapping(made.source.name, 9)
    const borrowed = { ...(await block(made, 1, granted)), firstFrame: notShared }
    expect(await host.copyCode(made.registration, [borrowed])).toMatch(
      /^(NOT_WRITE_PROTECTED|OWNERSHIP_FAULT)$/,
    )
    const { registration } = made
    const free = await freeFrame()
    await host.platform.reserveFrames({ registration, vm: made.destination.name, frames: [free] })
    expect(await host.copyCode(registration, [await block(made, 1, free)])).toBe('GRANT_MISSING')
    expect((await host.row(free)).state).toBe('reserved')
    await host.platform.releaseFrames({ registration, frames: [free] })
  })

  it('[C-32 control] a granted page goes to a granted frame; its key opens it; a group key is flagged', async () => {
    const made = await cloned('granted')
    const { frame } = await host.mapping(made.source.name, 1)
    const opened = openPageWith(
      pageKey(bytesOf(made.source.root), frame),
      frame,
      await host.ciphertext(frame),
    )
    expect(opened).toEqual(Buffer.from(pattern(1)))
    const [granted] = pooled(made.registration)
    expect(await host.copyCode(made.registration, [await block(made, 1, granted)])).toBe('stored')
    const keys = { mode: 'common', group: Secret.random(32) } as const
    const wide = await cloned('group-scope', { sourceKeys: keys, destinationKeys: keys })
    expect((await host.registration(wide.registration))?.wideScope).toBe(true)
  })

  async function freeFrame(): Promise<bigint> {
    const { frames } = await host.platform.getEndorsement({})
    // The host's allocator takes frames from the front: the last one is far from all that it uses.
    const last = frames - 1n
    expect((await host.row(last)).state).toBe('free')
    return last
  }
})

describe('the life of keys', () => {
  it('[C-33] ends when the registration does: the worker holds none, and copies nothing', async () => {
    const made = await cloned('revoked')
    const [frame] = pooled(made.registration)
    await bed.hypervisor.revokeRegistration({ clone: 'revoked' })
    const { registrations } = await (await host.worker()).listRegistrations({})
    expect(registrations.find(({ registration }) => registration === made.registration)?.keys ?? 0).toBe(0)
    const code = await host.copyCode(made.registration, [await block(made, 1, frame)])
    expect(code).toBe('REGISTRATION_UNKNOWN')
  })

  it('[C-33] ends with the lease: the worker wipes them at the next use, and says so', async () => {
    const short = await cloned('short', { sourcePlugin: { grantMs: 1500 } })
    const [frame] = pooled(short.registration)
    const { leaseUntil = 0n, keys } = (await host.registration(short.registration)) ?? {}
    expect(keys).toBeGreaterThan(0)
    await until('the end of the lease', async () => (await clock(short)) >= leaseUntil || undefined)
    expect(await host.copyCode(short.registration, [await block(short, 1, frame)])).toBe('GRANT_EXPIRED')
    expect(await host.registration(short.registration)).toMatchObject({ state: 'expired', keys: 0 })
    // A guest's store finds the lease over, has both sides asked again, and lands.
    await short.destination.guest.store(at(2), Uint8Array.of(1))
    expect((await host.clone('short')).registration).toBe('short-2')
    expect(short.events.names('source', 'short-2')).toContain('VALIDATED')
  })

  it('[C-33 control] lasts while the registration is live', async () => {
    const made = await cloned('alive')
    const [frame] = pooled(made.registration)
    const { keys } = (await host.registration(made.registration)) ?? {}
    // The source's first blocks and pool, and the destination's pool.
    expect(keys).toBeGreaterThanOrEqual(8 + 1 + 8)
    expect(await host.copyCode(made.registration, [await block(made, 1, frame)])).toBe('stored')
  })

  /** The platform's clock, from a fresh launch report. */
  async function clock({ source }: Stage): Promise<bigint> {
    return parseLaunchReport(await source.guest.launchReport()).clock
  }
})
