// The platform's own use of its TPM: power, startup, the two keys that speak for the platform, and the few commands that
// it needs, as methods. Everything goes through the TPM's one entry as bytes, as any other client's commands do.
// Trusted: this is part of the platform's root of trust. Source: TPM 2.0 Library, Part 3, revision 1.59.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { FormatError } from '../../sdk/crypto/index.ts'
import {
  callDirectly,
  type Credential,
  marshal,
  passwordSession,
  type PcrBanks,
  selectedPcrs,
  selectPcrs,
  startPolicyDirectly,
  TPM2_ActivateCredential,
  TPM2_FlushContext,
  TPM2_PCR_Extend,
  TPM2_PCR_Read,
  TPM2_PolicySecret,
  TPM2_Quote,
  TPM2_ReadClock,
  TPM2_ReadPublic,
  TPM2_Startup,
  TPM_ALG,
  TPM_RH,
  TPM_SU,
  type TPML_PCR_SELECTION,
  type TPMS_TIME_INFO,
  TPMT_PUBLIC,
  TPMT_SIGNATURE_PLUS,
} from '../../sdk/tpm2/index.ts'
import { makePersistent, persistentPublic } from './persistent-keys.ts'
import { AK_HANDLE, AK_TEMPLATE, EK_HANDLE, EK_TEMPLATE } from './templates.ts'
import { FileTpmStore, Tpm, type TpmOptions } from './tpm/index.ts'

/** PCR banks of a platform's TPM: those that it measures into. */
export const BANKS: readonly number[] = [TPM_ALG.SHA256, TPM_ALG.SHA384]

/** TPML_DIGEST's limit (Part 2, 10.9.4): what one TPM2_PCR_Read returns at most. */
const MAX_DIGESTS = 8
const NONE = new Uint8Array(0)
/** File in which an earlier version kept the TPM's state. */
const OLD_STATE_FILE = 'tpm.state'

/** The store of the TPM whose state lies in `folder`. Throws FormatError for a state that an earlier version left. */
export function openTpmStore(folder: string): FileTpmStore {
  const store = FileTpmStore.inFolder(folder)
  const old = join(folder, OLD_STATE_FILE)
  if (!existsSync(store.path('permanent')) && existsSync(old)) {
    const found = `expected ${store.path('permanent')}, found ${old} of an earlier version, which can not be taken over`
    const advice = 'remove it to make a new TPM, with another EK: VMs have to enrol the platform again'
    throw new FormatError('TPM state', `${found}; ${advice}, or use the version that made it`)
  }
  return store
}

/** Answer of PlatformTpm.pcrRead(). */
export interface PcrValues {
  readonly values: PcrBanks
  readonly pcrUpdateCounter: number
}

/** Parameters of TPM2_Quote. The key's own scheme is used. */
export interface QuoteRequest {
  readonly signHandle: number
  readonly qualifyingData: Uint8Array
  readonly pcrSelect: TPML_PCR_SELECTION
}

/** Answer of TPM2_Quote. */
export interface QuoteResponse {
  /** TPMS_ATTEST */
  readonly quoted: Uint8Array
  /** TPMT_SIGNATURE */
  readonly signature: Uint8Array
}

/** Answer of TPM2_ReadPublic. */
export interface ReadPublicResponse {
  /** TPMT_PUBLIC */
  readonly outPublic: Uint8Array
  readonly name: Uint8Array
  readonly qualifiedName: Uint8Array
}

/** Parameters of TPM2_ActivateCredential: the named key, and the EK that the credential was made for. */
export interface ActivateCredentialRequest extends Credential {
  readonly activateHandle: number
  readonly keyHandle: number
}

/** A platform's powered TPM. Methods throw TpmResponseError with the TPM's response code. */
export class PlatformTpm {
  /** The device, with its command interface. */
  readonly tpm: Tpm

  private constructor(tpm: Tpm) {
    this.tpm = tpm
  }

  /** Powers the TPM on, making it first when its store is empty; startup() must follow. Throws FormatError. */
  static powerOn(options: TpmOptions = {}): PlatformTpm {
    const tpm = new Tpm({ banks: BANKS, ...options })
    tpm.powerOn()
    return new PlatformTpm(tpm)
  }

