// What the demo and its two VM processes say to each other: JSON lines on the child's standard input and output. The
// demo plays the owner of both VMs, so it knows their keys; they travel here and nowhere else.

import type { PluginEvent } from '../../../sdk/plugin/index.ts'

/** First line to the child. Keys are hexadecimal. */
export interface VmSetup {
  readonly role: 'source' | 'destination'
  readonly vm: string
  readonly hypervisor: string
  /** Folder of the VM's identity. */
  readonly identity: string
  /** Policy file. */
  readonly policy: string
  /** 32-byte root of the VM's memory keys. */
  readonly rootKey: string
  /** 64-byte key of the VM's volume. */
  readonly volumeKey: string
}

/** What the demo asks a VM to do. */
export type VmCommand =
  | { readonly do: 'install-keys' }
  | { readonly do: 'fill-memory'; readonly path: string }
  | { readonly do: 'fill-disk'; readonly path: string; readonly volume: string }
  | { readonly do: 'store'; readonly gpa: string; readonly data: string }
  | { readonly do: 'write-disk'; readonly volume: string; readonly offset: string; readonly data: string }
  | { readonly do: 'stop' }

/** A command with the number that its answer repeats. */
export type NumberedCommand = VmCommand & { readonly id: number }

/** What a VM says. Byte strings in events are hexadecimal. */
export type VmLine =
  | { readonly kind: 'ready' }
  | { readonly kind: 'event'; readonly at: number; readonly event: PluginEvent }
  | { readonly kind: 'answer'; readonly id: number; readonly ok: true }
  | {
      readonly kind: 'answer'
      readonly id: number
      readonly ok: false
      readonly code: string
      readonly message: string
    }
