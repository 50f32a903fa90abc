// The event log of a TPM's boot: whether it leads to the PCRs that were quoted, and which events did. A log that does not
// is refused with the PCRs that it does not lead to, the events that were measured into them, and those that contradict
// themselves.

import { equalBytes } from '../crypto/index.ts'
import {
  bankName,
  digestCoversData,
  type EventLog,
  eventProblem,
  EV,
  parseEventLog,
  type PcrEvent,
  pcrText,
  readFirmwareLog,
  replay,
} from '../evidence/index.ts'
import { type PcrBanks, selectedPcrs, TPM_ALG, type TPML_PCR_SELECTION } from '../tpm2/index.ts'
import { Refusal, refuseAs } from './refusal.ts'
import type { QuotedEvent, QuotedPcr } from './tpm-appraisal.ts'

/** How many events a refusal names by their numbers. */
const NUMBERS_NAMED = 8

/** What is asked of a log. */
export interface LogQuestion {
  readonly eventLog: Uint8Array
  /** what was quoted */
  readonly selection: TPML_PCR_SELECTION
  /** values of all of it, proven by the quote, if there are any */
  readonly values: PcrBanks | undefined
  /** PCRs that the log need not explain */
  readonly exempt: readonly number[]
  /** whether values have the digest that was quoted */
  readonly areQuoted: (values: PcrBanks) => boolean
}

/** A PCR of a bank (TPM_ALG). */
export interface PcrPlace {
  readonly bank: number
  readonly pcr: number
}

/** The PCRs of a selection, in its order. */
export function placesOf(selection: TPML_PCR_SELECTION): PcrPlace[] {
  return selection.flatMap((bank) => selectedPcrs(bank).map((pcr) => ({ bank: bank.hash, pcr })))
}

/** The quoted PCRs, each with the events that lead to it. Throws Refusal REFUSED_EVENT_LOG. */
export function explainPcrs(question: LogQuestion): QuotedPcr[] {
  const { eventLog, selection, values, exempt, areQuoted } = question
  const places = placesOf(selection)
  const { log, replayed } = refuseAs('REFUSED_EVENT_LOG', 'event log', 'a TCG event log', () => {
    const parsed = parseLog(eventLog, selection)
    return { log: parsed, replayed: replayAll(parsed, selection) }
  })
  const valueIn = (banks: PcrBanks, { bank, pcr }: PcrPlace) => banks.get(bank)?.get(pcr)
  const leadsTo = (place: PcrPlace) => {
    const [wanted, found] = [valueIn(values ?? replayed, place), valueIn(replayed, place)]
    return wanted !== undefined && found !== undefined && equalBytes(wanted, found)
  }
  const astray = places.filter((place) => !leadsTo(place) && !exempt.includes(place.pcr))
  if (astray.length > 0) throw leadsElsewhere(log, astray)
  if (values === undefined && !areQuoted(replayed)) throw leadsElsewhere(log, measuredPlaces(log, places))
  const explained = places.filter(leadsTo)
  const [problem] = problemsOf(log, explained)
  if (problem !== undefined) throw contradiction(problem)
  return places.map((place) => ({
    ...place,
    value: valueIn(values ?? replayed, place) ?? new Uint8Array(),
    events: leadsTo(place) ? eventsOf(log, place) : undefined,
  }))
}

/** Only SHA-1 is in logs of TCG 1.2; whoever quotes another bank has a crypto-agile log, which is read strictly. */
function parseLog(bytes: Uint8Array, selection: TPML_PCR_SELECTION): EventLog {
  if (selection.every(({ hash }) => hash === TPM_ALG.SHA1)) {
    const log = readFirmwareLog(bytes)
    if (log.format === 'sha1') return log
  }
  return parseEventLog(bytes)
}

