// Grants: what one VM seals only the worker of the terms opens, and only as it was given, for whom and when.

import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  encodeOpen,
  type Open,
  otherRole,
  Refusal,
  type Role,
  transcriptOf,
} from '../../../../sdk/attest/index.ts'
import { expandRanges } from '../../../../sdk/block/index.ts'
import {
  BlockKeyDeriver,
  type CanonicalMap,
  decodeMap,
  encodeCanonical,
  field,
  generateHpkeKeyPair,
  hex,
  IdentityKey,
  parse1,
  Secret,
  selectEngine,
  sign1,
  utf8,
} from '../../../../sdk/crypto/index.ts'
import {
  checkAgreement,
  GRANT_LIMIT,
  type GrantEntry,
  type GrantOptions,
  KeyTable,
  makeGrants,
  type OpenedGrant,
  openGrant,
} from '../../../../sdk/grant/index.ts'
import { refusalIn, refusalOf } from '../attest/refusals.ts'
import { makeWorld, type World } from '../attest/world.ts'

const TAG = 'palimpsest/v1/grant'

let world: World
let other: World
const roots = { source: Secret.random(32), destination: Secret.random(32) }
const derivers = {
  source: new BlockKeyDeriver(roots.source, 'location'),
  destination: new BlockKeyDeriver(roots.destination, 'location'),
}
beforeAll(async () => {
  world = await makeWorld()
  other = await makeWorld({ manufacturer: world.manufacturer })
})

const transcript = (open: Open = world.open): Uint8Array => transcriptOf(encodeOpen(open))
const FIRST_FRAMES = [1000n, 1001n, 1002n, 1003n, 1010n]
const POOL = [...expandRanges([{ first: 2000n, count: 5n }])]

function entriesOf(role: Role): GrantEntry[] {
  const keyFor = (frame: bigint): Secret => derivers[role].key(frame)
  const entry = { scope: 'block', mode: 'location', keyFor } as const
  return role === 'source'
    ? [
        { ...entry, use: 'read', frames: FIRST_FRAMES },
        { ...entry, use: 'write', frames: [3000n, 3001n] },
      ]
    : [{ ...entry, use: 'write', frames: POOL }]
}

async function make(role: Role, change: Partial<GrantOptions> = {}): Promise<Uint8Array[]> {
  const open = change.open ?? world.open
  return makeGrants({
    identity: world.identities[role],
    open,
    transcript: transcript(open),
    role,
    nonce: new Uint8Array(32).fill(4),
    entries: entriesOf(role),
    notAfter: 0n,
    ...change,
  })
}

async function makeOne(role: Role, change: Partial<GrantOptions> = {}): Promise<Uint8Array> {
  const [grant, ...more] = await make(role, change)
  if (grant === undefined || more.length > 0) throw new Error('expected one grant')
  return grant
}

type OpenOptions = Parameters<typeof openGrant>[0]
const openIt = (bytes: Uint8Array, change: Partial<OpenOptions> = {}): Promise<OpenedGrant> =>
  openGrant({ bytes, open: world.open, transcript: transcript(), keyPair: world.worker, ...change })

const codeIn = async (work: Promise<unknown>): Promise<string> => (await refusalIn(work)).code

/** Signs again what `change` made of a grant's payload: what a VM that misbehaves could send. */
function resigned(
  grant: Uint8Array,
  key: IdentityKey,
  change: (payload: CanonicalMap) => CanonicalMap,
): Uint8Array {
  const payload = encodeCanonical(change(decodeMap(parse1(grant).payload, 'grant')))
  return sign1({ key, payload, tag: TAG, keyId: key.publicKey.digest })
}

/** As {@link resigned}, for the part in clear. */
function withTerms(grant: Uint8Array, key: IdentityKey, change: CanonicalMap): Uint8Array {
  return resigned(grant, key, (payload) => {
    const terms = decodeMap(field.bytes(payload, 'aad'), 'terms')
    return { ...payload, aad: encodeCanonical({ ...terms, ...change }) }
  })
}

