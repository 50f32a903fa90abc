// What the platform says about itself: PCRs, quotes, event log, launch reports. PCRs can be read and extended, never set
// (feature P-09). A restricted key in the TPM signs quotes; the report key signs launch reports.

import { firmwareManifestDigest, signLaunchReport, type LaunchKind } from '../../sdk/evidence/index.ts'
import { PalimpsestError, type PcrSelection, type PcrValue, type Quote } from '../../sdk/rpc/index.ts'
import { PCR_COUNT, selectPcrs, TpmResponseError, type TPMS_PCR_SELECTION } from '../../sdk/tpm2/index.ts'
import type { PlatformCredentials } from './endorsement.ts'
import { measureEvent, type Firmware, type MeasuredBoot } from './firmware/index.ts'
import { BANKS, type PlatformTpm } from './platform-tpm.ts'
import { invalid } from './refusals.ts'
import { AK_HANDLE, EK_HANDLE } from './templates.ts'

/** Largest extraData: some real TPMs allow no more. */
const MAX_QUALIFYING_DATA = 34
/** Largest event that the host may log; the log is bounded as a whole too. */
const MAX_EVENT_BYTES = 64 * 1024
const DIGEST = 32

/** A booted platform's parts that speak for it. */
export interface AttestationParts {
  readonly device: PlatformTpm
  readonly boot: MeasuredBoot
  readonly firmware: Firmware
  readonly credentials: PlatformCredentials
}

/** What differs from report to report. */
export interface ReportSubject {
  readonly kind: LaunchKind
  readonly vm: string
  /** SHA-256 of the image, 32 bytes; zeros for a guest */
  readonly measurement: Uint8Array
  /** SEV-SNP launch digest, 48 bytes; zeros for a guest */
  readonly launchDigest: Uint8Array
  readonly note: string
  /** digest of the owner's identity key, 32 bytes; zeros for a worker */
  readonly ownerIdKeyDigest: Uint8Array
}

/** What ends a worker's lease. */
export interface PlatformState {
  readonly resetCount: number
  readonly pcrUpdateCounter: number
  /** Milliseconds of platform time. */
  readonly clock: bigint
}

/** The platform's word. */
export class Attestation {
  readonly #parts: AttestationParts
  readonly #platformId: Uint8Array

  constructor(parts: AttestationParts) {
    this.#parts = parts
    this.#platformId = parts.device.readPublic(EK_HANDLE).name
  }

  /** Keys and certificates. */
  get endorsement(): PlatformCredentials['endorsement'] {
    return this.#parts.credentials.endorsement
  }

  /** The firmware that was booted. */
  get firmware(): Firmware {
    return this.#parts.firmware
  }

  /** The firmware manifest that was measured, or no bytes. */
  get firmwareManifest(): Uint8Array {
    return this.#parts.boot.manifestBytes ?? new Uint8Array(0)
  }

