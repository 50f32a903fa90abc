// From a plugin's keys to sealed, signed grants for one side of a registration.

import { type MadeChallenge, type Open, type Policy, Refusal } from '../attest/index.ts'
import type { IdentityKey, SectorSize } from '../crypto/index.ts'
import { expandRanges } from '../block/index.ts'
import { type GrantEntry, type KeyScope, keyScopes, makeGrants, widestScope } from '../grant/index.ts'
import type { KeyAnswer, KeyRequest, Plugin, PluginContext } from './define.ts'

/** Grants, and how many keys they carry. */
export interface MadeGrants {
  readonly grants: Uint8Array[]
  readonly keys: number
  /** Of the key that reaches furthest. */
  readonly scope: KeyScope
}

/**
 * Asks the plugin for the keys that its side gives, and seals them to the worker of the terms.
 * Throws Refusal REFUSED_SCOPE when the plugin's own policy does not allow such a key.
 */
export async function grantsFor(options: {
  plugin: Plugin
  open: Open
  transcript: Uint8Array
  challenge: MadeChallenge
  identity: IdentityKey
  /** Frames added to the pool; undefined for the first grant, which covers everything in the terms. */
  frames: readonly bigint[] | undefined
  notAfter: bigint
  ctx: PluginContext
}): Promise<MadeGrants> {
  const { plugin, open, transcript, challenge, identity, frames, notAfter, ctx } = options
  const entries: GrantEntry[] = []
  const accepts = scopesOf(plugin.policy)
  let keys = 0
  let sectorSize: SectorSize | undefined
  for (const request of keyRequests(plugin, open, frames)) {
    const answer = await plugin.keys(request, ctx)
    entries.push(entryOf(request, answer))
    checkScopes(entries, accepts)
    keys += 'key' in answer ? request.frames.length : 1
    if ('sectorSize' in answer) sectorSize = answer.sectorSize
  }
  const grants = await makeGrants({
    identity,
    open,
    transcript,
    role: plugin.role,
    nonce: challenge.nonce,
    entries,
    accepts,
    notAfter,
    ...(sectorSize === undefined ? {} : { sectorSize }),
  })
  return { grants, keys, scope: widestScope(entries) }
}

/** Scopes that a policy allows for keys of either side. */
function scopesOf({ allowGroupScope }: Policy): KeyScope[] {
  return keyScopes.filter((scope) => scope !== 'group' || allowGroupScope === true)
}

function checkScopes(entries: readonly GrantEntry[], accepts: readonly KeyScope[]): void {
  const wide = entries.find(({ scope }) => !accepts.includes(scope))
  if (wide === undefined) return
  for (const entry of entries) if ('key' in entry) entry.key.wipe()
  throw new Refusal('REFUSED_SCOPE', `key to ${wide.use}`, {
    expected: `one of scope ${accepts.join(' or ')}`,
    found: `one of scope ${wide.scope}, which this policy does not allow`,
    action: 'give keys of mode both, or set allowGroupScope in the policy',
  })
}

/** What one side gives: the source opens first blocks, each side encrypts its own second blocks. */
function keyRequests(plugin: Plugin, open: Open, frames: readonly bigint[] | undefined): KeyRequest[] {
  const base = { registration: open.registration, kind: open.kind }
  if (open.disk !== null) {
    const source = plugin.role === 'source'
    const volume = source ? open.disk.sourceVolume : open.disk.destinationVolume
    return [{ ...base, use: source ? 'read' : 'write', frames: [], volume }]
  }
  if (open.memory === null) return []
  if (frames !== undefined) return [{ ...base, use: 'write', frames }]
  const { memory } = open
  const pool = [...expandRanges(plugin.role === 'source' ? memory.sourcePool : memory.destinationPool)]
  const write: KeyRequest = { ...base, use: 'write', frames: pool }
  if (plugin.role === 'destination') return [write]
  const first = [...expandRanges(memory.frames.map((run) => ({ first: run.frame, count: run.count })))]
  return [{ ...base, use: 'read', frames: first }, write]
}

function entryOf(request: KeyRequest, answer: KeyAnswer): GrantEntry {
  const { use } = request
  if ('volumeKey' in answer) return { use, scope: 'volume', mode: 'common', key: answer.volumeKey }
  if ('groupKey' in answer) return { use, scope: 'group', mode: answer.mode, key: answer.groupKey }
  return { use, scope: 'block', mode: answer.mode, frames: request.frames, keyFor: answer.key }
}
