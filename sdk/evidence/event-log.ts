// The crypto-agile event log: what was measured into which PCR, in order. The writer and the parser share this file.
// The log itself is not trusted: only its replay to quoted PCRs makes it evidence (replay.ts).
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clauses 10.2 (TCG_PCR_EVENT2) and 10.4.5
// (TCG_EfiSpecIdEvent).

import { concatBytes, utf8 } from '../crypto/index.ts'
import { digestSize, hash, isHash, PCR_COUNT } from '../tpm2/index.ts'
import { EvidenceError } from './errors.ts'
import { EV } from './event-types.ts'
import { littleEndian, LittleEndianReader, sized } from './little-endian.ts'

/** Bytes of a log that is parsed: generous for real logs, small enough for a hostile one. */
export const MAX_LOG_BYTES = 4 * 1024 * 1024
/** Events of a log that is parsed, likewise. */
export const MAX_EVENTS = 8192
const MAX_ALGORITHMS = 16
const MAX_DIGEST = 64

const SIGNATURE = utf8('Spec ID Event03\0')
const SHA1_SIZE = 20
/** EV_NO_ACTION may name no PCR at all. */
export const NO_PCR = 0xffffffff

/** A bank of the log: TPM_ALG and its digest's size in bytes. */
export interface LogAlgorithm {
  readonly algorithmId: number
  readonly digestSize: number
}

/** TCG_PCR_EVENT2. */
export interface PcrEvent {
  /** place in the log; the Spec ID event is 0, as tpm2_eventlog counts */
  readonly number: number
  readonly pcrIndex: number
  /** a value of EV, or another number */
  readonly eventType: number
  /** digest per bank (TPM_ALG) */
  readonly digests: ReadonlyMap<number, Uint8Array>
  readonly data: Uint8Array
}

/** A parsed log. `events` does not hold the Spec ID event. */
export interface EventLog {
  readonly algorithms: readonly LogAlgorithm[]
  readonly vendorInfo: Uint8Array
  readonly events: readonly PcrEvent[]
}

/** What EventLogWriter.append() takes. */
export type NewEvent = Pick<PcrEvent, 'pcrIndex' | 'eventType' | 'digests' | 'data'>

/** The digests of `data` in each of `banks` (TPM_ALG): what most events extend. */
export function digestsOf(banks: readonly number[], data: Uint8Array): Map<number, Uint8Array> {
  return new Map(banks.map((bank) => [bank, hash(bank, data)]))
}

function header(pcrIndex: number, eventType: number): Uint8Array {
  return concatBytes(littleEndian(4, pcrIndex), littleEndian(4, eventType))
}

/** The Spec ID event, for a 64-bit PC Client platform (platformClass 0, uintnSize 2) of specification 2.0. */
function specIdEvent(banks: readonly number[]): Uint8Array {
  const algorithms = banks.map((bank) =>
    concatBytes(littleEndian(2, bank), littleEndian(2, digestSize(bank))),
  )
  const event = concatBytes(
    SIGNATURE,
    littleEndian(4, 0),
    Uint8Array.of(0, 2, 0, 2),
    littleEndian(4, banks.length),
    ...algorithms,
    Uint8Array.of(0),
  )
  return concatBytes(header(0, EV.NO_ACTION), new Uint8Array(SHA1_SIZE), sized(event))
}

/** Writes a log event by event; the platform keeps one as long as it runs. */
export class EventLogWriter {
  /** Banks of every event, as TPM_ALG. */
  readonly banks: readonly number[]
  readonly #parts: Uint8Array[]
  #length: number

  /** Throws Tpm2Error UNSUPPORTED for a bank that is no hash, RangeError for none or a repeated one. */
  constructor(banks: readonly number[]) {
    if (banks.length === 0 || new Set(banks).size !== banks.length) {
      throw new RangeError('"banks" expected one or more different banks')
    }
    this.banks = [...banks]
    const first = specIdEvent(banks)
    this.#parts = [first]
    this.#length = first.length
  }

