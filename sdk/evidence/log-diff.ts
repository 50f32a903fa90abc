// Which events of two logs differ, and which PCRs do. Events are aligned PCR by PCR, because a PCR depends on the order
// of its own events only: a longest common subsequence of equal measurements, then what is left over is paired by what
// it is about (the same variable, the same path), so that "changed" is not shown as "removed and added".

import { equalBytes, hex } from '../crypto/index.ts'
import { EvidenceError } from './errors.ts'
import { decodeEvent } from './event-data.ts'
import { type EventLog, type PcrEvent } from './event-log.ts'
import { EV } from './event-types.ts'
import { type DifferenceKind, meaningOf } from './log-meaning.ts'
import { replay } from './replay.ts'

/** One difference. `before` is of the first log, `after` of the second; one is absent for removed and added. */
export interface EventDifference {
  readonly kind: DifferenceKind
  readonly pcr: number
  readonly before: PcrEvent | undefined
  readonly after: PcrEvent | undefined
  /** whether it changes a PCR; relabelled, explained and most EV_NO_ACTION do not */
  readonly measured: boolean
  /** what that means, in a sentence or two */
  readonly meaning: string
}

/** A PCR that at least one of the logs measures into, in one bank (TPM_ALG). */
export interface PcrComparison {
  readonly bank: number
  readonly pcr: number
  readonly before: Uint8Array
  readonly after: Uint8Array
  readonly same: boolean
}

/** What diffEventLogs() finds. */
export interface LogComparison {
  /** the logs lead to the same PCRs by the same measurements in every bank that both have */
  readonly same: boolean
  /** banks (TPM_ALG) that both logs have: what was compared */
  readonly banks: readonly number[]
  /** by PCR, then in the order of the logs */
  readonly differences: readonly EventDifference[]
  readonly pcrs: readonly PcrComparison[]
}

interface Keyed {
  readonly event: PcrEvent
  /** equal for equal measurements */
  readonly digest: string
  readonly key: string
  /** equal for events about the same thing */
  readonly subject: string
  /** the subject is a name, which an event keeps wherever in its PCR's sequence it stands */
  readonly named: boolean
}

interface Pair {
  readonly kind: DifferenceKind
  readonly before: Keyed | undefined
  readonly after: Keyed | undefined
}

/** What an event is about: two events of one subject are the same thing before and after. */
function subjectOf(event: PcrEvent): Pick<Keyed, 'subject' | 'named'> {
  const details = decodeEvent(event)
  const about = (text: string, named: boolean) => ({ subject: `${String(event.eventType)} ${text}`, named })
  switch (details.kind) {
    case 'variable':
      // EV_EFI_VARIABLE_AUTHORITY has the same variable once per key that was used.
      return about(`${details.guid} ${details.name}`, details.value.kind !== 'authority')
    case 'image':
      return about(details.path, details.path !== '')
    case 'blob':
      return about(details.base.toString(), true)
    case 'tag':
      return about(String(details.tag), true)
    case 'text':
      // "kernel_cmdline: …", "grub_cmd: set root=…": the words that say what it is.
      return about(details.text.split('=')[0]?.split(' ').slice(0, 3).join(' ') ?? '', false)
    default:
      return about('', false)
  }
}

function keyed(event: PcrEvent, banks: readonly number[]): Keyed {
  const informative = event.eventType === EV.NO_ACTION
  const digest = informative
    ? `data ${hex(event.data)}`
    : banks.map((bank) => hex(event.digests.get(bank) ?? new Uint8Array())).join(' ')
  return { event, digest, key: `${String(event.eventType)} ${digest}`, ...subjectOf(event) }
}

/** A gap between matches: what only one of the sequences has there. */
interface Gap {
  readonly before: Keyed[]
  readonly after: Keyed[]
}

