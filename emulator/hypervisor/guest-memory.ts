/**
 * Memory that VMs own from their creation on. A VM is promised frames for all of it, and gets them as it touches pages:
 * what nobody touches costs neither this host nor the platform anything. Touches that go upwards get more at a time.
 * Source: systems.md 2.8 (a fault tells the host what is touched); host_port.proto (AssignFrames).
 */
import { type BlockRange, RunSet } from '../../sdk/block/index.ts'
import type { Mapping } from '../../sdk/rpc/index.ts'
import { eachOf, type FrameAllocator, type Run } from './frames.ts'
import type { NestedMaps } from './nested-maps.ts'
import type { PlatformPort } from './ports.ts'
import { Gates } from './waiting.ts'

/** Most pages that a touch brings: 8 MiB. */
const mostAhead = 2048n
/** Pages per call: one message stays far below the limit. */
const pagesPerCall = 65_536n

/** What it works on. */
export interface GuestMemoryHost {
  readonly platform: Pick<PlatformPort, 'assignFrames'>
  readonly frames: FrameAllocator
  readonly maps: NestedMaps
}

interface Guest {
  /** Pages that have no frame yet and are promised one. */
  readonly untouched: RunSet
  /** Where the last touch ended, and how many pages it brought. */
  last: { end: bigint; count: bigint }
}

/** The promised and the given frames of all VMs. */
export class GuestMemory {
  readonly #host: GuestMemoryHost
  readonly #guests = new Map<string, Guest>()
  /** Keyed by VM: frames are given by one at a time. */
  readonly #gates = new Gates()

  constructor(host: GuestMemoryHost) {
    this.#host = host
  }

  /** Promises a new VM frames for its first `pages` pages. @throws PalimpsestError RESOURCE_EXHAUSTED. */
  promise(vm: string, pages: bigint): void {
    this.#host.frames.promise(pages)
    const untouched = new RunSet(pages > 0n ? [{ first: 0n, count: pages }] : [])
    this.#guests.set(vm, { untouched, last: { end: -1n, count: 0n } })
  }

  /** The first page of a range that has memory or is promised it. */
  firstUsed(vm: string, { first, count }: BlockRange): bigint | undefined {
    const untouched = this.#guests.get(vm)?.untouched.within({ first, count })[0]?.first
    const touched = this.#host.maps.range(vm, first, count)[0]?.index
    if (untouched === undefined || touched === undefined) return untouched ?? touched
    return untouched < touched ? untouched : touched
  }

  /**
   * A page is accessed: gives it a frame if it is promised one, and in that step ends the faults that `waiting` names.
   * Returns whether it has a frame now.
   */
  touch(vm: string, index: bigint, waiting: () => readonly bigint[]): Promise<boolean> {
    return this.#gates.exclusive(vm, async () => {
      const guest = this.#guests.get(vm)
      if (guest?.untouched.has(index) === true) {
        const [run = { first: index, count: 1n }] = guest.untouched.within(next(guest.last, index))
        await this.#give(vm, guest, run, waiting)
        guest.last = { end: run.first + run.count, count: run.count }
      }
      return this.#host.maps.get(vm, index) !== undefined
    })
  }

  /** Gives frames to all pages of a range that are promised one and have none yet. */
  populate(vm: string, range: BlockRange): Promise<void> {
    return this.#gates.exclusive(vm, async () => {
      const guest = this.#guests.get(vm)
      for (const run of guest?.untouched.within(range) ?? [])
        if (guest) await this.#give(vm, guest, run, () => [])
    })
  }

  /** Ends a VM by `terminate`; what it was promised is free for others once that is done. */
  end(vm: string, terminate: () => Promise<unknown>): Promise<void> {
    return this.#gates.exclusive(vm, async () => {
      await terminate()
      this.#host.frames.withdraw(this.#guests.get(vm)?.untouched.size ?? 0n)
      this.#guests.delete(vm)
    })
  }

  async #give(vm: string, guest: Guest, range: BlockRange, waiting: () => readonly bigint[]): Promise<void> {
    const { frames, maps, platform } = this.#host
    for (let done = 0n; done < range.count; done += pagesPerCall) {
      const rest = range.count - done
      const part = { first: range.first + done, count: rest < pagesPerCall ? rest : pagesPerCall }
      const taken = frames.redeem(part.count)
      try {
        await platform.assignFrames({ vm, runs: placed(part.first, taken) })
      } catch (error) {
        frames.putBack(taken)
        throw error
      }
      guest.untouched.delete(part)
      await maps.set(vm, mappings(part.first, taken), waiting())
    }
  }
}

/** What a touch of page `index` brings: twice as much as the last one where it goes on from there, else one page. */
function next(last: Guest['last'], index: bigint): BlockRange {
  if (index !== last.end) return { first: index, count: 1n }
  const count = last.count * 2n
  return { first: index, count: count < mostAhead ? count : mostAhead }
}

/** Frames for consecutive pages from `index` on. */
function placed(index: bigint, runs: readonly Run[]): { index: bigint; frame: bigint; count: bigint }[] {
  let page = index
  return runs.map(({ start, count }) => {
    const run = { index: page, frame: start, count }
    page += count
    return run
  })
}

function mappings(index: bigint, runs: readonly Run[]): Mapping[] {
  return [...eachOf(runs)].map((frame, at) => ({ index: index + BigInt(at), frame, writable: true }))
}