  /** TPM2_Startup(CLEAR), then makes EK and AK when the TPM does not have them yet. */
  startup(): void {
    callDirectly(this.execute, TPM2_Startup, { startupType: TPM_SU.CLEAR })
    const keys = [
      { handle: EK_HANDLE, template: EK_TEMPLATE },
      { handle: AK_HANDLE, template: AK_TEMPLATE },
    ]
    for (const { handle, template } of keys) {
      if (persistentPublic(this.execute, handle) === undefined) makePersistent(this.execute, template, handle)
    }
  }

  /** The TPM's command interface, at locality 0. */
  readonly execute = (command: Uint8Array): Uint8Array => this.tpm.execute(command)

  /** TPM2_PCR_Extend: digests by bank (TPM_ALG). */
  pcrExtend(pcrHandle: number, digests: ReadonlyMap<number, Uint8Array>): void {
    const list = [...digests].map(([hashAlg, digest]) => ({ hashAlg, digest }))
    callDirectly(this.execute, TPM2_PCR_Extend, { pcrHandle, digests: list }, [passwordSession()])
  }

  /** All selected PCRs that exist, with as many TPM2_PCR_Read as that takes, and the update counter. */
  pcrRead(selection: TPML_PCR_SELECTION): PcrValues {
    const values = new Map<number, ReadonlyMap<number, Uint8Array>>()
    for (const bank of selection) values.set(bank.hash, this.#bank(bank.hash, selectedPcrs(bank)))
    const { pcrUpdateCounter } = callDirectly(this.execute, TPM2_PCR_Read, { pcrSelectionIn: [] })
    return { values, pcrUpdateCounter }
  }

  /** TPM2_Quote by a key whose authorization is empty. */
  quote({ signHandle, qualifyingData, pcrSelect }: QuoteRequest): QuoteResponse {
    const request = { signHandle, qualifyingData, inScheme: { scheme: TPM_ALG.NULL }, PCRselect: pcrSelect }
    const { quoted, signature } = callDirectly(this.execute, TPM2_Quote, request, [passwordSession()])
    return { quoted, signature: marshal(TPMT_SIGNATURE_PLUS, signature) }
  }

  /** TPM2_ReadPublic. */
  readPublic(objectHandle: number): ReadPublicResponse {
    const read = callDirectly(this.execute, TPM2_ReadPublic, { objectHandle })
    return {
      outPublic: marshal(TPMT_PUBLIC, read.outPublic),
      name: read.name,
      qualifiedName: read.qualifiedName,
    }
  }

  /**
   * TPM2_ActivateCredential: returns certInfo. `activateHandle` has no authorization; `keyHandle` is an EK, so the
   * endorsement hierarchy's secret authorizes it (EK Credential Profile, version 2.5, templates' policy).
   */
  activateCredential(request: ActivateCredentialRequest): Uint8Array {
    const policy = startPolicyDirectly(this.execute)
    try {
      callDirectly(
        this.execute,
        TPM2_PolicySecret,
        {
          authHandle: TPM_RH.ENDORSEMENT,
          policySession: policy.handle,
          nonceTPM: NONE,
          cpHashA: NONE,
          policyRef: NONE,
          expiration: 0,
        },
        [passwordSession()],
      )
      const sessions = [passwordSession(), policy.use()]
      return callDirectly(this.execute, TPM2_ActivateCredential, request, sessions).certInfo
    } finally {
      callDirectly(this.execute, TPM2_FlushContext, { flushHandle: policy.handle })
    }
  }

  /** TPM2_ReadClock. */
  readClock(): TPMS_TIME_INFO {
    return callDirectly(this.execute, TPM2_ReadClock, {}).currentTime
  }

  /** Values by PCR; those that the bank does not have are left out. */
  #bank(hash: number, wanted: readonly number[]): Map<number, Uint8Array> {
    const values = new Map<number, Uint8Array>()
    for (let start = 0; start < wanted.length; start += MAX_DIGESTS) {
      const pcrSelectionIn = [selectPcrs(hash, wanted.slice(start, start + MAX_DIGESTS))]
      const answer = callDirectly(this.execute, TPM2_PCR_Read, { pcrSelectionIn })
      const read = answer.pcrSelectionOut.flatMap(selectedPcrs)
      for (const [index, pcr] of read.entries()) {
        const value = answer.pcrValues[index]
        if (value !== undefined) values.set(pcr, value)
      }
    }
    return values
  }
}