/** Longest common subsequence by key: the matched pairs, and the gaps between them. */
function align(
  before: readonly Keyed[],
  after: readonly Keyed[],
): { matches: [Keyed, Keyed][]; gaps: Gap[] } {
  const width = after.length + 1
  // lengths[b * width + a]: how much before[b..] and after[a..] have in common. Logs have at most 8192 events.
  const lengths = new Uint16Array((before.length + 1) * width)
  const length = (b: number, a: number) => lengths[b * width + a] ?? 0
  for (let b = before.length - 1; b >= 0; b -= 1) {
    for (let a = after.length - 1; a >= 0; a -= 1) {
      lengths[b * width + a] =
        before[b]?.key === after[a]?.key
          ? length(b + 1, a + 1) + 1
          : Math.max(length(b + 1, a), length(b, a + 1))
    }
  }
  const matches: [Keyed, Keyed][] = []
  const gaps: Gap[] = [{ before: [], after: [] }]
  let [b, a] = [0, 0]
  while (b < before.length || a < after.length) {
    const [left, right] = [before[b], after[a]]
    if (left !== undefined && right !== undefined && left.key === right.key) {
      matches.push([left, right])
      gaps.push({ before: [], after: [] })
      b += 1
      a += 1
    } else if (left !== undefined && (right === undefined || length(b + 1, a) >= length(b, a + 1))) {
      gaps.at(-1)?.before.push(left)
      b += 1
    } else if (right !== undefined) {
      gaps.at(-1)?.after.push(right)
      a += 1
    }
  }
  return { matches, gaps }
}

/** Takes pairs with equal `by` out of a gap, in order. */
function pairOff(gap: Gap, kind: DifferenceKind, by: (one: Keyed) => string, pairs: Pair[]): void {
  for (const before of [...gap.before]) {
    const at = gap.after.findIndex((after) => by(after) === by(before))
    if (at < 0) continue
    const [after] = gap.after.splice(at, 1)
    gap.before.splice(gap.before.indexOf(before), 1)
    pairs.push({ kind, before, after })
  }
}

/**
 * As many of a type on both sides of a gap are taken for each other: there is nothing better to tell them by. A variable
 * is never taken for another one.
 */
function pairByType(gap: Gap, pairs: Pair[]): void {
  const typeOf = ({ event, subject }: Keyed) =>
    decodeEvent(event).kind === 'variable' ? subject : String(event.eventType)
  const count = (events: readonly Keyed[], type: string) =>
    events.filter((one) => typeOf(one) === type).length
  const even = new Set(
    gap.before.map(typeOf).filter((type) => count(gap.before, type) === count(gap.after, type)),
  )
  const part = {
    before: gap.before.filter((one) => even.has(typeOf(one))),
    after: gap.after.filter((one) => even.has(typeOf(one))),
  }
  gap.before.splice(0, Infinity, ...gap.before.filter((one) => !even.has(typeOf(one))))
  gap.after.splice(0, Infinity, ...gap.after.filter((one) => !even.has(typeOf(one))))
  pairOff(part, 'changed', typeOf, pairs)
}

const extendsPcr = ({ event }: Keyed): boolean => event.eventType !== EV.NO_ACTION

/** The same measurements in the same order lead to the same PCR: such events differ in type or data only. */
function pairsOf(before: readonly Keyed[], after: readonly Keyed[]): Pair[] {
  const [left, right] = [before.filter(extendsPcr), after.filter(extendsPcr)]
  const same = left.length === right.length && left.every(({ digest }, at) => digest === right[at]?.digest)
  if (!same) return alignedPairs(before, after)
  const notes = [before, after].map((list) => list.filter((one) => !extendsPcr(one)))
  const [notesBefore = [], notesAfter = []] = notes
  return [
    ...left.flatMap((one, at) => describedDifferently(one, right[at])),
    ...alignedPairs(notesBefore, notesAfter),
  ]
}

function describedDifferently(before: Keyed, after: Keyed | undefined): Pair[] {
  if (after === undefined) return []
  if (before.key !== after.key) return [{ kind: 'relabelled', before, after }]
  return equalBytes(before.event.data, after.event.data) ? [] : [{ kind: 'explained', before, after }]
}

