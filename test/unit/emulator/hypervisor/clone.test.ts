/** The life of a clone, and the order of a registration, against plugins and a worker that are functions. */
import { describe, expect, it, vi } from 'vitest'
import { Clone } from '../../../../emulator/hypervisor/clone.ts'
import type { CloneStorage, Terms } from '../../../../emulator/hypervisor/clone-storage.ts'
import { HypercallLog } from '../../../../emulator/hypervisor/logs.ts'
import { Registrar, type RegistrarHost } from '../../../../emulator/hypervisor/registrar.ts'
import { PalimpsestError, type Role, silentLogger } from '../../../../sdk/rpc/index.ts'
import { Deferred } from '../../../../emulator/hypervisor/waiting.ts'
import { settled } from './fakes.ts'

type Ask = RegistrarHost['relay']['ask']

/** A clone whose surroundings write down what happens, and refuse what they are told to. */
class Stage {
  readonly trace: string[] = []
  /** Errors by step, as "destination evidence" or "openRegistration"; thrown until removed. */
  readonly refusals = new Map<string, PalimpsestError>()
  attachments: Record<Role, object> = { source: {}, destination: {} }
  left = 4n
  isShared = false
  /** What the source plugin waits for before it answers whether it agrees. */
  agreement: Promise<void> = Promise.resolve()
  readonly clone: Clone

  constructor() {
    const names = { name: 'clone', source: 'vm-a', destination: 'vm-b' }
    this.clone = new Clone(names, () => this.#storage(), { registrar: this.#registrar(), log: silentLogger })
  }

  #step(name: string): void {
    this.trace.push(name)
    const refusal = this.refusals.get(name)
    if (refusal) throw refusal
  }

  async #later(name: string): Promise<void> {
    await Promise.resolve()
    this.#step(name)
  }

  #storage(): CloneStorage {
    const isShared = (): boolean => this.isShared
    const pairs = () => (this.left > 0n ? [{ first: 0n, second: 8n, count: this.left }] : [])
    return {
      kind: 'memory-page',
      volumes: { source: '', destination: '' },
      blocks: 4n,
      copied: 0n,
      get isShared() {
        return isShared()
      },
      pairs,
      prepare: (registration) => {
        this.#step('prepare')
        const value = { sourceFrames: [], destinationPool: [], sourcePool: [] }
        return Promise.resolve({ registration, pairs: pairs(), storage: { case: 'memory', value } })
      },
      share: () => this.#later('share'),
      settle: (terms: Terms) => this.#later(`settle ${terms.registration}`),
      resume: () => {
        this.trace.push('resume')
      },
      cancel: () => undefined,
      async *finish() {
        await Promise.resolve()
        yield
      },
      complete: () => Promise.resolve(),
      discard: () => this.#later('discard'),
    }
  }

  #registrar(): Registrar {
    const answered = <T>(name: string, value: T): Promise<T> => {
      try {
        this.#step(name)
        return Promise.resolve(value)
      } catch (error) {
        return Promise.reject(error instanceof Error ? error : new Error('unknown'))
      }
    }
    const ask = (async (side: { role: Role }, kind: string) => {
      if (kind === 'copyRequested') await this.agreement
      return answered(`${side.role} ${kind}`, {
        shareStatement: Uint8Array.of(5),
        challenge: new Uint8Array(),
        selection: { hash: 11, pcrs: [0] },
        qualifyingData: new Uint8Array(32),
        grants: [],
      })
    }) as unknown as Ask
    return new Registrar({
      platform: {
        getFirmware: () => Promise.resolve({ firmware: undefined, image: new Uint8Array() }),
        quote: () => answered('quote', {}),
        readEventLog: () => Promise.resolve({ log: new Uint8Array() }),
      },
      relay: {
        ask,
        attachment: ({ role }) => this.attachments[role],
        notifyEnded: (_vm, role, _registration, reason) => this.trace.push(`ended ${role} ${reason}`),
      },
      workers: {
        worker: {
          openRegistration: () => answered('openRegistration', { open: new Uint8Array() }),
          answerChallenge: () => answered('answerChallenge', { report: new Uint8Array() }),
          submitGrants: () => answered('submitGrants', { state: 'live', leaseUntil: 1n }),
          closeRegistration: () => answered('closeRegistration', {}),
        },
      },
      hypercalls: new HypercallLog(),
      launchReport: () => new Uint8Array(),
      log: silentLogger,
    })
  }
}

const refused = new PalimpsestError('REFUSED_MEASUREMENT', 'no', { metadata: { refusedBy: 'plugin' } })

describe('a registration', () => {
  it('[C-03] [X-08 control] gets grants only after the evidence, and shares nothing before both sides agreed', async () => {
    const stage = new Stage()
    await stage.clone.begin()
    const { trace } = stage
    for (const role of ['source', 'destination']) {
      expect(trace.indexOf(`${role} copyRequested`)).toBeLessThan(trace.indexOf('openRegistration'))
      expect(trace.indexOf(`${role} openOffer`)).toBeLessThan(trace.indexOf(`${role} evidence`))
      expect(trace.indexOf('quote')).toBeLessThan(trace.indexOf(`${role} evidence`))
    }
    expect(trace.filter((step) => step === 'submitGrants')).toHaveLength(2)
    expect(trace.slice(-2)).toEqual(['share', 'resume'])
    expect(stage.clone.view).toMatchObject({ state: 'live', registration: 'clone-1' })
  })

  it.each(['source copyRequested', 'destination copyRequested'])(
    '[X-08] refused at %s reaches no worker',
    async (step) => {
      const stage = new Stage()
      stage.refusals.set(step, refused)
      await expect(stage.clone.begin()).rejects.toMatchObject({ code: 'REFUSED_MEASUREMENT' })
      expect(stage.trace).not.toContain('prepare')
      expect(stage.trace).not.toContain('share')
    },
  )

  it.each(['openRegistration', 'source openOffer', 'destination evidence', 'submitGrants', 'share'])(
    '[X-08] refused at %s takes everything back',
    async (step) => {
      const stage = new Stage()
      stage.refusals.set(step, refused)
      await expect(stage.clone.begin()).rejects.toMatchObject({ code: 'REFUSED_MEASUREMENT' })
      expect(stage.trace).toContain('closeRegistration')
      expect(stage.trace).toContain('settle clone-1')
      expect(stage.trace).toContain('ended source REFUSED_MEASUREMENT')
      if (step !== 'share') expect(stage.trace).not.toContain('share')
      expect(stage.clone.live()).toBeUndefined()
    },
  )
})