describe('a grant', () => {
  it('[C-31 control] [C-03 control] of the source opens to its keys, frame by frame', async () => {
    const opened = await openIt(await makeOne('source'), { role: 'source' })
    expect(opened).toMatchObject({ role: 'source', notAfter: 0n, transcript: transcript() })
    expect(opened.signer).toEqual(world.identities.source.publicKey.digest)
    expect(opened.peer).toEqual(world.identities.destination.publicKey.digest)
    const [read, write] = opened.entries
    expect(read).toMatchObject({ use: 'read', scope: 'block', mode: 'location' })
    expect(write).toMatchObject({ use: 'write', frames: [{ first: 3000n, count: 2n }] })
    expect(read?.frameKeys?.size).toBe(FIRST_FRAMES.length)
    for (const frame of FIRST_FRAMES) {
      const key = read?.frameKeys?.get(frame) ?? new Uint8Array()
      expect(derivers.source.key(frame).use(hex)).toBe(hex(key))
    }
  })

  it('[C-04 control] of the destination opens to its own keys', async () => {
    const { entries } = await openIt(await makeOne('destination'), { role: 'destination' })
    expect(entries.map(({ use }) => use)).toEqual(['write'])
    const key = entries[0]?.frameKeys?.get(2004n) ?? new Uint8Array()
    expect(derivers.destination.key(2004n).use(hex)).toBe(hex(key))
  })

  it('[C-31] shows no key, and each time another ciphertext', async () => {
    const grant = await makeOne('source')
    const text = hex(grant)
    for (const frame of FIRST_FRAMES) {
      const key = derivers.source.key(frame).use(hex)
      expect(text).not.toContain(key)
      expect(text).not.toContain(key.slice(0, 32))
    }
    expect(text).not.toContain(roots.source.use(hex))
    expect(hex(await makeOne('source'))).not.toBe(text)
  })

  it('[C-31 control] the search finds a key that is really in the bytes', async () => {
    const key = derivers.source.key(1000n).use(hex)
    expect(hex(await makeOne('source')) + key).toContain(key)
  })

  it('of a group’s key carries it alone, flagged as wide [C-32]', async () => {
    const group = Secret.random(64)
    const copy = group.use((bytes) => Secret.from(bytes))
    const entries: GrantEntry[] = [{ use: 'read', scope: 'group', mode: 'common', key: group }]
    const [entry] = (await openIt(await makeOne('source', { entries }))).entries
    expect(entry).toMatchObject({ scope: 'group', mode: 'common', frames: null })
    expect(entry?.wideKey?.equals(copy)).toBe(true)
    expect(entry?.frameKeys).toBeUndefined()
  })

  it('of a volume’s key carries the sector size', async () => {
    const disk = { sourceVolume: 'a', destinationVolume: 'b' }
    const open: Open = { ...world.open, kind: 'disk-block', memory: null, disk }
    const key = Secret.random(64)
    const copy = key.use((bytes) => Secret.from(bytes))
    const entries: GrantEntry[] = [{ use: 'read', scope: 'volume', mode: 'common', key }]
    const grant = await makeOne('source', { open, entries, sectorSize: 4096 })
    const opened = await openIt(grant, { open, transcript: transcript(open) })
    expect(opened.sectorSize).toBe(4096)
    expect(opened.entries[0]?.wideKey?.equals(copy)).toBe(true)
  })

  it('is cut into parts of at most 4096 keys, each with its own id', async () => {
    const frames = [...expandRanges([{ first: 10_000n, count: 5000n }])].reverse()
    const keyFor = (): Secret => Secret.from(new Uint8Array(64).fill(1))
    const entries: GrantEntry[] = [{ use: 'write', scope: 'block', mode: 'location', frames, keyFor }]
    const grants = await make('destination', { entries })
    const opened = await Promise.all(grants.map((bytes) => openIt(bytes)))
    expect(opened.map(({ entries: [entry] }) => entry?.frameKeys?.size)).toEqual([4096, 904])
    expect(new Set(opened.map(({ id }) => hex(id))).size).toBe(2)
  })

  it('names a frame once, however often it was listed', async () => {
    const entries = entriesOf('destination').map((entry) =>
      'frames' in entry ? { ...entry, frames: [...entry.frames, ...entry.frames] } : entry,
    )
    const opened = await openIt(await makeOne('destination', { entries }))
    expect(opened.entries[0]?.frameKeys?.size).toBe(POOL.length)
  })

  it('[C-33] wipes the secrets that it was given', async () => {
    const given: Secret[] = []
    const keyFor = (frame: bigint): Secret => {
      const key = derivers.source.key(frame)
      given.push(key)
      return key
    }
    await makeOne('source', {
      entries: [{ use: 'read', scope: 'block', mode: 'location', frames: FIRST_FRAMES, keyFor }],
    })
    expect(given).toHaveLength(FIRST_FRAMES.length)
    expect(given.every((secret) => secret.wiped)).toBe(true)
  })

  it('is not made by another identity, with a key of another length, or with a sector size for memory', async () => {
    await expect(make('source', { identity: world.identities.destination })).rejects.toThrow(RangeError)
    await expect(make('source', { sectorSize: 512 })).rejects.toThrow(RangeError)
    const key = Secret.random(32)
    await expect(
      make('source', { entries: [{ use: 'read', scope: 'group', mode: 'common', key }] }),
    ).rejects.toThrow('64 bytes')
  })

  it('[C-32] is not made of a common key that passes for one of a block, or the other way', async () => {
    const keyFor = (): Secret => Secret.random(64)
    const narrow: GrantEntry = { use: 'read', scope: 'block', mode: 'common', frames: FIRST_FRAMES, keyFor }
    await expect(make('source', { entries: [narrow] })).rejects.toThrow('got common with block')
    const wide: GrantEntry = { use: 'read', scope: 'group', mode: 'both', key: Secret.random(64) }
    await expect(make('source', { entries: [wide] })).rejects.toThrow('got both with group')
  })
})

