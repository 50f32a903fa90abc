// What the data port and the control channel of one swtpm server have in common: the locality, which is one for the
// whole TPM, and the volatile state that was stored for the next INIT.
// Source: swtpm 0.7.1, observed behaviour; swtpm(8).

import type { Limits, Log } from './protocol.ts'
import type { TpmPort } from './tpm-port.ts'

/** Where STORE_VOLATILE leaves the volatile state, so that the next INIT resumes from it. */
export interface VolatileStore {
  read(): Uint8Array | undefined
  write(bytes: Uint8Array): void
  remove(): void
}

/** A store that lasts as long as the server. */
export function memoryStore(): VolatileStore {
  let stored: Uint8Array | undefined
  return {
    read: () => stored,
    write: (bytes) => {
      stored = bytes
    },
    remove: () => {
      stored = undefined
    },
  }
}

/** What a swtpm server allows, as the options of the swtpm program set it. */
export interface SwtpmRules {
  /** Commands and requests at locality 4 are refused. */
  readonly rejectLocality4: boolean
  /** The vendor command 0x20001000 may set the locality. */
  readonly allowSetLocality: boolean
  /** A data connection is closed after each response. */
  readonly disconnect: boolean
}

/** Everything off, as swtpm starts. */
export const defaultRules: SwtpmRules = {
  rejectLocality4: false,
  allowSetLocality: false,
  disconnect: false,
}

const smallestBuffer = 2808
const largestBuffer = 4096

/** One TPM as swtpm serves it. */
export class SwtpmState {
  readonly tpm: TpmPort
  readonly rules: SwtpmRules
  readonly limits: Limits
  readonly log: Log
  readonly volatileStore: VolatileStore
  locality = 0
  #bufferSize = largestBuffer
  /** SET_STATEBLOB gave a volatile state, which goes before a stored one. */
  #volatileLoaded = false

  constructor(tpm: TpmPort, rules: SwtpmRules, limits: Limits, log: Log, volatileStore: VolatileStore) {
    this.tpm = tpm
    this.rules = rules
    this.limits = limits
    this.log = log
    this.volatileStore = volatileStore
  }

  /** False when the locality does not exist or is not allowed; then nothing changes. */
  setLocality(locality: number): boolean {
    if (locality > 4 || this.rejects(locality)) return false
    this.locality = locality
    return true
  }

  rejects(locality: number): boolean {
    return locality === 4 && this.rules.rejectLocality4
  }

  /** Power off and on. Resumes the volatile state that was loaded or stored, and then forgets it if asked to. */
  initialize(deleteVolatile: boolean): void {
    if (this.tpm.powered) this.tpm.powerOff()
    const stored = this.#volatileLoaded ? undefined : this.volatileStore.read()
    if (stored !== undefined) this.tpm.loadState('volatile', stored)
    this.#volatileLoaded = false
    this.tpm.powerOn()
    if (deleteVolatile) this.volatileStore.remove()
  }

  storeVolatile(): void {
    this.volatileStore.write(this.tpm.saveState('volatile'))
  }

  loadBlob(kind: 'permanent' | 'volatile' | 'savestate', bytes: Uint8Array): void {
    if (kind === 'volatile' && bytes.length === 0) {
      this.volatileStore.remove()
      this.#volatileLoaded = false
      return
    }
    this.tpm.loadState(kind, bytes)
    if (kind === 'volatile') this.#volatileLoaded = true
  }

  /** Asks for a buffer size, 0 for none; gives the size in force, the smallest and the largest. */
  bufferSizes(wanted: number): readonly [number, number, number] {
    if (wanted > 0) {
      this.#bufferSize = Math.min(Math.max(wanted, smallestBuffer), largestBuffer)
      this.tpm.setBufferSize(this.#bufferSize)
    }
    return [this.#bufferSize, smallestBuffer, largestBuffer]
  }
}
