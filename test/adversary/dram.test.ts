// What a malicious host can do by writing to DRAM itself: flip ciphertext, put old ciphertext back, move it to another
// frame. In integrity mode the guest, or the worker that copies, is refused with INTEGRITY_FAULT; without it the same
// write gives garbage or old data, which is the known limit of memory encryption that is AES-XTS alone. A VM tells the
// two modes apart by what the platform has measured.
// Source: row C-35; threats.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestbed, type Testbed } from '../../emulator/testbed/index.ts'
import { HostView } from '../integration/support/host-view.ts'
import { at, codeOf, pattern, type Stage, stage } from '../integration/support/stage.ts'
import { Scene } from './scene.ts'

const PAGES = 8
const PAGE = 4096

class Attack {
  readonly bed: Testbed
  readonly host: HostView
  readonly stage: Stage

  private constructor(bed: Testbed, made: Stage) {
    this.bed = bed
    this.host = new HostView(bed)
    this.stage = made
  }

  static async on(options: { readonly integrity: boolean }): Promise<Attack> {
    const bed = await startTestbed(options)
    return new Attack(bed, await stage(bed, 'vm', { pages: PAGES }))
  }

  /** The frame of a page of the source, and what lies there. */
  async frame(page: number): Promise<{ frame: bigint; ciphertext: Uint8Array }> {
    const { frame } = await this.host.mapping(this.stage.source.name, page)
    return { frame, ciphertext: await this.host.ciphertext(frame) }
  }

  async write(frame: bigint, ciphertext: Uint8Array): Promise<void> {
    await this.host.platform.writeFrames({ frames: [frame], ciphertext })
  }

  /** Flips a bit in the frame of a page of the source; returns how to undo it. */
  async flip(page: number): Promise<() => Promise<void>> {
    const { frame, ciphertext } = await this.frame(page)
    await this.write(
      frame,
      ciphertext.map((byte, position) => (position === 100 ? byte ^ 1 : byte)),
    )
    return () => this.write(frame, ciphertext)
  }

  async close(): Promise<void> {
    this.host.close()
    await this.bed.close()
  }
}

describe('a host that writes to DRAM, in integrity mode', () => {
  let attack: Attack
  beforeAll(async () => {
    attack = await Attack.on({ integrity: true })
  })
  afterAll(() => attack.close())

  it('[C-35] [A-22] cannot flip ciphertext of a guest unnoticed', async () => {
    const { guest } = attack.stage.source
    const undo = await attack.flip(0)
    expect(await codeOf(guest.load(at(0), 1))).toBe('INTEGRITY_FAULT')
    expect(await codeOf(guest.store(at(0), Uint8Array.of(1)))).toBe('INTEGRITY_FAULT')
    await undo()
    expect(await guest.load(at(0), PAGE)).toEqual(pattern(0))
  })

  it('[C-35] [A-22] cannot put old ciphertext back', async () => {
    const { guest } = attack.stage.source
    const { frame, ciphertext } = await attack.frame(1)
    await guest.store(at(1), Uint8Array.of(1, 2, 3))
    await attack.write(frame, ciphertext)
    expect(await codeOf(guest.load(at(1), 3))).toBe('INTEGRITY_FAULT')
  })

  it('[C-35] [A-02] cannot move ciphertext to another frame', async () => {
    const { guest } = attack.stage.source
    const [from, to] = [await attack.frame(2), await attack.frame(3)]
    await attack.write(to.frame, from.ciphertext)
    expect(await codeOf(guest.load(at(3), 1))).toBe('INTEGRITY_FAULT')
  })

  it('[C-35] [A-22] cannot have the worker copy changed ciphertext; the other pages are copied', async () => {
    const { source, destination } = attack.stage
    await attack.bed.hypervisor.createClone(
      {
        clone: 'flipped',
        source: source.name,
        destination: destination.name,
        storage: { case: 'memory', value: { pairs: [{ first: 4n, second: 4n, count: 4n }] } },
      },
      { deadlineMs: 60_000 },
    )
    const undo = await attack.flip(5)
    expect(await codeOf(destination.guest.store(at(5), Uint8Array.of(9)))).toBe('INTEGRITY_FAULT')
    await destination.guest.store(at(4), Uint8Array.of(9))
    expect(await destination.guest.load(at(4, 1), PAGE - 1)).toEqual(pattern(4).subarray(1))
    await undo()
    await destination.guest.store(at(5), Uint8Array.of(9))
    expect(await destination.guest.load(at(5, 1), PAGE - 1)).toEqual(pattern(5).subarray(1))
  })

  it('[C-07 control] [C-08 control] stands in the write log with all that it wrote', async () => {
    const { frame } = await attack.frame(0)
    expect((await attack.host.writesOf(frame)).filter(({ cause }) => cause === 'host')).toMatchObject([
      { writer: 'host' },
      { writer: 'host' },
    ])
  })
})

describe('a host that writes to DRAM, without integrity mode', () => {
  let attack: Attack
  beforeAll(async () => {
    attack = await Attack.on({ integrity: false })
  })
  afterAll(() => attack.close())

  it('[C-35 control] [A-22 control] garbles 16 bytes of a page by one flipped bit, silently', async () => {
    await attack.flip(0)
    const found = await attack.stage.source.guest.load(at(0), PAGE)
    const changed = [...found.keys()].filter((position) => found[position] !== pattern(0)[position])
    expect(new Set(changed.map((position) => position >> 4))).toEqual(new Set([100 >> 4]))
  })

  it('[C-35 control] [A-22 control] rolls a page back, silently', async () => {
    const { guest } = attack.stage.source
    const { frame, ciphertext } = await attack.frame(1)
    await guest.store(at(1), Uint8Array.of(1, 2, 3))
    await attack.write(frame, ciphertext)
    expect(await guest.load(at(1), PAGE)).toEqual(pattern(1))
  })

  it('[C-13] [A-02] gets garbage, and not the plaintext, at a frame that it moved ciphertext to', async () => {
    const [from, to] = [await attack.frame(2), await attack.frame(3)]
    await attack.write(to.frame, from.ciphertext)
    const found = Buffer.from(await attack.stage.source.guest.load(at(3), PAGE))
    expect(found.equals(pattern(2))).toBe(false)
    expect(found.equals(pattern(3))).toBe(false)
    expect(found.includes(Buffer.from(pattern(2).subarray(0, 16)))).toBe(false)
  })

  it('[C-35 control] [A-22 control] has changed ciphertext copied, as garbage', async () => {
    const { source, destination } = attack.stage
    await attack.bed.cloneMemory('flipped', source, destination, 8n)
    await attack.flip(5)
    await destination.guest.store(at(5), Uint8Array.of(9))
    expect(await destination.guest.load(at(5, 1), PAGE - 1)).not.toEqual(pattern(5).subarray(1))
  })
})

describe('a VM whose policy was learnt from a platform in integrity mode', () => {
  const directory = mkdtempSync(join(tmpdir(), 'palimpsest-integrity-'))
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true })
  })

  it('[C-35] refuses the same platform without it, and accepts it with it', async () => {
    const first = await Scene.set({ directory, integrity: true })
    const { policies } = first
    expect(await first.attempt()).toBe('ok')
    await first.close()
    const without = await Scene.set({ directory, policies })
    expect(await without.attempt()).toBe('REFUSED_MEASUREMENT')
    expect(without.keysSent('source')).toBe(0)
    await without.close()
    const again = await Scene.set({ directory, policies, integrity: true })
    expect(await again.attempt()).toBe('ok')
    await again.close()
  })
})
