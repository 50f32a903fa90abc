// The TPM as its platform holds it: one powered device, its commands as methods. Each method is one command and does
// nothing but call that command's function on the context, which a byte transport can call as well.
// Trusted: this is part of the platform's root of trust. Source: TPM 2.0 Library, Part 3, revision 1.59.

import { type Secret } from '../../../sdk/crypto/index.ts'
import {
  type PcrBanks as PcrValues,
  selectedPcrs,
  selectPcrs,
  TPM_SU,
  type TPML_PCR_SELECTION,
  type TPMS_TIME_INFO,
} from '../../../sdk/tpm2/index.ts'
import { quote, type QuoteRequest, type QuoteResponse } from './attestation.ts'
import { type Milliseconds, monotonic, TpmClock } from './clock.ts'
import { persistentObjects, started, type TpmContext } from './context.ts'
import {
  activateCredential,
  type ActivateCredentialRequest,
  readPublic,
  type ReadPublicResponse,
} from './object-commands.ts'
import { MAX_DIGESTS, pcrEvent, pcrExtend, pcrRead, type PcrReadResponse } from './pcr-commands.ts'
import { startup } from './startup.ts'
import { newTpmState, type TpmStore } from './state.ts'

/** How a device is made. */
export interface TpmOptions {
  readonly store: TpmStore
  /** time source, for tests; default the system's monotonic time */
  readonly now?: Milliseconds
  /** endorsement seed of a new TPM, 32 bytes; default random. Ignored when the store holds a state. */
  readonly seed?: Secret
}

/** A powered TPM. Commands throw TpmError with the response code; a failed command changes nothing. */
export class TpmDevice {
  readonly #context: TpmContext

  private constructor(context: TpmContext) {
    this.#context = context
  }

  /** Powers the TPM on (_TPM_Init), making it first when the store is empty. TPM2_Startup must follow. */
  static powerOn(options: TpmOptions): TpmDevice {
    let state = options.store.load()
    if (state === undefined) {
      state = newTpmState(options.seed)
      options.store.save(state)
    }
    const clock = new TpmClock(options.store, state, options.now ?? monotonic)
    return new TpmDevice({ clock, pcrs: undefined, objects: persistentObjects(state) })
  }

  /** TPM2_Startup (9.3). */
  startup(startupType: number = TPM_SU.CLEAR, locality = 0): void {
    startup(this.#context, startupType, locality)
  }

  /** TPM2_PCR_Extend (22.2): digests by bank (TPM_ALG). */
  pcrExtend(pcr: number, digests: ReadonlyMap<number, Uint8Array>, locality = 0): void {
    pcrExtend(this.#context, pcr, digests, locality)
  }

  /** TPM2_PCR_Event (22.3): returns the digests that every bank was extended with. */
  pcrEvent(pcr: number, eventData: Uint8Array, locality = 0): Map<number, Uint8Array> {
    return pcrEvent(this.#context, pcr, eventData, locality)
  }

  /** TPM2_PCR_Read (22.4): at most 8 values per call. */
  pcrRead(selection: TPML_PCR_SELECTION): PcrReadResponse {
    return pcrRead(this.#context, selection)
  }

  /** TPM2_Quote (18.4). */
  quote(request: QuoteRequest): QuoteResponse {
    return quote(this.#context, request)
  }

  /** TPM2_ReadPublic (12.4). */
  readPublic(objectHandle: number): ReadPublicResponse {
    return readPublic(this.#context, objectHandle)
  }

  /** TPM2_ActivateCredential (12.5): returns certInfo. */
  activateCredential(request: ActivateCredentialRequest): Uint8Array {
    return activateCredential(this.#context, request)
  }

  /** TPM2_ReadClock (29.1). */
  readClock(): TPMS_TIME_INFO {
    started(this.#context)
    return this.#context.clock.timeInfo()
  }
}

/** What readPcrs() returns. */
export interface ReadPcrs {
  readonly values: PcrValues
  readonly pcrUpdateCounter: number
}

/** All selected PCRs that exist, with as many TPM2_PCR_Read as that takes, and the update counter. */
export function readPcrs(device: TpmDevice, selection: TPML_PCR_SELECTION): ReadPcrs {
  const values = new Map<number, ReadonlyMap<number, Uint8Array>>()
  for (const bank of selection) {
    const pcrs = new Map<number, Uint8Array>()
    const wanted = selectedPcrs(bank)
    for (let start = 0; start < wanted.length; start += MAX_DIGESTS) {
      const chunk = selectPcrs(bank.hash, wanted.slice(start, start + MAX_DIGESTS))
      const { pcrSelectionOut, pcrValues } = device.pcrRead([chunk])
      const read = pcrSelectionOut.flatMap(selectedPcrs)
      for (const [index, value] of pcrValues.entries()) pcrs.set(read[index] ?? 0, value)
    }
    values.set(bank.hash, pcrs)
  }
  return { values, pcrUpdateCounter: device.pcrRead([]).pcrUpdateCounter }
}
