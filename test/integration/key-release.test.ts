// How keys come to be released: what the host relays, what each VM validates, and what is sent when. The hypervisor runs
// in this process, where it can be made to lie to the plugins; platform, worker and the wire are real.

import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defaultWorkerImage, startTestbed, type Testbed } from '../../emulator/testbed/index.ts'
import { decodeOpen, encodeOpen, transcriptOf, verifyChallenge } from '../../sdk/attest/index.ts'
import { generateHpkeKeyPair, Secret } from '../../sdk/crypto/index.ts'
import { workerLaunchDigest } from '../../sdk/evidence/index.ts'
import { type KeyRequest, memoryKeys } from '../../sdk/plugin/index.ts'
import type { EvidenceDelivery, Role } from '../../sdk/rpc/index.ts'
import { HostView } from './support/host-view.ts'
import { BLOCK, digest, openPage } from './support/independent.ts'
import { type Lie, Liar, toSide } from './support/liar.ts'
import { at, bytesOf, codeOf, pattern, type Stage, stage, type StageOptions, until } from './support/stage.ts'

const PAGES = 64
const roles: readonly Role[] = ['source', 'destination']

const liar = new Liar()
let bed: Testbed
let host: HostView
let made: Stage
/** Calls of the plugins' `keys` handlers, in line with their events. */
const asked: { role: Role; request: KeyRequest; after: string[] }[] = []
let attempts = 0

beforeAll(async () => {
  bed = await startTestbed({ tampering: liar.tampering })
  host = new HostView(bed)
  const roots = { source: Secret.random(32), destination: Secret.random(32) }
  const plugin = (role: Role) => ({
    keys: (request: KeyRequest) => {
      asked.push({ role, request, after: made.events.names(role, request.registration) })
      return memoryKeys({ root: roots[role], mode: 'location' })(request)
    },
  })
  made = await stage(bed, 'main', {
    pages: PAGES,
    sourceKeys: { root: roots.source },
    destinationKeys: { root: roots.destination },
    sourcePlugin: plugin('source'),
    destinationPlugin: plugin('destination'),
  })
})
afterAll(async () => {
  host.close()
  await bed.close()
})

/** Tries to clone two pages that were not cloned before. */
async function attempt(from: Stage = made) {
  const first = BigInt(attempts * 2) % BigInt(PAGES)
  const clone = `attempt-${String(++attempts)}`
  const code = await codeOf(
    bed.hypervisor.createClone(
      {
        clone,
        source: from.source.name,
        destination: from.destination.name,
        storage: { case: 'memory', value: { pairs: [{ first, second: first + 1n, count: 1n }] } },
      },
      { deadlineMs: 60_000 },
    ),
  )
  const registration = `${clone}-1`
  const names = (role: Role) => from.events.names(role, registration)
  return { clone, registration, first, second: first + 1n, code, names }
}

/** A stage whose source has a policy of the test's own. */
async function stageWith(name: string, options: StageOptions): Promise<Stage> {
  return stage(bed, name, { pages: PAGES, ...options })
}

describe('the message with measurement and block ids', () => {
  it.each(roles)('[C-01] is one, and brings the %s all three', async (role) => {
    const { code, registration, first, second } = await attempt()
    expect(code).toBe('ok')
    const { value } = liar.evidenceFor(registration, role)
    const id = { kind: 'memory-page', generation: 0n }
    expect(value.firstBlock).toEqual({ ...id, vm: made.source.name, index: first })
    expect(value.secondBlock).toEqual({ ...id, vm: made.destination.name, index: second })
    const { image } = await host.platform.getFirmware({ includeImage: true })
    expect(Buffer.from(value.measurement)).toEqual(digest(image))
    const received = made.events.all(role, 'MEASUREMENT_RECEIVED').at(-1)
    expect(received).toMatchObject({ registration, measurement: value.measurement })
    expect(received?.first).toContain(made.source.name)
    expect(received?.second).toContain(made.destination.name)
  })

  const lacking: Record<string, (value: EvidenceDelivery) => EvidenceDelivery> = {
    measurement: (value) => ({ ...value, measurement: new Uint8Array() }),
    'the first block id': ({ firstBlock: _, ...value }) => value,
    'the second block id': ({ secondBlock: _, ...value }) => value,
  }
  it.each(Object.keys(lacking).flatMap((what) => roles.map((role) => ({ what, role }))))(
    '[C-01] [C-30] without $what is refused by the $role, and it gives no key',
    async ({ what, role }) => {
      const without = lacking[what] ?? ((value) => value)
      const lie = toSide(role, (_side, value, pass) => pass(without(value)))
      const { code, names } = await liar.telling(lie, () => attempt())
      expect(code).toBe('INVALID_ARGUMENT')
      expect(names(role)).not.toContain('KEYS_SENT')
    },
  )

  it('[C-01 control] [C-30 control] with all three is accepted, and both sides give keys', async () => {
    const { code, names } = await attempt()
    expect(code).toBe('ok')
    for (const role of roles) expect(names(role)).toContain('KEYS_SENT')
  })
})

