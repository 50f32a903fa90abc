// Definitions of plugins, ready-made keys, and the outbox of a stream.
import { describe, expect, it } from 'vitest'
import { parsePolicy } from '../../../../sdk/attest/index.ts'
import { deriveBlockKey, IdentityKey, Secret, selfSignedRoot } from '../../../../sdk/crypto/index.ts'
import {
  defineDestinationPlugin,
  defineSourcePlugin,
  keysByKind,
  type KeyRequest,
  memoryKeys,
  type PluginOptions,
  volumeKey,
} from '../../../../sdk/plugin/index.ts'
import { Outbox } from '../../../../sdk/plugin/outbox.ts'

const anchor = selfSignedRoot({ subject: 'CN=manufacturer', days: 1, key: IdentityKey.generate() })
const policy = parsePolicy({
  version: 1,
  trustAnchors: [anchor.pem],
  firmware: { images: [], signers: [], minimumSvn: 0 },
  hypervisors: [],
  workers: [],
  peers: [],
  pcrs: { bank: 'sha256', select: [0, 4, 7] },
})
const memory: KeyRequest = { registration: 'r', kind: 'memory-page', use: 'read', frames: [7n] }
const disk: KeyRequest = { registration: 'r', kind: 'disk-block', use: 'read', frames: [], volume: 'v' }
const good: PluginOptions = { name: 'p', version: '1.0.0', policy, keys: volumeKey(Secret.random(64)) }

describe('definitions', () => {
  it('name the side that they speak for, and can not be changed', () => {
    expect(defineSourcePlugin(good).role).toBe('source')
    expect(defineDestinationPlugin(good).role).toBe('destination')
    expect(Object.isFrozen(defineSourcePlugin(good))).toBe(true)
  })

  it.each([
    ['a name', { ...good, name: '' }],
    ['a version', { ...good, version: 'latest' }],
    ['a handler', { ...good, keys: undefined as unknown as PluginOptions['keys'] }],
  ])('need %s', (_what, options) => {
    expect(() => defineSourcePlugin(options)).toThrow(TypeError)
  })
})

describe('ready-made keys', () => {
  it('[C-32] give one key a frame, and it is the frame’s own', () => {
    const root = Secret.random(32)
    const answer = memoryKeys({ root, mode: 'location' })(memory)
    if (!('key' in answer)) throw new Error('expected a key a frame')
    expect(answer.key(7n).equals(deriveBlockKey(root, 'location', 7n))).toBe(true)
    expect(answer.key(8n).equals(answer.key(7n)), '[C-32] the neighbour has another').toBe(false)
  })

  it('[C-32 control] give the one group key in mode common', () => {
    const group = Secret.random(32)
    const answer = memoryKeys({ root: Secret.random(32), mode: 'common', group })(memory)
    if (!('groupKey' in answer)) throw new Error('expected the group key')
    expect(answer.groupKey.equals(deriveBlockKey(group, 'common', 0n))).toBe(true)
  })

  it('refuse a mode without its key, and blocks of the other kind', () => {
    expect(() => memoryKeys({ root: Secret.random(32), mode: 'both' })).toThrow('"group" expected a key')
    expect(() => memoryKeys({ root: Secret.random(32), mode: 'location' })(disk)).toThrow('not for disks')
    expect(() => volumeKey(Secret.random(64))(memory)).toThrow('not for guest memory')
    expect(() => keysByKind({ disk: volumeKey(Secret.random(64)) })(memory)).toThrow('memory-page')
  })

  it('lend a copy of the volume key, so that wiping it hurts nobody', () => {
    const key = Secret.random(64)
    const answer = volumeKey(key, 4096)(disk)
    if (!('volumeKey' in answer)) throw new Error('expected a volume key')
    answer.volumeKey.wipe()
    expect(key.wiped).toBe(false)
  })
})

describe('Outbox', () => {
  it('gives what was pushed before and while it was read, then ends', async () => {
    const outbox = new Outbox<number>()
    outbox.push(1)
    const read = (async () => {
      const seen: number[] = []
      for await (const item of outbox) seen.push(item)
      return seen
    })()
    await Promise.resolve()
    outbox.push(2)
    outbox.end()
    outbox.push(3)
    await expect(read).resolves.toEqual([1, 2])
  })
})
