// `palimpsest eventlog print | replay | diff`: event logs in files, of any PC: what was measured, which PCRs follow from
// it, and what it means when two boots differ. Nothing here is a verdict about a machine: that takes a quote (`attest`).

import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { equalBytes, hex } from '../../../sdk/crypto/index.ts'
import {
  bankName,
  decodeEvent,
  diffEventLogs,
  digestCoversData,
  type DifferenceKind,
  type EventDifference,
  eventText,
  eventTypeName,
  EvidenceError,
  type FirmwareLog,
  type PcrComparison,
  type PcrEvent,
  pcrPurpose,
  pcrText,
  readFirmwareLog,
  replay,
} from '../../../sdk/evidence/index.ts'
import { isHash, TPM_ALG } from '../../../sdk/tpm2/index.ts'
import { CommandFailure, EXIT, Output } from '../output.ts'
import { bankValue, type KnownPcr, knownPcrValue, readPcrFile } from './eventlog-pcrs.ts'

interface Flags {
  readonly json?: boolean
  readonly bank?: number
}

interface ReplayFlags extends Flags {
  readonly pcrs?: string
  readonly against?: readonly KnownPcr[]
}

const LOG =
  'event log, "-" for standard input; Linux has it in /sys/kernel/security/tpm0/binary_bios_measurements'

/** The commands that work on files, to be put into `palimpsest eventlog`. */
export function eventlogFileCommands(): Command[] {
  return [
    fileCommand('print')
      .description('Print every event of a log file, decoded.')
      .argument('<file>', LOG)
      .action((file: string, _: Flags, command: Command) => {
        print(file, flagsOf(command))
      }),
    fileCommand('replay')
      .description('Print the PCRs that a log file leads to, or compare them; exit code 1 when they differ.')
      .argument('<file>', LOG)
      .option('--pcrs <file>', 'PCRs to compare with, as tpm2_pcrread or "palimpsest pcr --json" print them')
      .addOption(
        new Option(
          '--against <pcr=value>',
          'a PCR to compare with, like sha256:0=HEX; more than once for more',
        ).argParser(knownPcrValue),
      )
      .action((file: string, _: Flags, command: Command) => {
        replayFile(file, flagsOf(command))
      }),
    fileCommand('diff')
      .description(
        'Say which events of two log files differ, and what that means; exit code 1 when PCRs differ.',
      )
      .argument('<a>', LOG)
      .argument('<b>', 'the log to compare it with')
      .action((a: string, b: string, _: Flags, command: Command) => {
        diff(a, b, flagsOf(command))
      }),
  ]
}

function fileCommand(name: string): Command {
  return new Command(name)
    .addOption(new Option('--bank <bank>', 'sha1, sha256, sha384 or sha512 only').argParser(bankValue))
    .option('--json', 'print JSON')
}

/** `eventlog` itself knows --json too, and takes it wherever it stands. */
function flagsOf(command: Command): ReplayFlags {
  return command.optsWithGlobals<ReplayFlags>()
}

function output(flags: Flags): Output {
  return new Output({ json: flags.json === true })
}

function readLog(file: string): FirmwareLog {
  const bytes = readFileSync(file === '-' ? 0 : file)
  try {
    return readFirmwareLog(new Uint8Array(bytes))
  } catch (cause) {
    if (cause instanceof EvidenceError)
      throw new CommandFailure(EXIT.usage, `${file}: ${cause.message}`, { cause })
    throw cause
  }
}

/** Banks of a log that can be computed, or the one that was asked for. */
function banksOf(file: string, log: FirmwareLog, flags: Flags): number[] {
  const banks = log.algorithms.map(({ algorithmId }) => algorithmId).filter(isHash)
  if (flags.bank === undefined) return banks
  if (banks.includes(flags.bank)) return [flags.bank]
  const has = banks.map(bankName).join(', ')
  throw new CommandFailure(EXIT.usage, `${file}: expected bank ${bankName(flags.bank)}, the log has ${has}`)
}

function replayed(file: string, log: FirmwareLog, bank: number): Map<number, Uint8Array> {
  try {
    return replay(log, bank)
  } catch (cause) {
    if (cause instanceof EvidenceError)
      throw new CommandFailure(EXIT.usage, `${file}: ${cause.message}`, { cause })
    throw cause
  }
}

/** An event as --json has it. `coversData`: whether the digest is the hash of the data; null when it is of something else. */
function eventJson(event: PcrEvent) {
  const { number, pcrIndex: pcr, eventType, digests, data } = event
  return {
    number,
    pcr,
    type: eventTypeName(eventType),
    digests: Object.fromEntries([...digests].map(([bank, digest]) => [bankName(bank), digest])),
    text: eventText(event),
    details: decodeEvent(event),
    coversData: digestCoversData(event) ?? null,
    data,
  }
}

