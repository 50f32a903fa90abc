// What end-to-end tests set up again and again: two VMs whose plugins serve, a clone between them, and a record of what
// the plugins did, in order.

import type { PluginEvent, ServedPlugin } from '../../../sdk/plugin/index.ts'
import type { Secret } from '../../../sdk/crypto/index.ts'
import { PalimpsestError } from '../../../sdk/rpc/index.ts'
import type { Testbed, TestPluginOptions, TestVm, TestVmOptions } from '../../../emulator/testbed/index.ts'
import { BLOCK } from './independent.ts'

/** What happened at one side. */
export interface Step {
  readonly role: 'source' | 'destination'
  readonly event: PluginEvent
}

/** Events of both plugins, in the order in which they happened. */
export class Recorder {
  readonly steps: Step[] = []

  observe(role: Step['role']): (event: PluginEvent) => void {
    return (event) => this.steps.push({ role, event })
  }

  /** Names of the events of one side, of one registration. Refusals belong to none. */
  names(role: Step['role'], registration: string): string[] {
    return this.steps
      .filter((step) => step.role === role)
      .map(({ event }) => event)
      .filter((event) => 'registration' in event && event.registration === registration)
      .map(({ event }) => event)
  }

  /** Events of one kind at one side. */
  all<E extends PluginEvent['event']>(role: Step['role'], kind: E): Extract<PluginEvent, { event: E }>[] {
    return this.steps
      .filter((step) => step.role === role)
      .map(({ event }) => event)
      .filter((event): event is Extract<PluginEvent, { event: E }> => event.event === kind)
  }
}

/** Two VMs and what their plugins did. */
export interface Stage {
  readonly source: TestVm
  readonly destination: TestVm
  readonly events: Recorder
  readonly plugins: { readonly source: ServedPlugin; readonly destination: ServedPlugin }
}

export interface StageOptions {
  readonly pages?: number
  readonly sourceKeys?: Pick<TestVmOptions, 'mode' | 'group' | 'root'>
  readonly destinationKeys?: Pick<TestVmOptions, 'mode' | 'group' | 'root'>
  readonly sourcePlugin?: TestPluginOptions
  readonly destinationPlugin?: TestPluginOptions
}

/** Two VMs, the source's pages filled with {@link pattern}, both plugins attached. */
export async function stage(bed: Testbed, name: string, options: StageOptions = {}): Promise<Stage> {
  const pages = options.pages ?? 16
  const memoryBytes = pages * BLOCK
  const source = await bed.vm(`${name}-source`, { memoryBytes, ...options.sourceKeys })
  const destination = await bed.vm(`${name}-destination`, {
    memoryBytes,
    unmapped: true,
    ...options.destinationKeys,
  })
  await source.guest.store(0n, patterns(0, pages))
  const events = new Recorder()
  const sourcePlugin = await source.serveSource({
    peers: [destination.identity],
    onEvent: events.observe('source'),
    ...options.sourcePlugin,
  })
  const destinationPlugin = await destination.serveDestination({
    peers: [source.identity],
    onEvent: events.observe('destination'),
    ...options.destinationPlugin,
  })
  return { source, destination, events, plugins: { source: sourcePlugin, destination: destinationPlugin } }
}

/** Content of block `i`: differs from block to block and from 16 bytes to 16 bytes. */
export function pattern(i: number): Uint8Array {
  return new Uint8Array(BLOCK).map((_byte, at) => (i * 31 + (at >> 4) * 7 + at) & 0xff)
}

/** Content of blocks `from` to `to` - 1. */
export function patterns(from: number, to: number): Uint8Array {
  const bytes = new Uint8Array((to - from) * BLOCK)
  for (let i = from; i < to; i++) bytes.set(pattern(i), (i - from) * BLOCK)
  return bytes
}

/** `bytes` with `change` at `offset`. */
export function changed(bytes: Uint8Array, offset: number, change: Uint8Array): Uint8Array {
  const result = Uint8Array.from(bytes)
  result.set(change, offset)
  return result
}

/** Byte address of a block. */
export function at(block: number, offset = 0): bigint {
  return BigInt(block * BLOCK + offset)
}

/** A copy of a secret's bytes, for the independent reader. */
export function bytesOf(secret: Secret): Uint8Array {
  return secret.use((bytes) => Uint8Array.from(bytes))
}

/** "ok", or the code of the error that an attempt ended with. */
export async function codeOf(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt
    return 'ok'
  } catch (error) {
    if (error instanceof PalimpsestError) return error.code
    throw error
  }
}

/** Waits until `check` gives a value. @throws Error with `what` after `ms` */
export async function until<T>(what: string, check: () => Promise<T | undefined>, ms = 20_000): Promise<T> {
  const deadline = Date.now() + ms
  while (true) {
    const found = await check()
    if (found !== undefined) return found
    if (Date.now() > deadline) throw new Error(`waited ${String(ms)} ms for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
