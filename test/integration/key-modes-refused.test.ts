// What the choice of a key mode does not allow: to grant keys of another mode than the VM has, to give or take a whole
// group's key where a policy says no, to read another group's frames. Beside each the same thing where it is allowed.
// Source: systems.md 2.5; features C-13, C-14, C-32.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestbed, type Testbed } from '../../emulator/testbed/index.ts'
import { Secret } from '../../sdk/crypto/index.ts'
import { defineDestinationPlugin, Guest, memoryKeys, serve } from '../../sdk/plugin/index.ts'
import { type KeyMode, type Role, silentLogger } from '../../sdk/rpc/index.ts'
import { PalimpsestCommand } from './support/command.ts'
import { HostView } from './support/host-view.ts'
import { BLOCK } from './support/independent.ts'
import { modes } from './support/matrix.ts'
import { at, codeOf, pattern, type Stage, stage, type StageOptions, until } from './support/stage.ts'

const PAGES = 16
const roles: readonly Role[] = ['source', 'destination']
const wrong = modes.flatMap((installed) =>
  modes.filter((said) => said !== installed).map((said) => ({ installed, said })),
)

let bed: Testbed
let host: HostView
let command: PalimpsestCommand

beforeAll(async () => {
  bed = await startTestbed({ memoryBytes: 32 << 20 })
  host = new HostView(bed)
  command = await PalimpsestCommand.bundle()
})
afterAll(async () => {
  command.remove()
  host.close()
  await bed.close()
})

const clone = (name: string, { source, destination }: Stage): Promise<string> =>
  codeOf(bed.cloneMemory(name, source, destination))

/** A stage whose two VMs have keys of the given modes, of one group or each of its own. */
function keyed(name: string, mode: Record<Role, KeyMode>, options: StageOptions & { groups?: 1 | 2 } = {}) {
  const group = Secret.random(32)
  const other = options.groups === 2 ? Secret.random(32) : group
  return stage(bed, name, {
    pages: PAGES,
    sourceKeys: { mode: mode.source, group },
    destinationKeys: { mode: mode.destination, group: other },
    ...options,
  })
}

/** Nothing was shared and nothing copied: the source's pages are its own, the destination has none. */
async function expectUntouched(name: string, { source, destination }: Stage): Promise<void> {
  const { frame } = await host.mapping(source.name, 1)
  expect(await host.row(frame)).toMatchObject({ state: 'private', sharers: [{ vm: source.name, index: 1n }] })
  expect(await host.mappings(destination.name, 0, PAGES)).toEqual([])
  expect(await host.reserved(`${name}-1`)).toEqual([])
  expect(await host.registration(`${name}-1`)).toBeUndefined()
}

describe('a grant of another mode than the VM has installed', () => {
  it.each(roles.flatMap((role) => wrong.map((modes) => ({ role, ...modes }))))(
    '[C-13] [C-32] is refused before anything is shared: $role with $installed, granted as $said',
    async ({ role, installed, said }) => {
      const name = `said-${role}-${installed}-${said}`
      const keys = { root: Secret.random(32), group: Secret.random(32) }
      const lie = { keys: memoryKeys({ ...keys, mode: said }) }
      const made = await stage(bed, name, {
        pages: PAGES,
        [`${role}Keys`]: { ...keys, mode: installed },
        [`${role}Plugin`]: lie,
      })
      expect(await clone(name, made)).toBe('REFUSED_KEY_MODE')
      await expectUntouched(name, made)
    },
  )

  it.each(modes)('[C-13 control] [C-32 control] of the same mode is accepted: %s', async (mode) => {
    const made = await keyed(`same-${mode}`, { source: mode, destination: mode })
    expect(await clone(`same-${mode}`, made)).toBe('ok')
  })

  describe('that installs its keys only after the registration', () => {
    const closers: (() => Promise<void> | void)[] = []
    afterAll(async () => {
      for (const close of closers) await close()
    })

    /** A destination with an empty slot, to which pages are cloned; its plugin grants location keys. */
    async function emptySlot(name: string): Promise<{ guest: Guest; root: Secret; block: object }> {
      const identity = bed.authority.identity(`${name}-destination`, 'vm')
      const credentials = { identity: identity.key, tls: identity.tls }
      const [vm, root] = [`${name}-destination`, Secret.random(32)]
      const source = await bed.vm(`${name}-source`, { memoryBytes: PAGES * BLOCK })
      await source.guest.store(at(1), pattern(1))
      await bed.hypervisor.createVm({
        vm,
        ownerPublicKey: identity.key.publicKey.spki,
        memoryBytes: at(PAGES),
        unmappedFrom: 0n,
      })
      await source.serveSource({ peers: [identity] })
      const plugin = defineDestinationPlugin({
        name: vm,
        version: '1.0.0',
        policy: await bed.policy([source.identity]),
        keys: memoryKeys({ root, mode: 'location' }),
      })
      const { hypervisor, guestPort } = bed.addresses
      const served = await serve(plugin, { vm, hypervisor, credentials, log: silentLogger })
      const guest = new Guest({ address: guestPort, credentials, trustAnchors: [bed.trustAnchor] })
      closers.push(
        () => served.close(),
        () => {
          guest.close()
        },
      )
      const pairs = [{ first: 0n, second: 0n, count: BigInt(PAGES) }]
      const storage = { case: 'memory' as const, value: { pairs } }
      await bed.hypervisor.createClone({ clone: name, source: source.name, destination: vm, storage })
      const { frame: firstFrame } = await host.mapping(source.name, 2)
      // The destination's pool lies before the source's, and the host takes its frames from the front.
      const secondFrame = (await host.reserved(`${name}-1`))[PAGES - 1]
      return { guest, root, block: { first: 2n, second: 2n, firstFrame, secondFrame } }
    }

    it('[C-13] [C-32] gets no copy, neither for its own access nor when the host asks', async () => {
      const { guest, root, block } = await emptySlot('late')
      expect(await host.copyCode('late-1', [block])).toBe('STATE')
      await guest.installKeys({ root, mode: 'both', group: Secret.random(32) })
      expect(await host.copyCode('late-1', [block])).toBe('REFUSED_KEY_MODE')
      expect(await codeOf(guest.load(at(1), BLOCK))).toBe('REFUSED_KEY_MODE')
      expect((await host.clone('late')).copied).toBe(0n)
      expect(await host.receipts('late')).toEqual([])
    })

    it('[C-13 control] [C-32 control] gets it with the mode that was granted', async () => {
      const { guest, root, block } = await emptySlot('in-time')
      await guest.installKeys({ root, mode: 'location' })
      expect(await host.copyCode('in-time-1', [block])).toBe('stored')
      expect(await guest.load(at(1), BLOCK)).toEqual(pattern(1))
    })
  })
})

