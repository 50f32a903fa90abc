// Leases and stalls: keys live as long as the platform looks as it did when they were given. When a registration ends,
// writes wait; they go on by themselves or when somebody renews it, and fail in time with nothing lost otherwise.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestbed, type Testbed } from '../../emulator/testbed/index.ts'
import type { EncryptedDisk, PluginEvent } from '../../sdk/plugin/index.ts'
import { PalimpsestError } from '../../sdk/rpc/index.ts'
import { HostView } from './support/host-view.ts'
import { BLOCK } from './support/independent.ts'
import { at, changed, codeOf, pattern, patterns, type Stage, stage, until } from './support/stage.ts'

const PAGES = 8
const STALL_MS = 10_000
const PATCH = Uint8Array.of(1, 2, 3, 4)
const SECTOR = new Uint8Array(512).fill(5)
const EV_IPL = 0x0d

let bed: Testbed
let host: HostView

beforeAll(async () => {
  bed = await startTestbed({ stallTimeoutMs: STALL_MS })
  host = new HostView(bed)
})
afterAll(async () => {
  host.close()
  await bed.close()
})

interface Cloned extends Stage {
  readonly copy: EncryptedDisk
  readonly clones: readonly string[]
}

/** A stage whose memory and a volume are cloned: clones `<name>-memory` and `<name>-disk`. */
async function cloned(name: string): Promise<Cloned> {
  const made = await stage(bed, name, { pages: PAGES })
  const { source, destination } = made
  const volume = await source.createVolume(`${name}-volume`, PAGES * BLOCK)
  await volume.write(0n, patterns(0, PAGES))
  await bed.cloneMemory(`${name}-memory`, source, destination)
  const volumes = { source: `${name}-volume`, destination: `${name}-copy` }
  await bed.cloneVolume(`${name}-disk`, source, destination, volumes)
  return { ...made, copy: destination.disk(`${name}-copy`), clones: [`${name}-memory`, `${name}-disk`] }
}

/** The host extends a PCR, which it can always do. */
function extend(pcr: number): Promise<unknown> {
  return host.platform.extendPcr({ pcr, event: Buffer.from('something'), eventType: EV_IPL })
}

/** One write to a shared page and one to a part of a shared block; both need a copy. */
function writeBoth({ destination, copy }: Cloned, block: number): Promise<unknown>[] {
  return [destination.guest.store(at(block, 8), PATCH), copy.write(at(block, 1024), SECTOR)]
}

async function expectWritten({ source, destination, copy }: Cloned, block: number): Promise<void> {
  expect(await destination.guest.load(at(block), BLOCK)).toEqual(changed(pattern(block), 8, PATCH))
  expect(await copy.read(at(block), BLOCK)).toEqual(changed(pattern(block), 1024, SECTOR))
  expect(await source.guest.load(at(block), BLOCK)).toEqual(pattern(block))
}

/** Whether none of the writes ends within half a second. */
async function allWait(writes: readonly Promise<unknown>[]): Promise<boolean> {
  for (const write of writes) write.catch(() => undefined)
  const late = new Promise<boolean>((resolve) => setTimeout(resolve, 500, true))
  return Promise.race([late, ...writes.map((write) => write.then(() => false))])
}

describe('a lease', () => {
  it('[C-33] ends when the host extends a PCR: the worker refuses and has wiped its keys', async () => {
    const made = await cloned('extended')
    const { registration } = await host.clone('extended-disk')
    expect((await host.registration(registration))?.keys).toBeGreaterThan(0)
    await extend(8)
    expect(await host.copyCode(registration, [{ first: 1n, second: 1n }])).toBe('GRANT_EXPIRED')
    expect(await host.registration(registration)).toMatchObject({ state: 'expired', keys: 0 })
    // The PCRs that the policies name are as they were: the next writes have both sides asked again, and land.
    await Promise.all(writeBoth(made, 2))
    await expectWritten(made, 2)
    for (const clone of made.clones) {
      expect((await host.clone(clone)).registration).toBe(`${clone}-2`)
      for (const role of ['source', 'destination'] as const) {
        expect(made.events.names(role, `${clone}-2`)).toEqual([
          'CHALLENGED',
          'MEASUREMENT_RECEIVED',
          'VALIDATED',
          'KEYS_SENT',
        ])
      }
    }
  })

  it('[C-33 control] lasts while nothing is extended: later writes use the same registration', async () => {
    const made = await cloned('lasting')
    for (const block of [1, 2]) {
      await Promise.all(writeBoth(made, block))
      await expectWritten(made, block)
    }
    for (const clone of made.clones) expect((await host.clone(clone)).registration).toBe(`${clone}-1`)
  })

  it('that ends while a plugin is away goes on by itself when the plugin is back', async () => {
    const made = await cloned('away')
    await made.plugins.destination.close()
    await extend(8)
    const writes = writeBoth(made, 3)
    expect(await allWait(writes)).toBe(true)
    await made.destination.serveDestination({ peers: [made.source.identity] })
    await Promise.all(writes)
    await expectWritten(made, 3)
  })
})

