// Event logs as firmware, boot loaders and operating systems hand them over, for people who look at them: both formats,
// and the liberties that real logs take. Verifiers use parseEventLog(), which takes none.
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clauses 10.2.1 (TCG_PCR_EVENT, the format
// of TCG 1.2) and 10.2.2 (TCG_PCR_EVENT2); TCG ACPI Specification 1.3, clause 8 (the area that holds a log).

import { digestSize, isHash, PCR_COUNT, TPM_ALG } from '../tpm2/index.ts'
import { EvidenceError } from './errors.ts'
import {
  type EventLog,
  type LogAlgorithm,
  MAX_EVENTS,
  MAX_LOG_BYTES,
  NO_PCR,
  type PcrEvent,
} from './event-log.ts'
import { EV } from './event-types.ts'
import { LittleEndianReader } from './little-endian.ts'

/** A log of either format. */
export interface FirmwareLog extends EventLog {
  /** 'crypto-agile': TCG_PCR_EVENT2, a digest per bank. 'sha1': TCG_PCR_EVENT, the format of TCG 1.2. */
  readonly format: 'crypto-agile' | 'sha1'
  /** what the log does that a strict reader refuses, in words; empty for most */
  readonly notes: readonly string[]
}

const CRYPTO_AGILE = 'Spec ID Event03\0'
const MAX_ALGORITHMS = 16
const MAX_DIGEST = 64
const HEADER = 8

class LogReader {
  readonly notes = new Set<string>()
  readonly #bytes: Uint8Array
  readonly #reader: LittleEndianReader
  #event = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    if (bytes.length > MAX_LOG_BYTES) {
      this.refuse(`expected a log of at most ${String(MAX_LOG_BYTES)} bytes, found ${String(bytes.length)}`)
    }
    this.#reader = new LittleEndianReader(bytes, (message) => this.refuse(message))
  }

  read(): FirmwareLog {
    if (this.#atPadding()) this.refuse('expected an event log, found nothing or only padding')
    const first = this.#sha1Event()
    const name = new TextDecoder('latin1').decode(first.data.subarray(0, CRYPTO_AGILE.length))
    if (first.eventType !== EV.NO_ACTION || name !== CRYPTO_AGILE) return this.#sha1Log(first)
    const { algorithms, vendorInfo } = this.#specId(first.data)
    const events = this.#events(() => this.#agileEvent(algorithms))
    return { format: 'crypto-agile', algorithms, vendorInfo, events, notes: [...this.notes] }
  }

  /** TCG 1.2: every event has one SHA-1 digest; the first is an event like the others. */
  #sha1Log(first: PcrEvent): FirmwareLog {
    const algorithms = [{ algorithmId: TPM_ALG.SHA1, digestSize: digestSize(TPM_ALG.SHA1) }]
    const events = [first, ...this.#events(() => this.#sha1Event())]
    const notes = [...this.notes]
    return { format: 'sha1', algorithms, vendorInfo: new Uint8Array(), events, notes }
  }

  #events(next: () => PcrEvent): PcrEvent[] {
    const events: PcrEvent[] = []
    while (!this.#atPadding()) {
      this.#event += 1
      if (this.#event > MAX_EVENTS) this.refuse(`expected at most ${String(MAX_EVENTS)} events, found more`)
      events.push(next())
    }
    return events
  }

  /** ACPI gives a log an area of fixed size; what is not used of it reads as zeros, or as erased flash does. */
  #atPadding(): boolean {
    const { remaining } = this.#reader
    if (remaining === 0) return true
    const rest = this.#bytes.subarray(this.#bytes.length - remaining)
    const filler = rest[0]
    if ((filler !== 0 && filler !== 0xff) || rest.some((octet) => octet !== filler)) return false
    this.notes.add(`${String(remaining)} bytes of padding after the last event`)
    return true
  }

  #header(): Pick<PcrEvent, 'number' | 'pcrIndex' | 'eventType'> {
    const pcrIndex = this.#reader.uint32('pcrIndex')
    const eventType = this.#reader.uint32('eventType')
    if (pcrIndex >= PCR_COUNT && !(eventType === EV.NO_ACTION && pcrIndex === NO_PCR)) {
      this.refuse(`expected a PCR from 0 to ${String(PCR_COUNT - 1)}, found ${String(pcrIndex)}`)
    }
    return { number: this.#event, pcrIndex, eventType }
  }

  #data(): Uint8Array {
    return this.#reader.bytes(this.#reader.uint32('eventSize'), 'event data')
  }

  #sha1Event(): PcrEvent {
    if (this.#reader.remaining < HEADER) this.refuse('expected an event log, found less than one event')
    const header = this.#header()
    const digests = new Map([[TPM_ALG.SHA1, this.#reader.bytes(digestSize(TPM_ALG.SHA1), 'digest')]])
    return { ...header, digests, data: this.#data() }
  }

  #agileEvent(algorithms: readonly LogAlgorithm[]): PcrEvent {
    const header = this.#header()
    const count = this.#reader.uint32('digest count')
    if (count > MAX_ALGORITHMS) {
      this.refuse(`expected at most ${String(MAX_ALGORITHMS)} digests, found ${String(count)}`)
    }
    const digests = new Map<number, Uint8Array>()
    for (let index = 0; index < count; index += 1) {
      const bank = this.#reader.uint16('algorithmId')
      const known = algorithms.find((one) => one.algorithmId === bank)?.digestSize
      const size = known ?? (isHash(bank) ? digestSize(bank) : undefined)
      if (size === undefined || digests.has(bank)) {
        return this.refuse(`expected a bank of the log once, found algorithm 0x${bank.toString(16)}`)
      }
      if (known === undefined)
        this.notes.add(`digests of bank 0x${bank.toString(16)}, which the log does not name`)
      digests.set(bank, this.#reader.bytes(size, 'digest'))
    }
    if (algorithms.some(({ algorithmId }) => !digests.has(algorithmId))) {
      this.notes.add('events without a digest of every bank: the banks that lack one replay to fewer events')
    }
    return { ...header, digests, data: this.#data() }
  }

  #specId(data: Uint8Array): Pick<EventLog, 'algorithms' | 'vendorInfo'> {
    const reader = new LittleEndianReader(data, (message) => this.refuse(message))
    reader.bytes(CRYPTO_AGILE.length + 8, 'signature, platformClass, version, errata and uintnSize')
    const count = reader.uint32('numberOfAlgorithms')
    if (count < 1 || count > MAX_ALGORITHMS) {
      this.refuse(`expected 1 to ${String(MAX_ALGORITHMS)} algorithms, found ${String(count)}`)
    }
    const algorithms = Array.from({ length: count }, () => {
      const algorithmId = reader.uint16('algorithmId')
      const size = reader.uint16('digestSize')
      if (size < 1 || size > MAX_DIGEST || (isHash(algorithmId) && digestSize(algorithmId) !== size)) {
        this.refuse(
          `expected the digest size of algorithm 0x${algorithmId.toString(16)}, found ${String(size)}`,
        )
      }
      return { algorithmId, digestSize: size }
    })
    if (new Set(algorithms.map((one) => one.algorithmId)).size !== count) {
      this.refuse('expected different algorithms, found one twice')
    }
    const vendorSize = reader.remaining > 0 ? reader.uint8('vendorInfoSize') : 0
    const inside = reader.bytes(Math.min(vendorSize, reader.remaining), 'vendorInfo')
    const beyond = vendorSize - inside.length
    if (beyond === 0) return { algorithms, vendorInfo: inside }
    this.notes.add('vendor information that the size of the Spec ID event does not count')
    return { algorithms, vendorInfo: Uint8Array.of(...inside, ...this.#reader.bytes(beyond, 'vendorInfo')) }
  }

  refuse(message: string): never {
    throw new EvidenceError('LOG_MALFORMED', message, { event: this.#event })
  }
}

/**
 * Reads a log of either TCG format with the tolerance that looking at real ones needs: padding behind the last event,
 * events without a digest of each bank, digests in events that measure nothing. `notes` say what was tolerated.
 * Not for appraisal: verifiers take parseEventLog(), and this for the format of TCG 1.2 only, which replay has to prove
 * just as well. Throws EvidenceError LOG_MALFORMED with the event's number.
 */
export function readFirmwareLog(bytes: Uint8Array): FirmwareLog {
  return new LogReader(bytes).read()
}
