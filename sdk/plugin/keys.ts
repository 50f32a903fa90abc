// Ready-made `keys` handlers for the two common cases: a VM whose memory keys come from one root, and a volume with
// one master key.

import { BlockKeyDeriver, type KeyMode, Secret } from '../crypto/index.ts'
import type { KeyAnswer, KeyRequest } from './define.ts'

/** Where the keys of a VM's memory come from. */
export interface MemoryKeys {
  /** 32 bytes, the VM's own; what mode `location` derives from. */
  readonly root: Secret
  /** How this VM's frames are keyed: the mode that was installed in its slot; the worker refuses any other. */
  readonly mode: KeyMode
  /** 32 bytes, the share group's; what modes `common` and `both` derive from. */
  readonly group?: Secret
}

/**
 * A handler that derives the keys of guest pages from the VM's root or group key. Modes `location` and `both` give a key
 * for each frame. Mode `common` gives the one key that opens everything which the group has under it: both sides'
 * policies must allow scope GROUP.
 */
export function memoryKeys({ root, mode, group }: MemoryKeys): (request: KeyRequest) => KeyAnswer {
  const base = mode === 'location' ? root : group
  if (base === undefined) throw new TypeError(`"group" expected a key, since mode is "${mode}"; got none`)
  const deriver = new BlockKeyDeriver(base, mode)
  return (request) => {
    if (request.kind !== 'memory-page') throw new TypeError('these keys are for guest memory, not for disks')
    if (mode === 'common') return { mode, groupKey: deriver.key(0n) }
    return { mode, key: (frame) => deriver.key(frame) }
  }
}

/** A handler that gives the one key of a volume; `sectorSize` is that of its XTS data units. */
export function volumeKey(
  key: Secret,
  sectorSize: 512 | 1024 | 2048 | 4096 = 512,
): (request: KeyRequest) => KeyAnswer {
  return (request) => {
    if (request.kind !== 'disk-block') throw new TypeError('this key is for a volume, not for guest memory')
    return { volumeKey: key.use((bytes) => Secret.from(bytes)), sectorSize }
  }
}

/** A handler that asks `memory` for guest pages and `disk` for disk blocks. */
export function keysByKind(handlers: {
  readonly memory?: (request: KeyRequest) => KeyAnswer
  readonly disk?: (request: KeyRequest) => KeyAnswer
}): (request: KeyRequest) => KeyAnswer {
  return (request) => {
    const handler = request.kind === 'memory-page' ? handlers.memory : handlers.disk
    if (handler === undefined) throw new TypeError(`this VM gives no keys for blocks of kind ${request.kind}`)
    return handler(request)
  }
}