describe('least privilege', () => {
  it('[C-32] the key of one frame opens no other; the control opens its own [C-32 control]', () => {
    const engine = selectEngine()
    const page = utf8('plaintext of a page, '.repeat(200)).subarray(0, 4096)
    const sector = { sectorSize: 4096, tweakStep: 1n } as const
    const encrypted = new Uint8Array(4096)
    engine.encrypt({
      ...sector,
      key: derivers.source.key(1001n),
      firstSector: 1001n,
      input: page,
      output: encrypted,
    })
    const decrypt = (frame: bigint): Uint8Array => {
      const output = new Uint8Array(4096)
      engine.decrypt({
        ...sector,
        key: derivers.source.key(frame),
        firstSector: 1001n,
        input: encrypted,
        output,
      })
      return output
    }
    expect(decrypt(1001n)).toEqual(page)
    expect(decrypt(1000n)).not.toEqual(page)
  })

  it('[C-32] keys for frames that the terms do not name are refused', async () => {
    const entries = entriesOf('source').map((entry) =>
      'frames' in entry ? { ...entry, frames: [...entry.frames, 1004n] } : entry,
    )
    expect(await codeIn(openIt(await makeOne('source', { entries })))).toBe('GRANT_INVALID')
  })

  it('[C-32] frames of a later refill may be written to, under the same terms', async () => {
    const entries = entriesOf('destination').map((entry) =>
      'frames' in entry ? { ...entry, frames: [7777n] } : entry,
    )
    expect((await openIt(await makeOne('destination', { entries }))).entries[0]?.frameKeys?.size).toBe(1)
  })

  it('[C-04] the destination gives no key to read', async () => {
    const entries = entriesOf('source').map((entry) => ({ ...entry }))
    expect(await codeIn(openIt(await makeOne('destination', { entries })))).toBe('GRANT_INVALID')
  })

  it('[C-32] a group’s key stands for no volume, and a volume’s for no memory', async () => {
    const entries: GrantEntry[] = [{ use: 'read', scope: 'volume', mode: 'common', key: Secret.random(64) }]
    expect(await codeIn(openIt(await makeOne('source', { entries, sectorSize: 512 })))).toBe('GRANT_INVALID')
  })
})