function alignedPairs(before: readonly Keyed[], after: readonly Keyed[]): Pair[] {
  const { matches, gaps } = align(before, after)
  const pairs: Pair[] = matches
    .filter(([left, right]) => !equalBytes(left.event.data, right.event.data))
    .map(([left, right]) => ({ kind: 'explained', before: left, after: right }))
  const all = { before: gaps.flatMap((gap) => gap.before), after: gaps.flatMap((gap) => gap.after) }
  pairOff(all, 'moved', ({ key }) => key, pairs)
  const names = { before: all.before.filter((one) => one.named), after: all.after.filter((one) => one.named) }
  pairOff(names, 'changed', ({ subject }) => subject, pairs)
  const paired = new Set(pairs.flatMap((pair) => [pair.before, pair.after]))
  for (const gap of gaps) {
    const rest = {
      before: gap.before.filter((one) => !paired.has(one)),
      after: gap.after.filter((one) => !paired.has(one)),
    }
    pairOff(rest, 'relabelled', ({ digest }) => digest, pairs)
    pairOff(rest, 'changed', ({ subject }) => subject, pairs)
    pairByType(rest, pairs)
    for (const one of rest.before) pairs.push({ kind: 'removed', before: one, after: undefined })
    for (const one of rest.after) pairs.push({ kind: 'added', before: undefined, after: one })
  }
  return pairs
}

function isMeasured({ kind, before, after }: Pair): boolean {
  if (kind === 'relabelled' || kind === 'explained') return false
  // EV_NO_ACTION extends nothing, but the locality of the startup is PCR 0's first value.
  return [before, after].some(
    (one) =>
      one !== undefined &&
      (one.event.eventType !== EV.NO_ACTION ||
        (kind !== 'moved' && decodeEvent(one.event).kind === 'locality')),
  )
}

function differencesOf(pcr: number, before: readonly Keyed[], after: readonly Keyed[]): EventDifference[] {
  const place = (pair: Pair) => (pair.after ?? pair.before)?.event.number ?? 0
  return pairsOf(before, after)
    .sort((a, b) => place(a) - place(b))
    .map((pair) => {
      const events = { kind: pair.kind, pcr, before: pair.before?.event, after: pair.after?.event }
      return { ...events, measured: isMeasured(pair), meaning: meaningOf(events) }
    })
}

function comparePcrs(
  before: EventLog,
  after: EventLog,
  banks: readonly number[],
  pcrs: readonly number[],
): PcrComparison[] {
  return banks.flatMap((bank) => {
    const [left, right] = [replay(before, bank), replay(after, bank)]
    return pcrs.flatMap((pcr) => {
      const [one, other] = [left.get(pcr), right.get(pcr)]
      if (one === undefined || other === undefined) return []
      return [{ bank, pcr, before: one, after: other, same: equalBytes(one, other) }]
    })
  })
}

/**
 * Compares two logs in the banks that both have. Throws EvidenceError LOG_MALFORMED when they have no bank in common
 * that is computed here, or when one does not replay.
 */
export function diffEventLogs(before: EventLog, after: EventLog, banks: readonly number[]): LogComparison {
  const has = (log: EventLog, bank: number) => log.algorithms.some((one) => one.algorithmId === bank)
  const common = banks.filter((bank) => has(before, bank) && has(after, bank))
  if (common.length === 0) {
    throw new EvidenceError('LOG_MALFORMED', 'expected two logs with a bank in common, found none')
  }
  const pcrs = [...new Set([...before.events, ...after.events].map((event) => event.pcrIndex))].sort(
    (a, b) => a - b,
  )
  const of = (log: EventLog, pcr: number) =>
    log.events.filter((event) => event.pcrIndex === pcr).map((event) => keyed(event, common))
  const differences = pcrs.flatMap((pcr) => differencesOf(pcr, of(before, pcr), of(after, pcr)))
  const compared = comparePcrs(before, after, common, pcrs)
  const same = compared.every((one) => one.same) && !differences.some((one) => one.measured)
  return { same, banks: common, differences, pcrs: compared }
}