/** The banks that the log has. A PCR of another bank is not explained. */
function replayAll(log: EventLog, selection: TPML_PCR_SELECTION): PcrBanks {
  const banks = log.algorithms.map(({ algorithmId }) => algorithmId)
  const quoted = selection.map(({ hash }) => hash).filter((bank) => banks.includes(bank))
  return new Map(quoted.map((bank) => [bank, replay(log, bank)]))
}

function eventsOf(log: EventLog, { bank, pcr }: PcrPlace): QuotedEvent[] {
  return log.events.filter(isMeasuredInto([{ bank, pcr }])).map((event) => {
    const digest = event.digests.get(bank) ?? new Uint8Array()
    const { number, eventType, data } = event
    // The digests of other banks are nobody's word, unless they were quoted too.
    const coversData = digestCoversData({ eventType, data, digests: new Map([[bank, digest]]) }) === true
    return { number, eventType, data, digest, coversData }
  })
}

function isMeasuredInto(places: readonly PcrPlace[]): (event: PcrEvent) => boolean {
  return ({ pcrIndex, eventType, digests }) =>
    eventType !== EV.NO_ACTION && places.some(({ bank, pcr }) => pcr === pcrIndex && digests.has(bank))
}

/** "event 4: …" for each event of these PCRs that contradicts itself. */
function problemsOf(log: EventLog, places: readonly PcrPlace[]): string[] {
  return log.events.filter(isMeasuredInto(places)).flatMap((event) => {
    const problem = eventProblem(event)
    return problem === undefined ? [] : [`event ${String(event.number)}: ${problem}`]
  })
}

/**
 * How a log leads where it should not: " by events 1, 2 and 5" for those measured into these PCRs, and "(event 2: …)" for
 * the first of them that contradicts itself.
 */
export function wayOf(log: EventLog, places: readonly PcrPlace[]): string {
  const [problem] = problemsOf(log, places)
  const numbers = log.events.filter(isMeasuredInto(places)).map(({ number }) => number)
  return ` by ${eventsText(numbers)}${problem === undefined ? '' : ` (${problem})`}`
}

/** "event 4", "events 1, 2 and 5"; a refusal stays readable however long the log is. */
function eventsText(numbers: readonly number[]): string {
  const [first] = numbers
  if (first === undefined) return 'no event'
  if (numbers.length === 1) return `event ${String(first)}`
  const left = numbers.length - NUMBERS_NAMED
  const [named, last] =
    left > 0
      ? [numbers.slice(0, NUMBERS_NAMED), `${String(left)} more`]
      : [numbers.slice(0, -1), String(numbers.at(-1))]
  return `events ${named.join(', ')} and ${last}`
}

/** Those that the log has events of, as the digest of all does not tell which differ; all when it has none of any. */
function measuredPlaces(log: EventLog, places: readonly PcrPlace[]): readonly PcrPlace[] {
  const measured = places.filter((place) => log.events.some(isMeasuredInto([place])))
  return measured.length > 0 ? measured : places
}

function leadsElsewhere(log: EventLog, places: readonly PcrPlace[]): Refusal {
  const banks = log.algorithms.map(({ algorithmId }) => algorithmId)
  const foreign = places.find(({ bank }) => !banks.includes(bank))
  if (foreign !== undefined) {
    return new Refusal('REFUSED_EVENT_LOG', 'event log', {
      expected: `one with bank ${bankName(foreign.bank)}`,
      found: `one with ${banks.map(bankName).join(', ')}`,
      action: 'quote PCRs of a bank that the firmware logs',
    })
  }
  return new Refusal('REFUSED_EVENT_LOG', 'event log', {
    expected: `one that leads to the quoted ${places.map(pcrText).join(', ')}`,
    found: `one that leads elsewhere${wayOf(log, places)}`,
    action: 'send the log unchanged and whole, read after the quote',
  })
}

function contradiction(problem: string): Refusal {
  return new Refusal('REFUSED_EVENT_LOG', 'event log', {
    expected: 'events whose types, data and digests agree',
    found: problem,
    action: 'send the log unchanged, or the PCR values without it',
  })
}