describe('validation', () => {
  it.each(roles)('[C-02] [C-03] comes before the %s is asked for keys and sends them', async (role) => {
    const calls = asked.length
    const { code, names, registration } = await attempt()
    expect(code).toBe('ok')
    const mine = names(role)
    expect(mine.indexOf('MEASUREMENT_RECEIVED')).toBeLessThan(mine.indexOf('VALIDATED'))
    expect(mine.indexOf('VALIDATED')).toBeLessThan(mine.indexOf('KEYS_SENT'))
    const handed = asked.slice(calls).filter((call) => call.role === role)
    expect(handed.length).toBeGreaterThan(0)
    for (const { request, after } of handed) {
      expect(request.registration).toBe(registration)
      expect(after.at(-1)).toBe('VALIDATED')
    }
  })

  it('[C-02] [C-03] refuses firmware that differs in one byte from the expected; no key is sent', async () => {
    const { image } = await host.platform.getFirmware({ includeImage: true })
    const expectedImage = Uint8Array.from(image)
    expectedImage[expectedImage.length - 1] = (expectedImage.at(-1) ?? 0) ^ 1
    const expected = digest(expectedImage)
    const learned = await bed.policy([made.destination.identity])
    const images = [{ digest: expected.toString('hex') }]
    const policy = { ...learned, firmware: { ...learned.firmware, images } }
    const handler = { called: false }
    const keys = (request: KeyRequest) => {
      handler.called = true
      return memoryKeys({ root: Secret.random(32), mode: 'location' })(request)
    }
    const other = await stageWith('flipped', { sourcePlugin: { policy, keys } })
    const allowed = { ...policy, peers: [{ identity: identityOf(other) }] }
    await other.plugins.source.close()
    await other.source.serveSource({ policy: allowed, keys, onEvent: other.events.observe('source') })
    expect((await attempt(other)).code).toBe('REFUSED_MEASUREMENT')
    // The host may put the expected digest into its message: it is the platform's word that counts.
    const lie = toSide('source', (_side, value, pass) => pass({ ...value, measurement: expected }))
    const { code, names } = await liar.telling(lie, () => attempt(other))
    expect(code).toBe('REFUSED_MEASUREMENT')
    expect(names('source')).not.toContain('VALIDATED')
    expect(names('source')).not.toContain('KEYS_SENT')
    expect(handler.called).toBe(false)
  })

  it('[C-02 control] [C-03 control] accepts the firmware that runs', async () => {
    const other = await stageWith('unflipped', {})
    const { code, names } = await attempt(other)
    expect(code).toBe('ok')
    expect(names('source').filter((name) => name === 'KEYS_SENT')).toHaveLength(1)
  })
})

describe('a worker that the policy names by its launch digest', () => {
  const launchDigest = workerLaunchDigest(readFileSync(defaultWorkerImage()))

  /** Tries to clone where the source's policy names this launch and no image. */
  async function naming(stageName: string, digest: Uint8Array) {
    const other = await stageWith(stageName, {})
    const workers = [{ digest: Buffer.from(digest).toString('hex') }]
    const policy = { ...(await bed.policy([other.destination.identity])), workers }
    await other.plugins.source.close()
    const keys = memoryKeys({ root: Secret.random(32), mode: 'location' })
    await other.source.serveSource({ policy, keys, onEvent: other.events.observe('source') })
    return attempt(other)
  }

  it('[C-29] is refused when it is another launch, and no key is sent', async () => {
    const { code, names } = await naming(
      'other-launch',
      launchDigest.map((byte, at) => (at === 47 ? byte ^ 1 : byte)),
    )
    expect(code).toBe('REFUSED_WORKER')
    expect(names('source')).not.toContain('KEYS_SENT')
  })

  it('[C-29 control] is accepted when it is that launch', async () => {
    const { code, names } = await naming('this-launch', launchDigest)
    expect(code).toBe('ok')
    expect(names('source')).toContain('KEYS_SENT')
  })
})

