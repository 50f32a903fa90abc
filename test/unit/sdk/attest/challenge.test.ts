// Challenges: signed by the VM of the terms, for these terms and this side, and good once.

import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  bindingDigest,
  CHALLENGE_TTL_MS,
  ChallengeBook,
  encodeOpen,
  makeChallenge,
  type Role,
  roles,
  transcriptOf,
  verifyChallenge,
} from '../../../../sdk/attest/index.ts'
import { IdentityKey, taggedDigest, utf8 } from '../../../../sdk/crypto/index.ts'
import { TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import { codeOf } from './refusals.ts'
import { makeWorld, type World } from './world.ts'

let world: World
let transcript: Uint8Array
beforeAll(async () => {
  world = await makeWorld()
  transcript = transcriptOf(encodeOpen(world.open))
})

const selection = { hash: TPM_ALG.SHA256, pcrs: [0, 4, 7] }
const policyDigest = new Uint8Array(32).fill(6)
const challengeOf = (role: Role, change: Partial<Parameters<typeof makeChallenge>[0]> = {}) =>
  makeChallenge({ identity: world.identities[role], transcript, role, selection, policyDigest, ...change })

describe('a binding', () => {
  it('is SHA-256 over tag, terms, role and nonce', () => {
    const nonce = new Uint8Array(32).fill(1)
    const expected = taggedDigest('palimpsest/v1/binding', transcript, utf8('source'), nonce)
    expect(bindingDigest(transcript, 'source', nonce)).toEqual(expected)
    expect(bindingDigest(transcript, 'destination', nonce)).not.toEqual(expected)
  })

  it('takes terms and nonces of 32 bytes only', () => {
    expect(() => bindingDigest(new Uint8Array(31), 'source', new Uint8Array(32))).toThrow(RangeError)
    expect(() => bindingDigest(transcript, 'source', new Uint8Array(33))).toThrow(RangeError)
  })
})

describe('a challenge', () => {
  it.each(roles)('[C-29 control] of the %s is read by the worker of its terms', (role) => {
    const made = challengeOf(role)
    const read = verifyChallenge(made.bytes, { open: world.open, role })
    expect(read).toMatchObject({ role, transcript, selection, policyDigest, ttlMs: CHALLENGE_TTL_MS })
    expect(read.nonce).toEqual(made.nonce)
    expect(read.bindingDigest).toEqual(made.bindingDigest)
    expect(read.signer.equals(world.identities[role].publicKey)).toBe(true)
  })

  it('has a fresh nonce each time', () => {
    expect(challengeOf('source').nonce).not.toEqual(challengeOf('source').nonce)
  })

  it('[C-29] signed by another VM is refused [A-30]', () => {
    const { bytes } = challengeOf('source', { identity: IdentityKey.generate() })
    expect(codeOf(() => verifyChallenge(bytes, { open: world.open }))).toBe('REFUSED_BINDING')
  })

  it('[C-29] signed by the other side is refused', () => {
    const { bytes } = challengeOf('source', { identity: world.identities.destination })
    expect(codeOf(() => verifyChallenge(bytes, { open: world.open }))).toBe('REFUSED_BINDING')
  })

  it('[C-29] of other terms is refused', () => {
    const { bytes } = challengeOf('source', { transcript: new Uint8Array(32) })
    expect(codeOf(() => verifyChallenge(bytes, { open: world.open }))).toBe('REFUSED_BINDING')
  })

  it('[C-29] of the other side is refused where one side is expected', () => {
    const { bytes } = challengeOf('source')
    expect(codeOf(() => verifyChallenge(bytes, { open: world.open, role: 'destination' }))).toBe(
      'REFUSED_BINDING',
    )
  })

  it('[C-29] with any byte changed is refused', () => {
    const { bytes } = challengeOf('source')
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Uint8Array.from(bytes)
        changed[at] = (changed[at] ?? 0) ^ flip
        expect(['REFUSED_SIZE', 'REFUSED_BINDING']).toContain(
          codeOf(() => verifyChallenge(changed, { open: world.open })),
        )
      }),
    )
  })

  it('[C-29] that is too long is refused unread', () => {
    expect(codeOf(() => verifyChallenge(new Uint8Array(2000), { open: world.open }))).toBe('REFUSED_SIZE')
  })

  it('with a selection out of order or of an unknown bank is refused', () => {
    for (const wrong of [
      { hash: TPM_ALG.SHA1, pcrs: [0] },
      { hash: TPM_ALG.SHA256, pcrs: [4, 0] },
      { hash: TPM_ALG.SHA256, pcrs: [24] },
    ]) {
      const { bytes } = challengeOf('source', { selection: wrong })
      expect(codeOf(() => verifyChallenge(bytes, { open: world.open }))).toBe('REFUSED_SIZE')
    }
  })

  it('is not made with a wrong life or policy digest', () => {
    expect(() => challengeOf('source', { ttlMs: 0 })).toThrow(RangeError)
    expect(() => challengeOf('source', { policyDigest: new Uint8Array(31) })).toThrow(RangeError)
  })
})

describe('a challenge book', () => {
  const nonce = (fill: number) => new Uint8Array(32).fill(fill)
  function clocked(capacity?: number) {
    let time = 0
    const options = { now: () => time, ...(capacity === undefined ? {} : { capacity }) }
    const pass = (ms: number): void => {
      time += ms
    }
    return { book: new ChallengeBook<string>(options), pass }
  }

  it('[C-30] [C-33] accepts a nonce once', () => {
    const { book } = clocked()
    book.issue(nonce(1), 60_000, 'registration')
    expect(book.burn(nonce(1))).toBe('registration')
    expect(codeOf(() => book.burn(nonce(1)))).toBe('STALE_NONCE')
  })

  it('[A-04] refuses a nonce that it never issued', () => {
    expect(codeOf(() => clocked().book.burn(nonce(1)))).toBe('STALE_NONCE')
  })

  it('refuses a nonce when its time is over, and not before', () => {
    const { book, pass } = clocked()
    book.issue(nonce(1), 1000, 'a')
    book.issue(nonce(2), 1001, 'b')
    pass(1000)
    expect(codeOf(() => book.burn(nonce(1)))).toBe('STALE_NONCE')
    expect(book.burn(nonce(2))).toBe('b')
  })

  it('stays within its capacity: expired ones go first, then the oldest', () => {
    const { book, pass } = clocked(2)
    book.issue(nonce(1), 1000, 'long')
    book.issue(nonce(2), 10, 'short')
    pass(20)
    book.issue(nonce(3), 1000, 'third')
    expect(book.size).toBe(2)
    book.issue(nonce(4), 1000, 'fourth')
    expect(book.size).toBe(2)
    expect(codeOf(() => book.burn(nonce(1)))).toBe('STALE_NONCE')
    expect(book.burn(nonce(3))).toBe('third')
    expect(book.burn(nonce(4))).toBe('fourth')
  })

  it('takes no nonce twice and no capacity of nothing', () => {
    const { book } = clocked()
    book.issue(nonce(1), 1000, 'a')
    expect(() => {
      book.issue(nonce(1), 1000, 'b')
    }).toThrow(RangeError)
    expect(() => new ChallengeBook({ capacity: 0 })).toThrow(RangeError)
  })
})
