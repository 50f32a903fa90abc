// What survives power-off: the endorsement primary seed, the reset count and a bound of the clock. The seed makes the
// keys, so the same state gives the same EK and AK. One file of mode 0600, replaced whole: a kill at any point leaves
// the old state or the new one.
// Source: TPM 2.0 Library, Part 1, clauses 14.3 (primary seeds) and 36 (timing components), revision 1.59.

import { randomBytes } from 'node:crypto'
import { decodeMap, encodeCanonical, field, FormatError, Secret } from '../../../sdk/crypto/index.ts'
import { PRIVATE_MODE, readFileIfPresent, replaceFile } from '../files.ts'

const SEED_BYTES = 32
const VERSION = 1n
const MAX_UINT32 = 0xffffffffn

/** The TPM's non-volatile state. */
export interface TpmState {
  /** endorsement primary seed, 32 bytes */
  readonly seed: Secret
  /** TPM resets so far */
  readonly resetCount: number
  /** milliseconds; the clock has never shown more than this */
  readonly clockBound: bigint
}

/** Keeps the state of one TPM. */
export interface TpmStore {
  /** The stored state; undefined when there is none yet. */
  load(): TpmState | undefined
  /** Returns only once the state is durable. */
  save(state: TpmState): void
}

/** State of a TPM that was never powered on. */
export function newTpmState(seed: Secret = Secret.take(new Uint8Array(randomBytes(SEED_BYTES)))): TpmState {
  if (seed.length !== SEED_BYTES) {
    throw new RangeError(`"seed" expected ${String(SEED_BYTES)} bytes, got length=${String(seed.length)}`)
  }
  return { seed, resetCount: 0, clockBound: 0n }
}

/** Keeps the state in memory only: for tests and throw-away platforms. */
export class MemoryTpmStore implements TpmStore {
  #state: TpmState | undefined

  constructor(state?: TpmState) {
    this.#state = state
  }

  load(): TpmState | undefined {
    return this.#state
  }

  save(state: TpmState): void {
    this.#state = state
  }
}

/** Keeps the state in a file. */
export class FileTpmStore implements TpmStore {
  readonly #path: string

  /** `path` is the file; its folder is made (mode 0700) when it does not exist. */
  constructor(path: string) {
    this.#path = path
  }

  /** Throws FormatError when the file is no TPM state: removing it makes a new TPM, with another EK. */
  load(): TpmState | undefined {
    const bytes = readFileIfPresent(this.#path)
    if (bytes === undefined) return undefined
    try {
      return decode(bytes)
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause
      const advice = `restore ${this.#path}, or remove it to make a new TPM with another EK`
      throw new FormatError('TPM state', `${cause.message}; ${advice}`, { cause })
    }
  }

  save(state: TpmState): void {
    const bytes = encode(state)
    replaceFile(this.#path, bytes, PRIVATE_MODE)
    bytes.fill(0)
  }
}

function encode(state: TpmState): Uint8Array {
  return state.seed.use((seed) =>
    encodeCanonical({
      version: VERSION,
      seed,
      resetCount: BigInt(state.resetCount),
      clockBound: state.clockBound,
    }),
  )
}

function decode(bytes: Uint8Array): TpmState {
  const map = decodeMap(bytes, 'TPM state')
  field.only(map, ['version', 'seed', 'resetCount', 'clockBound'])
  const version = field.uint(map, 'version')
  if (version !== VERSION) {
    throw new FormatError('TPM state.version', `expected ${VERSION.toString()}, found ${version.toString()}`)
  }
  return {
    seed: Secret.take(field.bytes(map, 'seed', SEED_BYTES)),
    resetCount: Number(field.uint(map, 'resetCount', MAX_UINT32)),
    clockBound: field.uint(map, 'clockBound'),
  }
}
