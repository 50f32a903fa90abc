// What happened to a plugin, step by step, in the order of the claims: for logs, for tests and for the demo.

import type { AppraisalStep } from '../attest/index.ts'
import type { KeyScope } from '../grant/index.ts'

/** One step. No event carries a key. */
export type PluginEvent =
  | { readonly event: 'ATTACHED'; readonly vm: string }
  | { readonly event: 'DETACHED'; readonly reason: string }
  | { readonly event: 'ENROLLED'; readonly platform: Uint8Array }
  | { readonly event: 'COPY_REQUESTED'; readonly clone: string; readonly peer: string }
  | { readonly event: 'APPROVED'; readonly clone: string }
  | { readonly event: 'CHALLENGED'; readonly registration: string }
  | {
      /** Claim 1(a): a measurement of the host's firmware and two block ids arrived, in one message. */
      readonly event: 'MEASUREMENT_RECEIVED'
      readonly registration: string
      readonly measurement: Uint8Array
      readonly first: string
      readonly second: string
    }
  | { readonly event: 'VALIDATED'; readonly registration: string; readonly steps: readonly AppraisalStep[] }
  | {
      readonly event: 'KEYS_SENT'
      readonly registration: string
      readonly grants: number
      readonly keys: number
      /** Of the key that reaches furthest: `group` opens all that the share group has under its common key. */
      readonly scope: KeyScope
    }
  | { readonly event: 'REFUSED'; readonly what: string; readonly code: string; readonly message: string }
  | { readonly event: 'ENDED'; readonly registration: string; readonly reason: string }

/** Receives events; must not throw. */
export type PluginObserver = (event: PluginEvent) => void
