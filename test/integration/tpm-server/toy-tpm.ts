// A TPM that is just enough for the servers' tests: power, startup, GetRandom with fixed bytes, the properties that
// tpm2_getrandom asks for, and a record of every signal. It must be deterministic, so that whole replies can be compared.

import type { StateKind, TpmPort } from '../../../emulator/tpm-server/index.ts'

const failure = 0x101
const initialize = 0x100
const commandSize = 0x142
const commandCode = 0x143
const badTag = 0x01e

/** The toy. `calls` lists what the servers asked of it, e.g. "powerOn" or "setCancel true". */
export class ToyTpm implements TpmPort {
  powered = false
  started = false
  established = false
  readonly calls: string[] = []
  readonly localities: number[] = []
  readonly blobs = new Map<StateKind, Uint8Array>([
    ['permanent', Uint8Array.from({ length: 5000 }, (_, i) => i % 251)],
  ])
  readonly #failing = { now: false }

  execute(command: Uint8Array, locality: number): Uint8Array {
    if (!this.powered) return new Uint8Array(0)
    this.localities.push(locality)
    const view = new DataView(command.buffer, command.byteOffset, command.length)
    if (command.length < 10 || view.getUint32(2) !== command.length) return response(commandSize)
    if (view.getUint16(0) !== 0x8001) return response(badTag)
    if (this.#failing.now) return response(failure)
    const code = view.getUint32(6)
    if (code === 0x144) return this.#startup()
    if (!this.started) return response(initialize)
    if (code === 0x17b) return random(view.getUint16(10))
    if (code === 0x17a) return maximumDigest
    return response(commandCode)
  }

  powerOn(): void {
    this.calls.push('powerOn')
    this.powered = true
  }

  powerOff(): void {
    this.calls.push('powerOff')
    this.powered = false
    this.started = false
    this.#failing.now = false
  }

  reset(): void {
    this.calls.push('reset')
    this.started = false
    this.#failing.now = false
  }

  setPhysicalPresence(on: boolean): void {
    this.calls.push(`setPhysicalPresence ${String(on)}`)
  }

  setNvAvailable(on: boolean): void {
    this.calls.push(`setNvAvailable ${String(on)}`)
  }

  setCancel(on: boolean): void {
    this.calls.push(`setCancel ${String(on)}`)
  }

  hashStart(): void {
    this.calls.push('hashStart')
  }

  hashData(bytes: Uint8Array): void {
    this.calls.push(`hashData ${bytes.length}`)
  }

  hashEnd(): void {
    this.calls.push('hashEnd')
    this.established = true
  }

  enterFailureMode(): void {
    this.calls.push('enterFailureMode')
    this.#failing.now = true
  }

  resetEstablished(locality: number): boolean {
    if (locality < 3) return false
    this.established = false
    return true
  }

  saveState(kind: StateKind): Uint8Array {
    if (kind === 'volatile') return Uint8Array.of(7, this.started ? 1 : 0)
    return this.blobs.get(kind) ?? new Uint8Array(0)
  }

  loadState(kind: StateKind, bytes: Uint8Array): void {
    if (this.powered) throw new Error('expected the power to be off')
    if (kind === 'volatile' && bytes[0] !== 7) throw new Error('expected a volatile state of the toy')
    this.calls.push(`loadState ${kind} ${bytes.length}`)
    if (kind === 'volatile') this.started = bytes[1] === 1
    else this.blobs.set(kind, bytes)
  }

  flush(): void {
    this.calls.push('flush')
  }

  setBufferSize(bytes: number): void {
    this.calls.push(`setBufferSize ${String(bytes)}`)
  }

  #startup(): Uint8Array {
    if (this.started) return response(initialize)
    this.started = true
    return response(0)
  }
}

/** A response that is only a code. */
export function response(code: number): Uint8Array {
  const bytes = new Uint8Array(10)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 0x8001)
  view.setUint32(2, bytes.length)
  view.setUint32(6, code)
  return bytes
}

/** The toy's answer to GetRandom: bytes that count up. */
export function random(count: number): Uint8Array {
  const bytes = new Uint8Array(12 + count)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 0x8001)
  view.setUint32(2, bytes.length)
  view.setUint16(10, count)
  for (let index = 0; index < count; index += 1) bytes[12 + index] = index % 256
  return bytes
}

/** TPMS_CAPABILITY_DATA with one property: TPM_PT_MAX_DIGEST is 64. */
const maximumDigest = Uint8Array.from(
  Buffer.from('80010000001b00000000' + '00' + '00000006' + '00000001' + '00000120' + '00000040', 'hex'),
)

export const startupClear = Buffer.from('80010000000c000001440000', 'hex')
/** GetRandom of eight bytes. */
export const getRandom = Buffer.from('80010000000c0000017b0008', 'hex')
