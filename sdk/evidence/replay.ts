// Replay: the PCR values that a log leads to. Equal to the quoted ones, the log's digests are what was measured.
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clause 10.4.5.3 (startup locality).

import { equalBytes, utf8 } from '../crypto/index.ts'
import { hash, PCR_COUNT, type PcrBanks, pcrResetValue } from '../tpm2/index.ts'
import { EvidenceError } from './errors.ts'
import { type EventLog, type PcrEvent } from './event-log.ts'
import { EV } from './event-types.ts'

const STARTUP_LOCALITY = utf8('StartupLocality\0')
/** TPM2_Startup comes from locality 0 or 3; 4 stands for a hardware CRTM. */
const STARTUP_LOCALITIES = [0, 3, 4]

function startupLocality(event: PcrEvent): number | undefined {
  const name = event.data.subarray(0, STARTUP_LOCALITY.length)
  if (event.eventType !== EV.NO_ACTION || !equalBytes(name, STARTUP_LOCALITY)) return undefined
  const locality = event.data[STARTUP_LOCALITY.length]
  const known = locality !== undefined && STARTUP_LOCALITIES.includes(locality)
  if (!known || event.pcrIndex !== 0 || event.data.length !== STARTUP_LOCALITY.length + 1) {
    throw new EvidenceError(
      'LOG_MALFORMED',
      'expected StartupLocality 0, 3 or 4 for PCR 0, found another event',
      {
        event: event.number,
      },
    )
  }
  return locality
}

/**
 * The values of all PCRs of `bank` (TPM_ALG) that the log leads to from a reset, by PCR number.
 * Throws EvidenceError LOG_MALFORMED when the log has no such bank or sets PCR 0's locality after measuring into it.
 */
export function replay(log: EventLog, bank: number): Map<number, Uint8Array> {
  if (!log.algorithms.some((algorithm) => algorithm.algorithmId === bank)) {
    throw new EvidenceError('LOG_MALFORMED', `expected a log with bank 0x${bank.toString(16)}, found none`, {
      event: 0,
    })
  }
  const pcrs = new Map(Array.from({ length: PCR_COUNT }, (_, pcr) => [pcr, pcrResetValue(pcr, bank)]))
  const extended = new Set<number>()
  for (const event of log.events) {
    const locality = startupLocality(event)
    if (locality !== undefined) {
      if (extended.has(0)) {
        throw new EvidenceError('LOG_MALFORMED', 'expected StartupLocality before the first event of PCR 0', {
          event: event.number,
        })
      }
      pcrs.set(0, pcrResetValue(0, bank, locality))
    }
    const digest = event.digests.get(bank)
    const value = pcrs.get(event.pcrIndex)
    if (event.eventType === EV.NO_ACTION || digest === undefined || value === undefined) continue
    pcrs.set(event.pcrIndex, hash(bank, value, digest))
    extended.add(event.pcrIndex)
  }
  return pcrs
}

/** The replayed PCRs of all of the log's given banks, in the shape that pcrDigest() takes. */
export function replayBanks(log: EventLog, banks: readonly number[]): PcrBanks {
  return new Map(banks.map((bank) => [bank, replay(log, bank)]))
}