  /**
   * Appends an event with one digest per bank. Throws RangeError for a PCR, a digest or data that does not fit, or when
   * the log is full.
   */
  append(event: NewEvent): void {
    const bytes = this.#encode(event)
    this.#parts.push(bytes)
    this.#length += bytes.length
  }

  /** Throws as append() would, and appends nothing: to be asked before a PCR is extended. */
  assertFits(event: NewEvent): void {
    this.#encode(event)
  }

  #encode(event: NewEvent): Uint8Array {
    if (!Number.isInteger(event.pcrIndex) || event.pcrIndex < 0 || event.pcrIndex >= PCR_COUNT) {
      throw new RangeError(`"pcrIndex" expected 0 to ${String(PCR_COUNT - 1)}, got ${String(event.pcrIndex)}`)
    }
    const digests = this.banks.map((bank) => {
      const digest = event.digests.get(bank)
      if (digest?.length !== digestSize(bank)) {
        throw new RangeError(`"digests" expected a digest of bank 0x${bank.toString(16)}`)
      }
      return concatBytes(littleEndian(2, bank), digest)
    })
    const bytes = concatBytes(
      header(event.pcrIndex, event.eventType),
      littleEndian(4, digests.length),
      ...digests,
      sized(event.data),
    )
    if (this.#length + bytes.length > MAX_LOG_BYTES || this.#parts.length > MAX_EVENTS) {
      const limits = `${String(MAX_EVENTS)} events and ${String(MAX_LOG_BYTES)} bytes`
      throw new RangeError(`expected a log of at most ${limits}`)
    }
    return bytes
  }

  /** The log so far. */
  bytes(): Uint8Array {
    return concatBytes(...this.#parts)
  }
}

function fail(event: number): (message: string) => never {
  return (message) => {
    throw new EvidenceError('LOG_MALFORMED', message, { event })
  }
}

function parseSpecId(data: Uint8Array): Pick<EventLog, 'algorithms' | 'vendorInfo'> {
  const refuse = fail(0)
  const reader = new LittleEndianReader(data, refuse)
  const signature = reader.bytes(SIGNATURE.length, 'signature')
  if (SIGNATURE.some((octet, index) => signature[index] !== octet)) {
    refuse('expected the signature "Spec ID Event03" of a crypto-agile log, found another')
  }
  parseVersion(reader, refuse)
  const count = reader.uint32('numberOfAlgorithms')
  if (count < 1 || count > MAX_ALGORITHMS) {
    refuse(`expected 1 to ${String(MAX_ALGORITHMS)} algorithms, found ${String(count)}`)
  }
  const algorithms = Array.from({ length: count }, () => parseAlgorithm(reader, refuse))
  if (new Set(algorithms.map((one) => one.algorithmId)).size !== count) {
    refuse('expected different algorithms, found one twice')
  }
  const vendorInfo = reader.bytes(reader.uint8('vendorInfoSize'), 'vendorInfo')
  if (reader.remaining > 0)
    refuse(`expected the end of the Spec ID event, found ${String(reader.remaining)} bytes`)
  return { algorithms, vendorInfo }
}

/** platformClass: 0 client, 1 server. uintnSize: 1 for 32 bits, 2 for 64. The errata tell nothing about the format. */
function parseVersion(reader: LittleEndianReader, refuse: (message: string) => never): void {
  const platformClass = reader.uint32('platformClass')
  const minor = reader.uint8('specVersionMinor')
  const major = reader.uint8('specVersionMajor')
  reader.uint8('specErrata')
  const uintnSize = reader.uint8('uintnSize')
  if (major !== 2 || minor !== 0) {
    refuse(`expected a log of specification version 2.0, found ${String(major)}.${String(minor)}`)
  }
  if (platformClass > 1 || (uintnSize !== 1 && uintnSize !== 2)) {
    const found = `${String(platformClass)} and ${String(uintnSize)}`
    refuse(`expected platformClass 0 or 1 and uintnSize 1 or 2, found ${found}`)
  }
}

