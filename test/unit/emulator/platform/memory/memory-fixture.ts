// A machine with guests for tests of memory: real controller, table and log, faults collected in a list.

import { IdentityKey, Secret, type KeyMode } from '../../../../../sdk/crypto/index.ts'
import { MemorySystem } from '../../../../../emulator/platform/memory-system.ts'
import type { Guest } from '../../../../../emulator/platform/guest.ts'
import type { FaultEvent } from '../../../../../emulator/platform/memory/faults.ts'

const MIB = 1 << 20
export const PAGE = 4096

/** Keys of a guest. */
export interface GuestKeys {
  readonly root: Uint8Array
  readonly mode: KeyMode
  readonly group: Uint8Array | undefined
}

/** A machine, and the faults that its host was told of. */
export class TestMachine {
  readonly events: FaultEvent[] = []
  readonly memory: MemorySystem
  /** Runs for each fault, as a host would. */
  onFault: (event: FaultEvent) => void = () => undefined

  constructor(
    options: {
      readonly memoryBytes?: number
      readonly stallTimeoutMs?: number
      readonly integrity?: boolean
    } = {},
  ) {
    this.memory = new MemorySystem({
      integrity: options.integrity ?? false,
      memoryBytes: options.memoryBytes ?? MIB,
      stallTimeoutMs: options.stallTimeoutMs ?? 0,
      onFault: (event) => {
        this.events.push(event)
        this.onFault(event)
      },
    })
  }

  /** A guest with keys, and without frames. */
  guest(name: string, keys: Partial<GuestKeys> = {}, pages = 64): Guest {
    const guest = this.memory.addGuest(name, pages, IdentityKey.generate().publicKey)
    const root = keys.root ?? new Uint8Array(32).fill(name.charCodeAt(0))
    const group = keys.group === undefined ? undefined : Secret.from(keys.group)
    this.memory.installKeys(guest, Secret.from(root), keys.mode ?? 'location', group)
    return guest
  }

  /** Gives a guest frames `frame`... as pages `index`..., mapped and writable. */
  give(guest: Guest, index: number, frame: number, count = 1): void {
    this.memory.assign(guest.name, [{ index, frame, count }])
    const pages = Array.from({ length: count }, (_, i) => ({
      index: index + i,
      frame: frame + i,
      writable: true,
    }))
    this.memory.setMappings(guest.name, pages, [])
  }

  /** Shares the owner's page with the peer's, and maps the peer's read-only. */
  share(owner: Guest, first: number, peer: Guest, second: number): number {
    const [run] = this.memory.share(owner, peer, [{ first, second, count: 1 }])
    const frame = run?.frame ?? -1
    this.memory.setMappings(owner.name, [{ index: first, frame, writable: false }], [])
    this.memory.setMappings(peer.name, [{ index: second, frame, writable: false }], [])
    return frame
  }

  store(guest: Guest, page: number, text: string, offset = 0): Promise<void> {
    return this.memory.access.store(guest, BigInt(page * PAGE + offset), new TextEncoder().encode(text))
  }

  async load(guest: Guest, page: number, length: number, offset = 0): Promise<string> {
    const bytes = await this.memory.access.load(guest, BigInt(page * PAGE + offset), length)
    return new TextDecoder().decode(bytes)
  }
}

/** The code of what a promise rejects with, or 'none'. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return (error as { code?: unknown }).code
  }
  return 'none'
}