describe("a share group's common key", () => {
  /** A stage whose policies do not allow keys of scope GROUP on the given sides. */
  async function strict(
    name: string,
    mode: Record<Role, KeyMode>,
    strictRoles: readonly Role[],
  ): Promise<Stage> {
    const made = await keyed(name, mode)
    for (const role of roles) await made.plugins[role].close()
    const events = made.events
    for (const role of roles) {
      const peers = [made[role === 'source' ? 'destination' : 'source'].identity]
      const allowed = await bed.policy(peers)
      const policy = { ...allowed, allowGroupScope: !strictRoles.includes(role) }
      const options = { policy, onEvent: events.observe(role) }
      if (role === 'source') await made.source.serveSource(options)
      else await made.destination.serveDestination(options)
    }
    return made
  }

  it.each(roles)('[C-32] is not given by the %s when its own policy does not allow that', async (role) => {
    const name = `own-${role}`
    const made = await strict(name, { source: 'both', destination: 'both', [role]: 'common' }, [role])
    expect(await clone(name, made)).toBe('REFUSED_SCOPE')
    expect(made.events.all(role, 'KEYS_SENT')).toEqual([])
    await expectUntouched(name, made)
  })

  it.each(roles)(
    "[C-32] is not used by the worker when the other side's policy does not allow it: %s",
    async (role) => {
      const name = `other-${role}`
      const judge = role === 'source' ? 'destination' : 'source'
      const made = await strict(name, { source: 'location', destination: 'location', [role]: 'common' }, [
        judge,
      ])
      expect(await clone(name, made)).toBe('REFUSED_SCOPE')
      await expectUntouched(name, made)
    },
  )

  it('[C-32 control] is given and used where both policies allow it, and keys of mode both need no leave', async () => {
    const wide = await strict('allowed', { source: 'common', destination: 'common' }, [])
    expect(await clone('allowed', wide)).toBe('ok')
    for (const role of roles) expect(wide.events.all(role, 'KEYS_SENT')).toMatchObject([{ scope: 'group' }])
    const narrow = await strict('narrow', { source: 'both', destination: 'both' }, roles)
    expect(await clone('narrow', narrow)).toBe('ok')
    for (const role of roles) expect(narrow.events.all(role, 'KEYS_SENT')).toMatchObject([{ scope: 'block' }])
  })

  it('[C-32] is shown as scope=GROUP by the command, and a key of a block as scope=BLOCK [C-32 control]', async () => {
    const made = await keyed('shown', { source: 'both', destination: 'common' })
    expect(await clone('shown', made)).toBe('ok')
    await made.destination.guest.store(at(1), Uint8Array.of(1))
    const shown = await on('registration', 'show', 'shown-1')
    expect(shown).toMatch(/source +read +both +scope=BLOCK +16\n/)
    expect(shown).toMatch(/destination +write +common +scope=GROUP +1\n/)
    expect(shown).toContain('receipts: 1; keys used: read both scope=BLOCK, write common scope=GROUP')
    expect(await on('registration', 'list')).toMatch(/shown-1 .* GROUP\n/)
    const log = (await on('audit', 'show'))
      .split('\n')
      .filter((line) => line.includes('registration=shown-1'))
    const scopes = log.map((line) => /scope=(\w+)/.exec(line)?.[1] ?? '')
    // The two sides' grants come in either order; the second one completes what the registration has.
    expect(scopes).toEqual(['', expect.stringMatching(/BLOCK|GROUP/), 'GROUP', 'GROUP'])
    expect(log[3]).toContain('keys=read both block, write common group')
    expect(JSON.parse(await on('registration', 'show', 'shown-1', '--json'))).toMatchObject({
      granted: [
        { scope: 'block' },
        { scope: 'block' },
        { role: 'destination', mode: 'common', scope: 'group' },
      ],
      receipts: 1,
      used: [
        { use: 'read', mode: 'both', scope: 'block' },
        { use: 'write', mode: 'common', scope: 'group' },
      ],
    })
  })

  it('[C-32] is in no learnt policy unless that is asked for', async () => {
    expect(JSON.parse(await on('policy', 'learn'))).not.toHaveProperty('allowGroupScope')
    const wide = JSON.parse(await on('policy', 'learn', '--allow-group-scope')) as object
    expect(wide).toMatchObject({ allowGroupScope: true })
  })

  /** Output of a command that has to succeed. */
  async function on(...words: string[]): Promise<string> {
    const { code, stdout } = await command.run(...words, '--directory', bed.directory)
    expect({ words, code }).toEqual({ words, code: 0 })
    return stdout
  }
})

