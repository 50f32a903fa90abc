// The TPM: commands in, responses out, and the wires that a platform has besides: power, locality, physical presence,
// the D-RTM's hash interface. Trusted: this is part of the platform's root of trust.
// Source: TPM 2.0 Library, Part 1, clauses 10 (operational states) and 18 (commands), revision 1.59.

import { plainView } from '../../../sdk/crypto/index.ts'
import { marshal, TPM_RC } from '../../../sdk/tpm2/index.ts'
import { IMPLEMENTED } from './commands/index.ts'
import { errorResponse } from './dispatch/frame.ts'
import { executeCommand } from './dispatch/execute.ts'
import { allocatedBanks, dynamicReset, measureAtReset } from './entities/pcr.ts'
import { TpmError } from './errors.ts'
import { type EntropySource, fixedEntropy, systemEntropy } from './keys/index.ts'
import { ResumableHash } from './keys/resumable-hash.ts'
import { DEFAULT_LIMITS, type Limits, MAX_BUFFER_SIZE, MIN_BUFFER_SIZE } from './profile.ts'
import { type Milliseconds, monotonic, TpmClock } from './state/clock.ts'
import { readState } from './state/codecs.ts'
import { newPermanentState, PERMANENT_STATE } from './state/permanent.ts'
import { MemoryTpmStore, type TpmStore } from './state/store.ts'
import { type PlatformInputs, type TpmState } from './state/tpm-state.ts'
import { newVolatileState, SNAPSHOT } from './state/volatile.ts'
import { FaultInjector, type Faulty } from './faults.ts'

/** How a TPM is made. */
export interface TpmOptions {
  /** where the permanent state is kept; default in memory only */
  readonly store?: TpmStore
  /** of a new TPM: PCR banks (TPM_ALG) that are allocated, all PCRs each; default all that it has */
  readonly banks?: readonly number[]
  /** of a new TPM: what its primary seeds are made of, so that the same seed has the same primary keys */
  readonly seed?: Uint8Array
  /**
   * random numbers; default the operating system's. What is encrypted to a public key (TPM2_MakeCredential,
   * TPM2_Duplicate) takes OpenSSL's all the same
   */
  readonly entropy?: EntropySource
  /** time source in milliseconds; default the system's monotonic time */
  readonly now?: Milliseconds
  /** told why the TPM went into failure mode: a state that could not be stored, or a fault of ours */
  readonly onFailure?: (error: unknown) => void
  /** slots for objects and sessions; default enough for use without a resource manager */
  readonly limits?: Limits
}

/** Locality of the hash interface: only the platform itself speaks there. */
const HASH_LOCALITY = 4

/**
 * A TPM 2.0. `execute` is its whole command interface; it is synchronous and never throws for what a command holds.
 * A new one is off: powerOn(), then TPM2_Startup.
 */