describe('a clone whose sharing broke off', () => {
  it('stalls when blocks may be shared, and goes on when it is renewed', async () => {
    const stage = new Stage()
    stage.isShared = true
    stage.refusals.set('share', new PalimpsestError('INTERNAL', 'no maps'))
    await expect(stage.clone.begin()).rejects.toMatchObject({ code: 'INTERNAL' })
    expect(stage.trace).toContain('closeRegistration')
    expect(stage.clone.view).toMatchObject({ state: 'stalled', reason: 'INTERNAL: no maps' })
    await stage.clone.renew()
    expect(stage.clone.state).toBe('live')
  })
})

describe('a clone that is being registered', () => {
  it('is neither renewed, revoked nor deleted: one registration is made', async () => {
    const stage = new Stage()
    const agreed = new Deferred<undefined>()
    stage.agreement = agreed.promise
    const begun = stage.clone.begin()
    for (const ask of ['renew', 'revoke', 'delete'] as const) {
      await expect(stage.clone[ask]()).rejects.toMatchObject({ code: 'STATE' })
    }
    agreed.resolve(undefined)
    await begun
    expect(stage.trace.filter((step) => step === 'prepare')).toHaveLength(1)
    expect(stage.clone.state).toBe('live')
  })

  it('is finished, not live, when there was nothing to copy', async () => {
    const stage = new Stage()
    const { storage } = stage.clone
    vi.spyOn(storage, 'share').mockImplementation(() => {
      stage.clone.finished()
      return Promise.resolve()
    })
    await stage.clone.begin()
    expect(stage.clone.view).toMatchObject({ state: 'finished', registration: '' })
    expect(stage.trace).toContain('closeRegistration')
  })
})

describe('a clone that lost its registration', () => {
  it('settles the old one, then registers again by itself', async () => {
    const stage = new Stage()
    await stage.clone.begin()
    stage.trace.length = 0
    stage.clone.lost('clone-1', new PalimpsestError('GRANT_EXPIRED', 'over'))
    expect(stage.clone.live()).toBeUndefined()
    await settled()
    expect(stage.clone.view).toMatchObject({ state: 'live', registration: 'clone-2' })
    expect(stage.trace.indexOf('settle clone-1')).toBeLessThan(stage.trace.indexOf('prepare'))
    expect(stage.trace).not.toContain('source copyRequested')
  })

  it('asks a plugin again that attached anew', async () => {
    const stage = new Stage()
    await stage.clone.begin()
    stage.trace.length = 0
    stage.attachments = { ...stage.attachments, source: {} }
    stage.clone.lost('clone-1', new PalimpsestError('WORKER_UNAVAILABLE', 'gone'))
    await settled()
    expect(stage.trace).toContain('source copyRequested')
    expect(stage.trace).not.toContain('destination copyRequested')
  })

  it('takes a refusal as final until somebody asks', async () => {
    const stage = new Stage()
    await stage.clone.begin()
    stage.refusals.set('source evidence', refused)
    stage.clone.lost('clone-1', new PalimpsestError('GRANT_EXPIRED', 'over'))
    await settled()
    expect(stage.clone).toMatchObject({ state: 'stalled', isFinal: true })
    expect(stage.clone.stalled().code).toBe('GRANT_EXPIRED')
    stage.refusals.clear()
    stage.clone.wake()
    await settled()
    expect(stage.clone.state).toBe('stalled')
    await expect(stage.clone.renew()).resolves.toBe('clone-3')
    expect(stage.clone.state).toBe('live')
  })

  it('tries again later when the worker or a plugin is away', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const stage = new Stage()
      await stage.clone.begin()
      stage.refusals.set('openRegistration', new PalimpsestError('WORKER_UNAVAILABLE', 'gone'))
      stage.clone.workerGone(new PalimpsestError('WORKER_UNAVAILABLE', 'gone'))
      await settled()
      expect(stage.clone).toMatchObject({ state: 'stalled', isFinal: false })
      expect(stage.clone.stalled().code).toBe('STALLED')
      stage.refusals.clear()
      await vi.advanceTimersByTimeAsync(1000)
      await settled()
      expect(stage.clone.state).toBe('live')
    } finally {
      vi.useRealTimers()
    }
  })

  it('stays stalled when it was revoked, and is done when nothing is left to copy', async () => {
    const stage = new Stage()
    await stage.clone.begin()
    await stage.clone.revoke()
    stage.clone.wake()
    await settled()
    expect(stage.clone).toMatchObject({ state: 'stalled', isFinal: true })
    stage.left = 0n
    await stage.clone.renew()
    expect(stage.clone.state).toBe('finished')
    await expect(stage.clone.renew()).rejects.toMatchObject({ code: 'STATE' })
  })

  it('ends everything when it is deleted', async () => {
    const stage = new Stage()
    await stage.clone.begin()
    await stage.clone.delete()
    expect(stage.trace.slice(-2)).toEqual(['settle clone-1', 'discard'])
  })
})