describe('another’s grant', () => {
  it('[C-31] replayed into another registration is refused [A-19]', async () => {
    const grant = await makeOne('source')
    const elsewhere = { ...world.open, registration: 'registration-2' }
    const change = { open: elsewhere, transcript: transcript(elsewhere) }
    expect(await codeIn(openIt(grant, change))).toBe('GRANT_INVALID')
  })

  it('[C-31] sealed to another worker is refused, though the terms are the same', async () => {
    const keyPair = await generateHpkeKeyPair()
    expect(await codeIn(openIt(await makeOne('source'), { keyPair }))).toBe('GRANT_INVALID')
  })

  it('[C-31] of a fake VM that signs for itself is refused [A-21]', async () => {
    const fake = IdentityKey.generate()
    const open = { ...world.open, source: { ...world.open.source, identity: fake.publicKey.digest } }
    const forged = await makeOne('source', { identity: fake, open, transcript: transcript() })
    expect(await codeIn(openIt(forged))).toBe('REFUSED_PEER')
  })

  it('[C-31] a fake VM that takes an honest grant’s place is refused, whatever it copies [A-21]', async () => {
    const fake = IdentityKey.generate()
    const honest = await makeOne('source')
    const stolen = resigned(honest, fake, (payload) => ({ ...payload, key: fake.publicKey.spki }))
    expect(await codeIn(openIt(stolen))).toBe('REFUSED_PEER')
    expect(await codeIn(openIt(resigned(honest, fake, (payload) => payload)))).toBe('GRANT_INVALID')
  })

  it('[C-31] [C-30] of a VM that agreed to another peer is refused [A-31]', async () => {
    const accomplice = IdentityKey.generate().publicKey.digest
    const open = { ...world.open, destination: { ...world.open.destination, identity: accomplice } }
    const grant = await makeOne('source', { open, transcript: transcript() })
    expect(await codeIn(openIt(grant))).toBe('REFUSED_PEER')
  })

  it('[C-04] for the other side is refused', async () => {
    expect(await codeIn(openIt(await makeOne('source'), { role: 'destination' }))).toBe('GRANT_INVALID')
    const relabelled = withTerms(await makeOne('source'), world.identities.source, { role: 'destination' })
    expect(await codeIn(openIt(relabelled))).toBe('GRANT_INVALID')
  })

  it('[C-31] whose clear part was changed by its own signer does not open', async () => {
    const grant = await makeOne('source')
    const key = world.identities.source
    for (const change of [{ notAfter: 9n }, { id: new Uint8Array(16) }, { entries: [] }]) {
      expect(await codeIn(openIt(withTerms(grant, key, change)))).toBe('GRANT_INVALID')
    }
  })

  it.each<[string, CanonicalMap]>([
    ['another transcript', { transcript: new Uint8Array(32) }],
    ['another nonce', { nonce: new Uint8Array(32) }],
    ['other blocks', { pairs: [[1n, 2n, 3n]] }],
    ['another kind', { kind: 'disk-block' }],
    ['an unknown field', { extra: 1n }],
    ['another version', { v: 2n }],
    ['an unknown scope', { entries: [{ use: 'read', mode: 'common', scope: 'all', frames: null }] }],
    ['frames with a wide scope', { entries: [{ use: 'read', mode: 'common', scope: 'group', frames: [] }] }],
    ['a common key that is said to open one block', { entries: [entryMap(1n, 'common')] }],
    ['a group scope for keys of frames', { entries: [{ ...wideMap(), mode: 'both' }] }],
    ['an unknown scope to accept', { accepts: ['block', 'all'] }],
    ['a sector size that no disk has', { sector: 100n }],
    ['a sector size for memory', { sector: 512n }],
    ['a run of a billion frames', { entries: [entryMap(1_000_000_000n)] }],
  ])('[C-31] with %s is refused', async (_title, change) => {
    const grant = withTerms(await makeOne('source'), world.identities.source, change)
    expect(await codeIn(openIt(grant))).toBe('GRANT_INVALID')
  })

  it('[C-31] with any byte changed is refused', async () => {
    const grant = await makeOne('source')
    await fc.assert(
      fc.asyncProperty(fc.nat(grant.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const changed = Uint8Array.from(grant)
        changed[at] = (changed[at] ?? 0) ^ flip
        expect(['GRANT_INVALID', 'REFUSED_PEER']).toContain(await codeIn(openIt(changed)))
      }),
      { numRuns: 300 },
    )
  })

  it('[C-31] cut short or too long is refused', async () => {
    const grant = await makeOne('source')
    expect(await codeIn(openIt(grant.subarray(0, -1)))).toBe('GRANT_INVALID')
    expect(await codeIn(openIt(new Uint8Array(GRANT_LIMIT + 1)))).toBe('REFUSED_SIZE')
  })

  it('a refusal names neither a key nor a plaintext', async () => {
    const refusal = await refusalIn(openIt(await makeOne('source'), { keyPair: other.worker }))
    expect(refusal).toBeInstanceOf(Refusal)
    expect(refusal.message).not.toContain(derivers.source.key(1000n).use(hex).slice(0, 16))
  })
})

function entryMap(count: bigint, mode = 'location'): CanonicalMap {
  return { use: 'write', mode, scope: 'block', frames: [[1n, count]] }
}

function wideMap(): CanonicalMap {
  return { use: 'write', mode: 'common', scope: 'group', frames: null }
}