export class Tpm {
  /** Faults that the next commands meet. */
  readonly faults = new FaultInjector()
  readonly #faulty: Faulty = {
    reset: () => this.#resetByFault(),
    enterFailureMode: () => {
      this.enterFailureMode()
    },
  }
  readonly #store: TpmStore
  readonly #options: TpmOptions
  readonly #entropy: EntropySource
  #limits: Limits
  readonly #platform: PlatformInputs = { physicalPresence: false, nvAvailable: true, cancel: false }
  #state: TpmState | undefined
  /** hashes of a D-RTM or H-CRTM sequence that is under way, and the PCR that it ends in */
  #sequence: { readonly pcr: number; readonly hashes: readonly ResumableHash[] } | undefined

  constructor(options: TpmOptions = {}) {
    this.#options = options
    this.#store = options.store ?? new MemoryTpmStore()
    this.#limits = options.limits ?? DEFAULT_LIMITS
    this.#entropy = options.entropy ?? systemEntropy()
  }

  /** Whether the TPM has power. */
  get powered(): boolean {
    return this.#state !== undefined
  }

  /**
   * _TPM_Init: the TPM is made when its store is empty, or goes on where a snapshot was put aside; otherwise it waits
   * for TPM2_Startup. Nothing happens when it is on. Throws FormatError or Tpm2Error when the stored state is damaged.
   */
  powerOn(): void {
    if (this.#state !== undefined) return
    const permanent = this.#load()
    const clock = new TpmClock(permanent.timing, this.#options.now ?? monotonic)
    const tpm: TpmState = {
      permanent,
      volatile: newVolatileState(this.#entropy.next),
      clock,
      random: this.#entropy,
      limits: this.#limits,
      platform: this.#platform,
      locality: 0,
      earlyMeasurement: undefined,
      changed: false,
    }
    this.#resumeSnapshot(tpm)
    this.#state = tpm
  }

  /** Takes the power away: what was not stored is lost. */
  powerOff(): void {
    this.#state = undefined
    this.#sequence = undefined
  }

  /** Power off and on, when it is on. */
  reset(): void {
    if (this.#state === undefined) return
    this.powerOff()
    this.powerOn()
  }

  /**
   * Executes one command from a locality (0 to 4, or 32 to 255) and returns its response; without power, no bytes.
   * A response code is an answer: nothing that a caller sends makes this throw.
   */
  execute(command: Uint8Array, locality = 0): Uint8Array {
    if (this.#state === undefined) return new Uint8Array(0)
    return this.faults.apply(command, this.#faulty, () => this.#execute(plainView(command), locality))
  }

  /**
   * How many bytes a command and a response may have from the next powerOn() on: as many as the interface in front of
   * the TPM holds, 2808 to 4096. Throws Error while powered, RangeError for another size; then nothing changes.
   */
  setBufferSize(bytes: number): void {
    if (this.#state !== undefined)
      throw new Error('expected a TPM without power to set the buffer size of, found it on')
    if (!Number.isInteger(bytes) || bytes < MIN_BUFFER_SIZE || bytes > MAX_BUFFER_SIZE) {
      const sizes = `${String(MIN_BUFFER_SIZE)} to ${String(MAX_BUFFER_SIZE)}`
      throw new RangeError(`expected a buffer size of ${sizes} bytes, found ${String(bytes)}`)
    }
    this.#limits = { ...this.#limits, bufferSize: bytes }
  }

  setPhysicalPresence(on: boolean): void {
    this.#platform.physicalPresence = on
  }

  /** Whether NV memory can be written; commands that have to write it are refused with TPM_RC_NV_UNAVAILABLE. */
  setNvAvailable(on: boolean): void {
    this.#platform.nvAvailable = on
  }

  /** While set, commands that can take long are answered with TPM_RC_CANCELED. */
  setCancel(on: boolean): void {
    this.#platform.cancel = on
  }

  /** From here on only TPM2_GetTestResult and TPM2_GetCapability are answered, until power is cycled. */
  enterFailureMode(): void {
    if (this.#state !== undefined) this.#state.volatile.failed = true
  }

  /** Whether a D-RTM sequence has run since resetEstablished(). */
  get established(): boolean {
    return this.#state?.volatile.established ?? false
  }

  /** Forgets the D-RTM sequence; false when the locality may not (only 3 and 4 may). */
  resetEstablished(locality: number): boolean {
    if (locality < 3 || locality > HASH_LOCALITY) return false
    if (this.#state !== undefined) this.#state.volatile.established = false
    return true
  }

  /** _TPM_Hash_Start: before TPM2_Startup an H-CRTM sequence into PCR 0, after it a D-RTM sequence into PCR 17. */
  hashStart(): void {
    const tpm = this.#state
    if (tpm === undefined) return
    const hashes = allocatedBanks(tpm).map((bank) => ResumableHash.start(bank))
    this.#sequence = { pcr: tpm.volatile.started ? 17 : 0, hashes }
    if (tpm.volatile.started) {
      dynamicReset(tpm)
      tpm.volatile.established = true
    }
  }

  /** _TPM_Hash_Data. */
  hashData(bytes: Uint8Array): void {
    for (const one of this.#sequence?.hashes ?? []) one.update(bytes)
  }

  /** _TPM_Hash_End. */
  hashEnd(): void {
    const [tpm, sequence] = [this.#state, this.#sequence]
    this.#sequence = undefined
    if (tpm === undefined || sequence === undefined) return
    const digests = new Map(sequence.hashes.map((one) => [one.hashAlg, one.digest()]))
    if (sequence.pcr === 0) tpm.earlyMeasurement = digests
    else measureAtReset(tpm, sequence.pcr, digests)
  }

  /**
   * A state as bytes: the permanent one, or with it what a powered TPM has in memory. Both hold the TPM's secrets. In
   * failure mode the permanent one is what is stored: the one in memory can not be trusted.
   */
  saveState(kind: 'permanent' | 'volatile'): Uint8Array {
    const tpm = this.#state
    if (kind === 'permanent') {
      return tpm === undefined || tpm.volatile.failed
        ? (this.#store.load('permanent') ?? new Uint8Array(0))
        : marshal(PERMANENT_STATE, tpm.permanent)
    }
    if (tpm === undefined) return this.#store.load('volatile') ?? new Uint8Array(0)
    const { time, clock, adjustment } = tpm.clock
    return marshal(SNAPSHOT, { state: tpm.volatile, time, clock, adjustment })
  }

  /**
   * Takes up a state that saveState() gave, here or elsewhere, at the next powerOn(). Throws Error while powered,
   * Tpm2Error when the bytes are no such state; then nothing changes.
   */
  loadState(kind: 'permanent' | 'volatile', bytes: Uint8Array): void {
    if (this.#state !== undefined)
      throw new Error('expected a TPM without power to load a state into, found it on')
    if (kind === 'permanent') readState(PERMANENT_STATE, bytes)
    else readState(SNAPSHOT, bytes)
    this.#store.save(kind, bytes)
  }

  /** Puts the powered TPM aside: the next powerOn() goes on from here instead of waiting for TPM2_Startup. */
  putAside(): void {
    if (this.#state !== undefined) this.#store.save('volatile', this.saveState('volatile'))
  }

  #load(): TpmState['permanent'] {
    const stored = this.#store.load('permanent')
    if (stored !== undefined) return readState(PERMANENT_STATE, stored)
    const { seed, banks } = this.#options
    const made = newPermanentState(seed === undefined ? this.#entropy.next : fixedEntropy(seed).next, banks)
    this.#store.save('permanent', marshal(PERMANENT_STATE, made))
    return made
  }

  #resumeSnapshot(tpm: TpmState): void {
    const stored = this.#store.load('volatile')
    if (stored === undefined) return
    const snapshot = readState(SNAPSHOT, stored)
    tpm.volatile = snapshot.state
    tpm.clock.resume(snapshot.time, snapshot.clock, snapshot.adjustment)
    this.#store.save('volatile', undefined)
  }

  #execute(command: Uint8Array, locality: number): Uint8Array {
    const tpm = this.#state
    if (tpm === undefined) return new Uint8Array(0)
    tpm.locality = locality
    const response = this.#answer(tpm, command)
    if (!tpm.changed) return response
    tpm.changed = false
    try {
      this.#store.save('permanent', marshal(PERMANENT_STATE, tpm.permanent))
      return response
    } catch (error) {
      // What cannot be stored must not be acted on: the TPM stops, and goes on from what is stored when power is cycled.
      return this.#fail(tpm, error)
    }
  }

  #answer(tpm: TpmState, command: Uint8Array): Uint8Array {
    try {
      return executeCommand(tpm, IMPLEMENTED, command)
    } catch (error) {
      if (error instanceof TpmError) return errorResponse(error.rc)
      // A command that broke off may have changed half of what it changes: none of it is stored.
      return this.#fail(tpm, error)
    }
  }

  /** A reset between two commands has no caller to throw at: when the stored state can not be read, the TPM has failed. */
  #resetByFault(): Uint8Array {
    const before = this.#state
    try {
      this.reset()
      return errorResponse(TPM_RC.INITIALIZE)
    } catch (error) {
      this.#state = before
      return before === undefined ? new Uint8Array(0) : this.#fail(before, error)
    }
  }

  /** Failure mode: whatever is in memory may be half changed, and nothing of it is stored from here on. */
  #fail(tpm: TpmState, error: unknown): Uint8Array {
    tpm.changed = false
    tpm.volatile.failed = true
    this.#options.onFailure?.(error)
    return errorResponse(TPM_RC.FAILURE)
  }
}
