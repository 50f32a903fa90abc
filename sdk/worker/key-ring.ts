// The keys that were granted for one use, each with its mode and scope: the mode says which tweak goes with a key, and
// pages of one VM may be under keys of different modes. A key for a frame goes before one for all.

import { expandRanges } from '../block/index.ts'
import { type KeyMode, type Secret } from '../crypto/index.ts'
import { type KeyKind, KeyTable, type OpenedEntry } from '../grant/index.ts'
import { PalimpsestError } from '../rpc/index.ts'

interface FrameKeys {
  readonly kind: KeyKind
  readonly table: KeyTable
}

interface WideKey {
  readonly kind: KeyKind
  readonly key: Secret
}

/** Keys of one use. */
export class KeyRing {
  readonly #frames = new Map<KeyMode, FrameKeys>()
  #wide: WideKey | undefined

  /** Keys held now. */
  get size(): number {
    return [...this.#frames.values()].reduce(
      (sum, { table }) => sum + table.size,
      this.#wide === undefined ? 0 : 1,
    )
  }

  /** Takes the keys of an entry; what was granted before for the same frames, or for all, is wiped. */
  add(entry: OpenedEntry): void {
    const { use, mode, scope, frames, wideKey, frameKeys } = entry
    const kind = { use, mode, scope }
    if (wideKey !== undefined) {
      this.#wide?.key.wipe()
      this.#wide = { kind, key: wideKey }
    } else if (frameKeys !== undefined) {
      for (const [other, { table }] of this.#frames) {
        if (other === mode || table.size === 0) continue
        for (const frame of expandRanges(frames ?? [])) table.drop(frame)
      }
      const known = this.#frames.get(mode) ?? { kind, table: new KeyTable() }
      this.#frames.set(mode, known)
      known.table.absorb(frameKeys)
    }
  }

  /** What kind of key there is for `frame`. @throws PalimpsestError GRANT_MISSING */
  kind(frame: bigint): KeyKind {
    return this.use(frame, (_key, kind) => kind)
  }

  /** Calls `fn` with the key for `frame`, which is lent. @throws PalimpsestError GRANT_MISSING */
  use<T>(frame: bigint, fn: (key: Uint8Array, kind: KeyKind) => T): T {
    for (const { kind, table } of this.#frames.values()) {
      const key = table.get(frame)
      if (key !== undefined) return fn(key, kind)
    }
    const wide = this.#wide
    if (wide !== undefined) return wide.key.use((key) => fn(key, wide.kind))
    throw new PalimpsestError(
      'GRANT_MISSING',
      `no key was granted for frame ${frame.toString()}; ask for a further grant`,
    )
  }

  /** Wipes the keys of frames. */
  drop(frames: readonly bigint[]): void {
    for (const { table } of this.#frames.values()) for (const frame of frames) table.drop(frame)
  }

  /** Wipes all keys. */
  wipe(): void {
    for (const { table } of this.#frames.values()) table.wipe()
    this.#frames.clear()
    this.#wide?.key.wipe()
    this.#wide = undefined
  }
}

/** The kinds among `kinds`, each once, in the order of their first appearance. */
export function distinctKinds(kinds: Iterable<KeyKind>): KeyKind[] {
  const found = new Map<string, KeyKind>()
  for (const kind of kinds) {
    const text = kindText(kind)
    if (!found.has(text)) found.set(text, kind)
  }
  return [...found.values()]
}

/** A kind in words: "read both block". */
export function kindText({ use, mode, scope }: KeyKind): string {
  return `${use} ${mode} ${scope}`
}