  /** Boots, PCR changes and time. */
  state(): PlatformState {
    const { clock, resetCount } = this.#parts.device.readClock().clockInfo
    return { resetCount, clock, pcrUpdateCounter: this.#parts.device.pcrRead([]).pcrUpdateCounter }
  }

  /** TPM2_PCR_Read. @throws INVALID_ARGUMENT */
  readPcrs(selection: PcrSelection): { readonly values: PcrValue[]; readonly updateCounter: number } {
    const { values, pcrUpdateCounter } = this.#parts.device.pcrRead([checkSelection(selection)])
    const ofBank = values.get(selection.hash) ?? new Map<number, Uint8Array>()
    return {
      values: [...ofBank].map(([pcr, value]) => ({ pcr, value })),
      updateCounter: pcrUpdateCounter,
    }
  }

  /** Extends a PCR by the hash of `data` in every bank, and logs the event. @throws INVALID_ARGUMENT, RESOURCE_EXHAUSTED */
  extendPcr(pcr: number, eventType: number, data: Uint8Array): number {
    if (data.length > MAX_EVENT_BYTES) {
      throw invalid('event', `expected at most ${MAX_EVENT_BYTES} bytes, found ${data.length}`)
    }
    if (pcr >= PCR_COUNT) throw invalid('pcr', `expected 0..${PCR_COUNT - 1}, found ${pcr}`)
    const { device, boot } = this.#parts
    try {
      measureEvent(device, boot.log, { pcr, eventType, data })
    } catch (cause) {
      if (cause instanceof TpmResponseError) throw invalid('pcr', cause.message)
      if (!(cause instanceof RangeError)) throw cause
      throw new PalimpsestError('RESOURCE_EXHAUSTED', `${cause.message}: reset the platform`, { cause })
    }
    return device.pcrRead([]).pcrUpdateCounter
  }

  /** TPM2_Quote with the attestation key. @throws INVALID_ARGUMENT */
  quote(selection: PcrSelection, qualifyingData: Uint8Array): Quote {
    if (qualifyingData.length > MAX_QUALIFYING_DATA) {
      const found = `${qualifyingData.length}: hash what you bind`
      throw invalid('qualifyingData', `expected at most ${MAX_QUALIFYING_DATA} bytes, found ${found}`)
    }
    const pcrSelect = [checkSelection(selection)]
    const { quoted, signature } = this.#parts.device.quote({
      signHandle: AK_HANDLE,
      qualifyingData,
      pcrSelect,
    })
    return { attest: quoted, signature }
  }

  /** The event log since boot. */
  eventLog(): Uint8Array {
    return this.#parts.boot.log.bytes()
  }

  /** TPM2_ActivateCredential for EK and AK. @throws REFUSED_ENROLMENT */
  activateCredential(credentialBlob: Uint8Array, secret: Uint8Array): Uint8Array {
    try {
      return this.#parts.device.activateCredential({
        activateHandle: AK_HANDLE,
        keyHandle: EK_HANDLE,
        credentialBlob,
        secret,
      })
    } catch (cause) {
      if (!(cause instanceof TpmResponseError)) throw cause
      const message = `expected a credential for this platform's EK and AK: ${cause.message}`
      throw new PalimpsestError('REFUSED_ENROLMENT', message, {
        cause,
        metadata: { expected: "a credential made for GetEndorsement's keys", found: cause.message },
      })
    }
  }

  /** A launch report with 32 bytes of the VM's data, or none for zeros. @throws INVALID_ARGUMENT */
  report(subject: ReportSubject, reportData: Uint8Array): Uint8Array {
    if (reportData.length !== 0 && reportData.length !== DIGEST) {
      throw invalid('reportData', `expected ${DIGEST} bytes or none, found ${reportData.length}`)
    }
    const { boot, firmware, credentials } = this.#parts
    const { clock, resetCount } = this.state()
    return signLaunchReport(
      {
        ...subject,
        reportData: reportData.length === 0 ? new Uint8Array(DIGEST) : reportData,
        platformId: this.#platformId,
        firmwareImageDigest: firmware.digest,
        firmwareManifestDigest:
          boot.manifestBytes === undefined
            ? new Uint8Array(DIGEST)
            : firmwareManifestDigest(boot.manifestBytes),
        svn: boot.manifest?.svn ?? 0,
        emulated: true,
        debug: false,
        resetCount,
        clock,
      },
      credentials.reportKey,
    )
  }
}

function checkSelection({ hash, pcrs }: PcrSelection): TPMS_PCR_SELECTION {
  if (!BANKS.includes(hash)) {
    const banks = BANKS.map((bank) => `0x${bank.toString(16)}`).join(', ')
    throw invalid('selection.hash', `expected one of the banks ${banks}, found 0x${hash.toString(16)}`)
  }
  pcrs.forEach((pcr, position) => {
    if (pcr >= PCR_COUNT)
      throw invalid(`selection.pcrs[${position}]`, `expected 0..${PCR_COUNT - 1}, found ${pcr}`)
    if (position > 0 && pcr <= (pcrs[position - 1] ?? 0)) {
      throw invalid(
        `selection.pcrs[${position}]`,
        'expected PCRs in ascending order, each once, found another order',
      )
    }
  })
  return selectPcrs(hash, pcrs)
}