describe('a VM of another group', () => {
  it('[C-14] can not read a shared frame: its read faults for the key, however often the host retries', async () => {
    const made = await keyed('foreign', { source: 'common', destination: 'common' }, { groups: 2 })
    const { source, destination } = made
    expect(await clone('foreign', made)).toBe('ok')
    const faults = await host.watchFaults(destination, [8, 9, 10, 11, 12, 13, 14, 15])
    await bed.hypervisor.revokeRegistration({ clone: 'foreign' })
    const shared = await host.mapping(source.name, 1)
    expect(await host.mapping(destination.name, 1)).toEqual(shared)
    const read = destination.guest.load(at(1), BLOCK)
    const first = await until('the fault', async () => Promise.resolve(faults.now()[0]))
    expect(first).toMatchObject({ vm: destination.name, index: 1n, access: 'read', reason: 'key' })
    await host.platform.resolveFaults({ retry: [first.id], fail: [] })
    const again = await until('the fault of the retry', async () => Promise.resolve(faults.now()[1]))
    expect(again).toMatchObject({ vm: destination.name, index: 1n, access: 'read', reason: 'key' })
    expect((await host.clone('foreign')).copied).toBeLessThan(8n)
    expect(await host.mapping(destination.name, 1)).toEqual(shared)
    // It gets the page when both sides agree to a copy, in a frame of its own and under its own group's key.
    await bed.hypervisor.renewRegistration({ clone: 'foreign' })
    expect(await read).toEqual(pattern(1))
    const own = await host.mapping(destination.name, 1)
    expect(own.frame).not.toBe(shared.frame)
    expect(await host.ciphertext(own.frame)).not.toEqual(await host.ciphertext(shared.frame))
    await faults.stop()
  })

  it('[C-14] [C-10 control] of the same group reads it at once, though nobody could copy it', async () => {
    const made = await keyed('kin', { source: 'common', destination: 'common' })
    expect(await clone('kin', made)).toBe('ok')
    await bed.hypervisor.revokeRegistration({ clone: 'kin' })
    const shared = await host.mapping(made.source.name, 1)
    expect(await made.destination.guest.load(at(1), BLOCK)).toEqual(pattern(1))
    expect(await host.mapping(made.destination.name, 1)).toEqual(shared)
    expect((await host.clone('kin')).copied).toBe(0n)
  })

  it('[C-14] a VM of the same group that is no sharer can not read it either, whatever the host maps', async () => {
    const group = Secret.random(32)
    const keys = { mode: 'common', group } as const
    const made = await stage(bed, 'uninvited', { pages: PAGES, sourceKeys: keys, destinationKeys: keys })
    expect(await clone('uninvited', made)).toBe('ok')
    const third = await bed.vm('uninvited-third', { memoryBytes: PAGES * BLOCK, unmapped: true, ...keys })
    const { frame } = await host.mapping(made.source.name, 1)
    const mappings = [{ index: 1n, frame, writable: false }]
    await host.platform.setMappings({ vm: third.name, mappings, retry: [] })
    expect(await codeOf(third.guest.load(at(1), BLOCK))).toBe('OWNERSHIP_FAULT')
    expect(await made.destination.guest.load(at(1), BLOCK)).toEqual(pattern(1))
  })
})