function parseAlgorithm(reader: LittleEndianReader, refuse: (message: string) => never): LogAlgorithm {
  const algorithmId = reader.uint16('algorithmId')
  const size = reader.uint16('digestSize')
  const known = isHash(algorithmId) ? digestSize(algorithmId) : undefined
  if (size < 1 || size > MAX_DIGEST || (known !== undefined && known !== size)) {
    refuse(`expected the digest size of algorithm 0x${algorithmId.toString(16)}, found ${String(size)}`)
  }
  return { algorithmId, digestSize: size }
}

function parseDigests(
  reader: LittleEndianReader,
  algorithms: readonly LogAlgorithm[],
  refuse: (message: string) => never,
): Map<number, Uint8Array> {
  const count = reader.uint32('digest count')
  if (count !== algorithms.length) {
    refuse(`expected ${String(algorithms.length)} digests, one per bank, found ${String(count)}`)
  }
  const digests = new Map<number, Uint8Array>()
  for (let index = 0; index < count; index += 1) {
    const id = reader.uint16('algorithmId')
    const algorithm = algorithms.find((one) => one.algorithmId === id)
    if (algorithm === undefined || digests.has(id)) {
      return refuse(`expected each bank of the Spec ID event once, found algorithm 0x${id.toString(16)}`)
    }
    digests.set(id, reader.bytes(algorithm.digestSize, 'digest'))
  }
  return digests
}

function parseEvent(
  reader: LittleEndianReader,
  algorithms: readonly LogAlgorithm[],
  number: number,
): PcrEvent {
  const refuse = fail(number)
  const pcrIndex = reader.uint32('pcrIndex')
  const eventType = reader.uint32('eventType')
  const noAction = eventType === EV.NO_ACTION
  if (pcrIndex >= PCR_COUNT && !(noAction && pcrIndex === NO_PCR)) {
    refuse(`expected a PCR from 0 to ${String(PCR_COUNT - 1)}, found ${String(pcrIndex)}`)
  }
  const digests = parseDigests(reader, algorithms, refuse)
  if (noAction && [...digests.values()].some((digest) => digest.some((octet) => octet !== 0))) {
    refuse('expected zero digests in an EV_NO_ACTION event, found others')
  }
  const data = reader.bytes(reader.uint32('eventSize'), 'event data')
  return { number, pcrIndex, eventType, digests, data }
}

/**
 * Parses a crypto-agile log, strictly: Spec ID event first, one digest of every bank in each event, nothing after the
 * last event. Throws EvidenceError LOG_MALFORMED with the event's number.
 */
export function parseEventLog(bytes: Uint8Array): EventLog {
  if (bytes.length > MAX_LOG_BYTES) {
    fail(0)(`expected a log of at most ${String(MAX_LOG_BYTES)} bytes, found ${String(bytes.length)}`)
  }
  let number = 0
  const reader = new LittleEndianReader(bytes, (message) => fail(number)(message))
  const pcrIndex = reader.uint32('pcrIndex')
  const eventType = reader.uint32('eventType')
  const digest = reader.bytes(SHA1_SIZE, 'digest')
  if (pcrIndex !== 0 || eventType !== EV.NO_ACTION || digest.some((octet) => octet !== 0)) {
    fail(0)('expected the Spec ID event (EV_NO_ACTION, PCR 0, zero digest) first, found another')
  }
  const specId = parseSpecId(reader.bytes(reader.uint32('eventSize'), 'Spec ID event'))
  const events: PcrEvent[] = []
  while (reader.remaining > 0) {
    number += 1
    if (number > MAX_EVENTS) fail(number)(`expected at most ${String(MAX_EVENTS)} events, found more`)
    events.push(parseEvent(reader, specId.algorithms, number))
  }
  return { ...specId, events }
}