describe('both sides', () => {
  it('[C-30] challenge with nonces of their own, and each gets a quote for its own', async () => {
    const { registration } = await attempt()
    const [source, destination] = roles.map((role) => {
      const { value, answer } = liar.offerFor(registration, role)
      const terms = { open: decodeOpen(value.open), transcript: transcriptOf(value.open) }
      const { nonce } = verifyChallenge(answer.challenge, terms)
      const { quote } = liar.evidenceFor(registration, role).value
      return {
        nonce: Buffer.from(nonce),
        binding: Buffer.from(answer.qualifyingData),
        attest: Buffer.from(quote?.attest ?? []),
      }
    })
    if (source === undefined || destination === undefined) throw new Error('two sides were expected')
    expect(source.nonce).not.toEqual(destination.nonce)
    expect(source.attest.includes(source.binding)).toBe(true)
    expect(destination.attest.includes(destination.binding)).toBe(true)
    expect(destination.attest.includes(source.binding)).toBe(false)
  })

  it.each(roles)(
    "[C-29] [C-30] the %s refuses evidence that was made for the other's challenge",
    async (role) => {
      let others: (value: EvidenceDelivery) => void = () => undefined
      const other = new Promise<EvidenceDelivery>((resolve) => (others = resolve))
      const lie: Lie = {
        evidence: async (side, value, pass) => {
          if (side.role === role) return pass(await other)
          others(value)
          return pass(value)
        },
      }
      const { code, names } = await liar.telling(lie, () => attempt())
      expect(code).toBe('REFUSED_BINDING')
      expect(names(role)).not.toContain('KEYS_SENT')
    },
  )

  it.each(roles)(
    "[C-29] the %s refuses terms with the host's own key in place of the worker's",
    async (role) => {
      const lie: Lie = {
        openOffer: async (side, value, pass) => {
          const honest = await pass(value)
          if (side.role !== role) return honest
          const { publicKey } = await generateHpkeKeyPair()
          await pass({ ...value, open: encodeOpen({ ...decodeOpen(value.open), workerKey: publicKey }) })
          return honest
        },
      }
      const { code, names } = await liar.telling(lie, () => attempt())
      expect(code).toBe('REFUSED_BINDING')
      expect(names(role)).not.toContain('KEYS_SENT')
    },
  )

  it('[C-29 control] accept terms and evidence that are relayed as they are', async () => {
    expect((await attempt()).code).toBe('ok')
  })

  it.each([
    { role: 'source', held: 'destination', state: 'keyed-source' },
    { role: 'destination', held: 'source', state: 'keyed-destination' },
  ] as const)(
    '[C-04] [C-04 control] with the keys of the $role alone nothing is copied; with both it is',
    async ({ held, state }) => {
      let release = (): void => undefined
      const gate = new Promise<void>((resolve) => (release = resolve))
      const lie = toSide(held, async (_side, value, pass) => {
        await gate
        return pass(value)
      })
      const registration = `attempt-${String(attempts + 1)}-1`
      await liar.telling(lie, async () => {
        const cloning = attempt()
        await until(
          'the first keys',
          async () => (await host.registration(registration))?.state === state || undefined,
        )
        const [secondFrame] = await host.reserved(registration)
        const first = BigInt((attempts - 1) * 2) % BigInt(PAGES)
        const { frame: firstFrame } = await host.mapping(made.source.name, Number(first))
        const block = { first, second: first + 1n, firstFrame, secondFrame }
        expect(await host.copyCode(registration, [block])).toBe('REGISTRATION_STATE')
        expect(await host.writesOf(secondFrame ?? -1n)).toEqual([])
        release()
        expect((await cloning).code).toBe('ok')
        expect(await host.copyCode(registration, [block])).toBe('stored')
        expect(await host.writesOf(secondFrame ?? -1n)).toHaveLength(1)
      })
    },
  )
})

describe('the first key', () => {
  it('[C-05] that is wrong yields no source plaintext, but what that key makes of the ciphertext', async () => {
    const wrong = Secret.random(32)
    const keys = memoryKeys({ root: wrong, mode: 'location' })
    const { source, destination } = await cloneWith('wrong-key', { sourcePlugin: { keys } })
    const { frame } = await host.mapping(source.name, 2)
    const ciphertext = await host.ciphertext(frame)
    const found = Buffer.from(await destination.guest.load(at(2), BLOCK))
    for (let i = 0; i < BLOCK; i += 16) expect(found.includes(part(2, i))).toBe(false)
    expect(found).toEqual(openPage(bytesOf(wrong), frame, ciphertext))
  })

  it('[C-05 control] that is right yields the source plaintext', async () => {
    const { destination } = await cloneWith('right-key', {})
    const found = Buffer.from(await destination.guest.load(at(2), BLOCK))
    for (let i = 0; i < BLOCK; i += 16) expect(found.includes(part(2, i))).toBe(true)
  })

  async function cloneWith(name: string, options: StageOptions): Promise<Stage> {
    const other = await stage(bed, name, { pages: 4, ...options })
    await bed.cloneMemory(name, other.source, other.destination)
    return other
  }

  const part = (page: number, offset: number) => Buffer.from(pattern(page).subarray(offset, offset + 16))
})

/** Digest of the destination's identity key, as policies name peers. */
function identityOf({ destination }: Stage): string {
  return Buffer.from(destination.identity.key.publicKey.digest).toString('hex')
}