function logJson({ format, algorithms, vendorInfo, notes, events }: FirmwareLog) {
  const banks = algorithms.map(({ algorithmId }) => bankName(algorithmId))
  return { format, banks, vendorInfo, notes, events: events.length }
}

const LINE = 600

function short(text: string): string {
  return text.length > LINE ? `${text.slice(0, LINE - 1)}…` : text
}

function print(file: string, flags: Flags): void {
  const log = readLog(file)
  const out = output(flags)
  const banks = banksOf(file, log, flags)
  const bank = flags.bank ?? (banks.includes(TPM_ALG.SHA256) ? TPM_ALG.SHA256 : banks[0])
  out.result({ ...logJson(log), events: log.events.map(eventJson) }, () => {
    const { format, banks: names } = logJson(log)
    const heading = `${format === 'sha1' ? 'TCG 1.2' : 'crypto-agile'} log, ${names.join(', ')}, ${String(log.events.length)} events`
    return [
      heading,
      ...notesOf(out, file, log),
      '',
      ...log.events.flatMap((event) => eventLines(out, event, bank)),
    ]
  })
}

function notesOf(out: Output, file: string, { notes }: FirmwareLog): string[] {
  return notes.map((note) => out.dim(`note: ${file}: ${note}`))
}

function eventLines(out: Output, event: PcrEvent, bank: number | undefined): string[] {
  const pcr = event.pcrIndex > 0xff ? '-' : String(event.pcrIndex)
  const digest = bank === undefined ? undefined : event.digests.get(bank)
  const place = `${String(event.number).padStart(4)}  PCR ${pcr.padStart(2)}`
  return [
    `${out.strong(place)}  ${eventTypeName(event.eventType)}`,
    `      ${short(eventText(event))}`,
    ...(digestCoversData(event) === false
      ? [`      ${out.bad('the digest is not that of these data: they do not tell what was measured')}`]
      : []),
    ...(bank === undefined || digest === undefined
      ? []
      : [out.dim(`      ${bankName(bank)} ${hex(digest)}`)]),
  ]
}

/** How a replayed PCR compares: 'unlogged' is one that holds something, but no event of the log is for it. */
type Verdict = 'same' | 'different' | 'unlogged'

interface ReplayedPcr extends KnownPcr {
  readonly events: number
  readonly expected?: Uint8Array
  readonly verdict?: Verdict
}

function replayFile(file: string, flags: ReplayFlags): void {
  const log = readLog(file)
  const known = [...(flags.pcrs === undefined ? [] : readPcrFile(flags.pcrs)), ...(flags.against ?? [])]
  const banks = banksOf(file, log, flags)
  const comparing = flags.pcrs !== undefined || flags.against !== undefined
  const pcrs = banks.flatMap((bank) =>
    replayedBank(
      file,
      log,
      bank,
      known.filter((one) => one.bank === bank),
      comparing,
    ),
  )
  if (comparing && pcrs.length === 0) {
    const has = banks.map(bankName).join(', ')
    throw new CommandFailure(
      EXIT.usage,
      `${file}: expected PCR values of a bank of the log (${has}), found none`,
    )
  }
  const same = pcrs.every(({ verdict }) => verdict !== 'different')
  if (!same) process.exitCode = EXIT.failed
  const out = output(flags)
  const shown = pcrs.map((one) => ({ ...one, bank: bankName(one.bank) }))
  out.result({ ...logJson(log), pcrs: shown, ...(comparing ? { same } : {}) }, () => [
    ...notesOf(out, file, log),
    ...pcrs.flatMap((one) => pcrLines(out, one)),
    ...(comparing ? ['', replayVerdict(out, pcrs)] : []),
  ])
}

/** PCRs that the log measures into; with values to compare with, those that were given. */
function replayedBank(
  file: string,
  log: FirmwareLog,
  bank: number,
  known: readonly KnownPcr[],
  comparing: boolean,
): ReplayedPcr[] {
  const reset = replayed(file, { ...log, events: [] }, bank)
  return [...replayed(file, log, bank)].flatMap(([pcr, value]) => {
    const events = log.events.filter((event) => event.pcrIndex === pcr && event.digests.has(bank)).length
    const expected = known.find((one) => one.pcr === pcr)?.value
    const found = { bank, pcr, value, events }
    if (expected === undefined) return events === 0 || comparing ? [] : [found]
    if (equalBytes(value, expected)) return [{ ...found, expected, verdict: 'same' }]
    const untouched = events === 0 && equalBytes(value, reset.get(pcr) ?? value)
    return [{ ...found, expected, verdict: untouched ? 'unlogged' : 'different' }]
  })
}