describe('a revoked registration', () => {
  it('has writes wait until it is renewed; then they go on', async () => {
    const made = await cloned('revoked')
    for (const clone of made.clones) await bed.hypervisor.revokeRegistration({ clone })
    const writes = writeBoth(made, 1)
    expect(await allWait(writes)).toBe(true)
    for (const clone of made.clones) {
      expect((await host.clone(clone)).state).toBe('stalled')
      expect(await host.registration(`${clone}-1`)).toBeUndefined()
    }
    for (const clone of made.clones) {
      const { registration } = await bed.hypervisor.renewRegistration({ clone })
      expect(registration).toBe(`${clone}-2`)
    }
    await Promise.all(writes)
    await expectWritten(made, 1)
  })

  it('keeps what is copied readable and writable, without any key in the worker', async () => {
    const made = await cloned('own')
    await Promise.all(writeBoth(made, 1))
    for (const clone of made.clones) await bed.hypervisor.revokeRegistration({ clone })
    await expectWritten(made, 1)
    await Promise.all(writeBoth(made, 1))
    await expectWritten(made, 1)
  })

  it('has writes fail with UNAVAILABLE when nobody renews it in time; nothing is lost', async () => {
    const made = await cloned('stalled')
    for (const clone of made.clones) await bed.hypervisor.revokeRegistration({ clone })
    const started = Date.now()
    const outcomes = await Promise.allSettled(writeBoth(made, 1))
    expect(Date.now() - started).toBeGreaterThanOrEqual(STALL_MS - 100)
    for (const outcome of outcomes) {
      const error: unknown = outcome.status === 'rejected' ? outcome.reason : undefined
      expect(error).toBeInstanceOf(PalimpsestError)
      expect(error).toMatchObject({ code: 'STALLED', status: 'UNAVAILABLE' })
    }
    const { ciphertext } = await bed.hypervisor.inspectVolume({ volume: 'stalled-copy', block: 1n, count: 1 })
    const original = await bed.hypervisor.inspectVolume({ volume: 'stalled-volume', block: 1n, count: 1 })
    expect(ciphertext).toEqual(original.ciphertext)
    for (const clone of made.clones) await bed.hypervisor.renewRegistration({ clone })
    expect(await made.destination.guest.load(at(1), BLOCK)).toEqual(pattern(1))
    expect(await made.copy.read(at(1), BLOCK)).toEqual(pattern(1))
    await Promise.all(writeBoth(made, 1))
    await expectWritten(made, 1)
  })
})

// Last in this file: from here on the platform is not what any policy of this testbed accepts.
describe('a platform that changed', () => {
  it('[C-33] [P-09] is refused after its lease ended: writes fail with GRANT_EXPIRED, nothing is lost', async () => {
    const made = await cloned('changed')
    await extend(4)
    const codes = await Promise.all(writeBoth(made, 1).map(codeOf))
    expect(codes).toEqual(['GRANT_EXPIRED', 'GRANT_EXPIRED'])
    const refused = await until('both sides to refuse', () => {
      const all = made.events.steps.map(({ event }) => event).filter(isRefusal)
      return Promise.resolve(all.length > 0 ? all : undefined)
    })
    for (const { code } of refused) expect(code).toMatch(/^REFUSED_/)
    for (const clone of made.clones) {
      expect((await host.clone(clone)).state).toBe('stalled')
      expect(made.events.names('source', `${clone}-2`)).not.toContain('KEYS_SENT')
      expect(await codeOf(bed.hypervisor.renewRegistration({ clone }))).toMatch(/^REFUSED_/)
    }
    expect(await made.source.guest.load(at(1), BLOCK)).toEqual(pattern(1))
  })
})

function isRefusal(event: PluginEvent): event is Extract<PluginEvent, { event: 'REFUSED' }> {
  return event.event === 'REFUSED'
}