describe('the life of a grant', () => {
  it('[C-33] ends at its time of the platform’s clock; the control is a moment earlier [C-33 control]', async () => {
    const grant = await makeOne('source', { notAfter: 5000n })
    expect((await openIt(grant, { clock: 4999n })).notAfter).toBe(5000n)
    expect(await codeIn(openIt(grant, { clock: 5000n }))).toBe('GRANT_EXPIRED')
  })

  it('[C-33] is the worker’s lease when it names none', async () => {
    const opened = await openIt(await makeOne('source'), { clock: 1n << 60n })
    expect(opened.notAfter).toBe(0n)
  })

  it('[C-33] the key table is empty after it was wiped, and its bytes are zeros', () => {
    const table = new KeyTable()
    const keys = new Uint8Array(128).fill(7)
    table.adopt([1n, 2n], keys)
    expect(table.get(2n)).toEqual(new Uint8Array(64).fill(7))
    table.wipe()
    expect(table.size).toBe(0)
    expect(table.get(1n)).toBeUndefined()
    expect(keys).toEqual(new Uint8Array(128))
  })

  it('a key table absorbs another, which is empty then, and wipes both', () => {
    const [table, more] = [new KeyTable(), new KeyTable()]
    const keys = new Uint8Array(64).fill(8)
    more.adopt([5n], keys)
    table.absorb(more)
    expect([table.size, more.size]).toEqual([1, 0])
    more.wipe()
    expect(table.get(5n)).toEqual(new Uint8Array(64).fill(8))
    table.wipe()
    expect(keys).toEqual(new Uint8Array(64))
  })

  it('a key table takes 64 bytes a frame', () => {
    expect(() => {
      new KeyTable().adopt([1n], new Uint8Array(63))
    }).toThrow(RangeError)
  })
})

describe('agreement of the two sides', () => {
  const opened = async (role: Role): Promise<OpenedGrant> => openIt(await makeOne(role))

  it('[C-31 control] [A-31 control] holds for grants of the same terms that name each other', async () => {
    const [source, destination] = await Promise.all([opened('source'), opened('destination')])
    expect(() => {
      checkAgreement([source, source], [destination])
      checkAgreement([source], [])
      checkAgreement([], [])
    }).not.toThrow()
  })

  it.each<[string, Role, (grant: OpenedGrant) => OpenedGrant]>([
    ['other terms', 'source', (grant) => ({ ...grant, transcript: new Uint8Array(32) })],
    ['a source that names another peer', 'source', (grant) => ({ ...grant, peer: new Uint8Array(32) })],
    [
      'a destination that names another peer',
      'destination',
      (grant) => ({ ...grant, peer: new Uint8Array(32) }),
    ],
    ['a destination of another signer', 'destination', (grant) => ({ ...grant, signer: new Uint8Array(32) })],
    ['a destination on the source’s side', 'source', (grant) => ({ ...grant, role: otherRole(grant.role) })],
  ])('[C-31] [A-31] is refused with %s', async (_title, role, change) => {
    const sides = { source: await opened('source'), destination: await opened('destination') }
    const changed = { ...sides, [role]: change(sides[role]) }
    const refusal = refusalOf(() => {
      checkAgreement([changed.source], [changed.destination])
    })
    expect(refusal.code).toBe('REFUSED_PEER')
  })

  const common = (role: Role, accepts?: GrantOptions['accepts']): Promise<OpenedGrant> => {
    const entries: GrantEntry[] = [{ use: 'write', scope: 'group', mode: 'common', key: Secret.random(64) }]
    return makeOne(role, { entries, ...(accepts === undefined ? {} : { accepts }) }).then((bytes) =>
      openIt(bytes),
    )
  }

  it.each<Role>(['source', 'destination'])(
    '[C-32] is refused when the %s gives a group’s key and the other side accepts none',
    async (role) => {
      const sides = { source: await opened('source'), destination: await opened('destination') }
      const wide = { ...sides, [role]: await common(role) }
      const refusal = refusalOf(() => {
        checkAgreement([wide.source], [wide.destination])
      })
      expect(refusal.code).toBe('REFUSED_SCOPE')
      expect(refusal.message).toContain(`as the ${otherRole(role)} accepts`)
    },
  )

  it('[C-32 control] holds when the other side says that it accepts one', async () => {
    const destination = await openIt(await makeOne('destination', { accepts: ['block', 'group'] }))
    const source = await common('source')
    expect(() => {
      checkAgreement([source], [destination])
    }).not.toThrow()
  })
})
