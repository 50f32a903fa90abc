// Where a TPM's state is kept: the permanent state, and the volatile one when a powered TPM was put aside. Each is a
// file, by default of mode 0600, that is replaced whole: a kill at any point leaves the old state or the new one.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { equalBytes, FormatError } from '../../../../sdk/crypto/index.ts'
import { hash, TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import { PRIVATE_MODE, readFileIfPresent, replaceFile } from '../../files.ts'

/** The two states that can be stored. */
export type StateKind = 'permanent' | 'volatile'

/** Keeps the states of one TPM, as bytes. */
export interface TpmStore {
  /** The stored state; undefined when there is none. */
  load(kind: StateKind): Uint8Array | undefined
  /** Returns only once the state is durable; undefined removes it. */
  save(kind: StateKind, state: Uint8Array | undefined): void
}

/** Keeps the states in memory: for tests and throw-away TPMs. */
export class MemoryTpmStore implements TpmStore {
  readonly #states = new Map<StateKind, Uint8Array>()

  load(kind: StateKind): Uint8Array | undefined {
    return this.#states.get(kind)
  }

  save(kind: StateKind, state: Uint8Array | undefined): void {
    if (state === undefined) this.#states.delete(kind)
    else this.#states.set(kind, state)
  }
}

/** First line of a state's file. */
const MAGIC = new TextEncoder().encode('palimpsest TPM state 2\n')
const DIGEST_BYTES = 32

/**
 * Keeps the permanent state in a file, and the volatile one beside it. One process at a time: it locks nothing, and of
 * two processes on one file each overwrites what the other stored, counted failures of authorization included. Whoever
 * opens a store that others may open too keeps them out before, as the commands do with a lock beside the file.
 */
export class FileTpmStore implements TpmStore {
  readonly #path: string
  readonly #mode: number

  /**
   * `path` is the permanent state's file; its folder is made (mode 0700) when it does not exist. `mode` is that of the
   * files that are written: the state holds the TPM's secrets.
   */
  constructor(path: string, mode: number = PRIVATE_MODE) {
    this.#path = path
    this.#mode = mode
  }

  /** A folder's TPM, in the files tpm-state and tpm-state.volatile. */
  static inFolder(folder: string, mode?: number): FileTpmStore {
    return new FileTpmStore(join(folder, 'tpm-state'), mode)
  }

  /** Throws FormatError when the file is no TPM state: removing it makes a new TPM, with other keys. */
  load(kind: StateKind): Uint8Array | undefined {
    const path = this.path(kind)
    const bytes = readFileIfPresent(path)
    if (bytes === undefined) return undefined
    const head = bytes.subarray(0, MAGIC.length)
    const digest = bytes.subarray(MAGIC.length, MAGIC.length + DIGEST_BYTES)
    const state = bytes.slice(MAGIC.length + DIGEST_BYTES)
    if (!equalBytes(head, MAGIC) || !equalBytes(digest, hash(TPM_ALG.SHA256, state))) {
      const advice = `restore ${path}, or remove it to make a new TPM with other keys`
      throw new FormatError(
        'TPM state',
        `expected a whole TPM state, found other or damaged contents; ${advice}`,
      )
    }
    return state
  }

  save(kind: StateKind, state: Uint8Array | undefined): void {
    if (state === undefined) {
      rmSync(this.path(kind), { force: true })
      return
    }
    const file = Buffer.concat([MAGIC, hash(TPM_ALG.SHA256, state), state])
    replaceFile(this.path(kind), file, this.#mode)
    file.fill(0)
  }

  /** The file of a state. */
  path(kind: StateKind): string {
    return kind === 'permanent' ? this.#path : `${this.#path}.volatile`
  }
}
