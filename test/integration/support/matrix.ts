// One cell of the matrix of claim 6: a source that keys its pages in one mode, a destination in another, a clone of pages
// between them, every key that either plugin really granted, and what the host could see of it.
// Source: systems.md 2.5.

import { randomBytes } from 'node:crypto'
import type { Testbed } from '../../../emulator/testbed/index.ts'
import { Secret } from '../../../sdk/crypto/index.ts'
import { type KeyAnswer, type KeyRequest, memoryKeys } from '../../../sdk/plugin/index.ts'
import type { Role } from '../../../sdk/rpc/index.ts'
import type { HostView } from './host-view.ts'
import { BLOCK, type Mode, openPageWith } from './independent.ts'
import { at, bytesOf, type Stage, stage } from './stage.ts'

export const modes: readonly Mode[] = ['location', 'common', 'both']

/** The nine cells. */
export const cells = modes.flatMap((first) => modes.map((second) => ({ first, second })))

/** Guest pages of a cell's source; the destination's are as many numbers higher. */
export const PAGES = 8

/** A page and its ciphertext, under one of its names. */
export interface Lying {
  readonly frame: bigint
  readonly ciphertext: Uint8Array
}

/** Keys of one side. */
export interface SideKeys {
  readonly mode: Mode
  readonly root: Secret
  readonly group: Secret
}

/** Two VMs of one share group, and a clone of all the source's pages. */
export class Cell {
  readonly name: string
  readonly keys: Readonly<Record<Role, SideKeys>>
  /** Plaintext of the source's pages; the last two are equal. */
  readonly pages: readonly Uint8Array[]
  /** Keys that the plugins granted: of frames, and common ones under frame -1. */
  readonly granted: Readonly<Record<Role, Map<bigint, Uint8Array>>> = {
    source: new Map(),
    destination: new Map(),
  }
  readonly #host: HostView
  #stage: Stage | undefined

  constructor(name: string, first: Mode, second: Mode, host: HostView) {
    const group = Secret.random(32)
    this.name = name
    this.keys = {
      source: { mode: first, root: Secret.random(32), group },
      destination: { mode: second, root: Secret.random(32), group },
    }
    const different = Array.from({ length: PAGES - 1 }, () => new Uint8Array(randomBytes(BLOCK)))
    this.pages = [...different, Uint8Array.from(different[PAGES - 2] ?? [])]
    this.#host = host
  }

  get stage(): Stage {
    if (this.#stage === undefined) throw new Error('expected begin() to be called before')
    return this.#stage
  }

  /** Whether both blocks are under one key. */
  get isOneKey(): boolean {
    return this.keys.source.mode === 'common' && this.keys.destination.mode === 'common'
  }

  /** Makes both VMs, fills the source and clones its pages. */
  async begin(bed: Testbed): Promise<void> {
    const made = await stage(bed, this.name, {
      pages: 2 * PAGES,
      sourceKeys: this.keys.source,
      destinationKeys: this.keys.destination,
      sourcePlugin: { keys: this.#recorded('source') },
      destinationPlugin: { keys: this.#recorded('destination') },
    })
    this.#stage = made
    await made.source.guest.store(0n, Buffer.concat(this.pages))
    const pairs = [{ first: 0n, second: BigInt(PAGES), count: BigInt(PAGES) }]
    await bed.hypervisor.createClone({
      clone: this.name,
      source: made.source.name,
      destination: made.destination.name,
      storage: { case: 'memory', value: { pairs } },
    })
  }

  /** Plaintext of page `page`. */
  plaintext(page: number): Uint8Array {
    return this.pages[page] ?? new Uint8Array()
  }

  /** The frame and ciphertext of the source's page `page`. */
  first(page: number): Promise<Lying> {
    return this.#lying(this.stage.source.name, page)
  }

  /** The frame and ciphertext of the destination's page for it. */
  second(page: number): Promise<Lying> {
    return this.#lying(this.stage.destination.name, PAGES + page)
  }

  /** What the destination reads there. */
  load(page: number): Promise<Uint8Array> {
    return this.stage.destination.guest.load(at(PAGES + page), BLOCK)
  }

  /** A store of the destination. */
  store(page: number, offset: number, data: Uint8Array): Promise<void> {
    return this.stage.destination.guest.store(at(PAGES + page, offset), data)
  }

  /** The key that a side really granted for a frame. */
  key(role: Role, frame: bigint): Uint8Array {
    const granted = this.granted[role]
    const key = granted.get(frame) ?? granted.get(-1n)
    if (key === undefined) throw new Error(`the ${role} granted no key for frame ${String(frame)}`)
    return key
  }

  /** Every secret of the cell, by name. */
  secrets(): { name: string; bytes: Uint8Array }[] {
    const roles: readonly Role[] = ['source', 'destination']
    const own = roles.flatMap((role) => [
      { name: `root of the ${role}`, bytes: bytesOf(this.keys[role].root) },
      ...[...this.granted[role]].map(([frame, bytes]) => ({
        name: `key ${String(frame)} of the ${role}`,
        bytes,
      })),
    ])
    return [
      ...own,
      { name: 'group', bytes: bytesOf(this.keys.source.group) },
      ...this.pages.map((bytes, page) => ({ name: `page ${String(page)}`, bytes })),
    ].map(({ name, bytes }) => ({ name: `${this.name}: ${name}`, bytes }))
  }

  async #lying(vm: string, page: number): Promise<Lying> {
    const { frame } = await this.#host.mapping(vm, page)
    return { frame, ciphertext: await this.#host.ciphertext(frame) }
  }

  /** The handler that a plugin author writes, with a note of each key that leaves it. */
  #recorded(role: Role): (request: KeyRequest) => KeyAnswer {
    const give = memoryKeys(this.keys[role])
    const granted = this.granted[role]
    return (request) => {
      const answer = give(request)
      if ('groupKey' in answer) granted.set(-1n, bytesOf(answer.groupKey))
      if (!('key' in answer)) return answer
      return {
        mode: answer.mode,
        key: (frame) => {
          const key = answer.key(frame)
          granted.set(frame, bytesOf(key))
          return key
        },
      }
    }
  }
}

/**
 * Whether a key opens a ciphertext to (a piece of) `plaintext`, with any tweak that somebody who knows where the blocks
 * lie would try.
 */
export function opens(
  key: Uint8Array,
  ciphertext: Uint8Array,
  plaintext: Uint8Array,
  frames: readonly bigint[],
): boolean {
  return [0n, ...frames].some((tweak) => {
    const opened = openPageWith(key, tweak, ciphertext)
    for (let from = 0; from < BLOCK; from += 16) {
      if (opened.subarray(from, from + 16).equals(plaintext.subarray(from, from + 16))) return true
    }
    return false
  })
}
