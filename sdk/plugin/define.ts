// What a plugin author writes: a name, a policy, and the handlers that are needed. A definition is data and functions;
// serve() runs it.

import type { BlockKind, RangePair } from '../block/index.ts'
import type { KeyMode, Secret } from '../crypto/index.ts'
import type { Policy } from '../attest/index.ts'
import type { Logger, Role } from '../rpc/index.ts'

/** What every handler is told besides its request. */
export interface PluginContext {
  /** Aborted when the answer is not wanted any more. */
  readonly signal: AbortSignal
  /** The other side, as its launch report names it. */
  readonly peer: { readonly vm: string; readonly identity: Uint8Array }
  readonly log: Logger
  /** Name of the clone or registration that the call is for. */
  readonly requestId: string
}

/** Asks whether a clone may be made. Nothing was shared yet. */
export interface CopyRequest {
  readonly clone: string
  readonly kind: BlockKind
  readonly source: string
  readonly destination: string
  /** First and second blocks. */
  readonly pairs: readonly RangePair[]
  /** Volumes; disks only. */
  readonly volumes?: { readonly source: string; readonly destination: string }
}

/** Asks for the keys of blocks. The evidence was appraised and passed. */
export interface KeyRequest {
  readonly registration: string
  readonly kind: BlockKind
  /** `read`: keys that open first blocks; `write`: keys that second blocks are encrypted with. */
  readonly use: 'read' | 'write'
  /** Host frames that the blocks lie in, an input of location-dependent keys; empty for disks. */
  readonly frames: readonly bigint[]
  /** The volume; disks only. */
  readonly volume?: string
}

/** Keys for a request; each is 64 bytes, two AES-256 keys for XTS. */
export type KeyAnswer =
  /** A key for each frame: the least that does the job. */
  | { readonly mode: Extract<KeyMode, 'location' | 'both'>; readonly key: (frame: bigint) => Secret }
  /** One key that opens everything of the share group; flagged as scope GROUP, which policies must allow. */
  | { readonly mode: 'common'; readonly groupKey: Secret }
  /** The volume's key; flagged as scope VOLUME. */
  | { readonly volumeKey: Secret; readonly sectorSize: 512 | 1024 | 2048 | 4096 }

/** Handlers and policy of one side. */
export interface PluginOptions {
  /** Name, for logs and for the host. */
  readonly name: string
  /** Version, as semver. */
  readonly version: string
  /** What is accepted of platform, worker and peer; everything else is refused. */
  readonly policy: Policy
  /** Gives keys, only after the evidence passed. The keys are wiped after they were sealed. */
  readonly keys: (request: KeyRequest, ctx: PluginContext) => KeyAnswer | Promise<KeyAnswer>
  /** Optional veto: throw to refuse a clone. The policy's peers are checked before. */
  readonly onCopyRequested?: (request: CopyRequest, ctx: PluginContext) => void | Promise<void>
  /** How long granted keys may be used, in milliseconds of platform time; default: the worker's lease. */
  readonly grantMs?: number
}

/** A plugin for one side. */
export interface Plugin extends PluginOptions {
  readonly role: Role
}

/**
 * A plugin that speaks for VMs whose blocks are copied.
 *
 * @example
 * const source = defineSourcePlugin({
 *   name: 'vault-disks',
 *   version: '1.0.0',
 *   policy: policyFile('reference-values.json'),
 *   keys: async (request) => ({ volumeKey: await vault.key(request.volume), sectorSize: 512 }),
 * })
 */
export function defineSourcePlugin(options: PluginOptions): Plugin {
  return define('source', options)
}

/** A plugin that speaks for VMs that blocks are copied to. See {@link defineSourcePlugin}. */
export function defineDestinationPlugin(options: PluginOptions): Plugin {
  return define('destination', options)
}

function define(role: Role, options: PluginOptions): Plugin {
  if (options.name.length === 0)
    throw new TypeError('"name" expected a name for the plugin, got an empty string')
  if (!/^\d+\.\d+\.\d+/.test(options.version)) {
    throw new TypeError(`"version" expected a semantic version like 1.0.0, got "${options.version}"`)
  }
  if (typeof options.keys !== 'function') {
    throw new TypeError(
      `"keys" expected a handler, got ${typeof options.keys}: a plugin without one can do nothing`,
    )
  }
  return Object.freeze({ ...options, role })
}