function pcrLines(out: Output, { bank, pcr, value, expected, verdict }: ReplayedPcr): string[] {
  const name = pcrText({ bank, pcr }).padEnd(9)
  if (expected === undefined || verdict === undefined) return [`${out.strong(name)}  ${hex(value)}`]
  switch (verdict) {
    case 'same':
      return [`${out.strong(name)}  ${hex(value)}  ${out.good('same')}`]
    case 'unlogged':
      return [`${out.strong(name)}  ${hex(expected)}  ${out.dim('no event of the log is for it')}`]
    case 'different':
      return [
        `${out.strong(name)}  ${hex(value)}  ${out.bad('different')}, expected`,
        `${' '.repeat(11)}${hex(expected)}`,
      ]
  }
}

function replayVerdict(out: Output, pcrs: readonly ReplayedPcr[]): string {
  const different = pcrs.filter(({ verdict }) => verdict === 'different').map(pcrText)
  if (different.length > 0) return out.bad(`the log does not lead to these PCRs: ${different.join(', ')}`)
  const same = pcrs.filter(({ verdict }) => verdict === 'same').length
  return out.good(`the log leads to all ${String(same)} PCRs it tells about`)
}

const KINDS: Readonly<Record<DifferenceKind, string>> = {
  changed: 'changed',
  removed: 'missing in the second log',
  added: 'only in the second log',
  moved: 'in another order',
  relabelled: 'under another type',
  explained: 'described differently',
}

function diff(a: string, b: string, flags: Flags): void {
  const [before, after] = [readLog(a), readLog(b)]
  const banks = banksOf(a, before, flags)
  banksOf(b, after, flags)
  let found
  try {
    found = diffEventLogs(before, after, banks)
  } catch (cause) {
    if (cause instanceof EvidenceError)
      throw new CommandFailure(EXIT.usage, `${a}, ${b}: ${cause.message}`, { cause })
    throw cause
  }
  if (!found.same) process.exitCode = EXIT.failed
  const { same, differences, pcrs } = found
  const out = output(flags)
  const json = {
    same,
    banks: found.banks.map(bankName),
    a: logJson(before),
    b: logJson(after),
    differences: differences.map((one) => ({
      ...one,
      before: one.before === undefined ? null : eventJson(one.before),
      after: one.after === undefined ? null : eventJson(one.after),
    })),
    pcrs: pcrs.map((one) => ({ ...one, bank: bankName(one.bank) })),
    differing: differing(pcrs),
  }
  out.result(json, () => [
    ...notesOf(out, a, before),
    ...notesOf(out, b, after),
    ...differenceLines(out, differences),
    ...verdictLines(out, pcrs, differences),
  ])
}

/** PCRs that differ in any bank. */
function differing(pcrs: readonly PcrComparison[]): number[] {
  return [...new Set(pcrs.filter((one) => !one.same).map(({ pcr }) => pcr))].sort((a, b) => a - b)
}

function differenceLines(out: Output, differences: readonly EventDifference[]): string[] {
  let heading: number | undefined
  return differences.flatMap((one) => {
    const lines = heading === one.pcr ? [] : [out.strong(`PCR ${pcrName(one.pcr)}`)]
    heading = one.pcr
    const { before, after } = one
    const numbers = [before, after].flatMap((event) => (event === undefined ? [] : [String(event.number)]))
    const place = `event ${[...new Set(numbers)].join(' -> ')}`
    const type = eventTypeName((after ?? before)?.eventType ?? 0)
    lines.push(`  ${place}, ${type}: ${KINDS[one.kind]}`)
    const mark = (sign: string, event: PcrEvent | undefined, paint: (text: string) => string) => {
      if (event !== undefined) lines.push(paint(`    ${sign} ${short(eventText(event))}`))
    }
    if (one.kind !== 'moved') {
      mark('-', before, (text) => out.bad(text))
      mark('+', after, (text) => out.good(text))
    } else mark(' ', after, (text) => out.dim(text))
    return [...lines, `    ${one.meaning}`, '']
  })
}

function pcrName(pcr: number): string {
  return pcr > 0xff ? '-' : `${String(pcr)}: ${pcrPurpose(pcr)}`
}

function verdictLines(
  out: Output,
  pcrs: readonly PcrComparison[],
  differences: readonly EventDifference[],
): string[] {
  const changed = differing(pcrs)
  const others = [...new Set(pcrs.map(({ pcr }) => pcr))].filter((pcr) => !changed.includes(pcr))
  const banks = [...new Set(pcrs.map(({ bank }) => bankName(bank)))].join(', ')
  const list = (numbers: readonly number[]) => (numbers.length === 0 ? 'none' : numbers.join(', '))
  if (changed.length > 0) {
    return [`${out.bad(`PCRs that differ: ${list(changed)}`)}; the same: ${list(others)} (${banks})`]
  }
  const measured = differences.some((one) => one.measured)
  const verdict = measured
    ? out.bad('the PCRs are the same, the measurements are not')
    : out.good('the same measurements')
  return [`${verdict}; PCRs ${list(others)} are the same (${banks})`]
}
