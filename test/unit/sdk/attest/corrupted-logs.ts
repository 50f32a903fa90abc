// Every way to corrupt an event log: bits of each field, cuts, another order, counts that promise too much. The layout is
// read here by itself, so that the reader that is tested does not say where its fields are.
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clauses 10.2.2 (TCG_PCR_EVENT2) and 10.4.5.

/** Where an event of the log lies, and its fields. */
export interface Placed {
  /** as tpm2_eventlog counts: the Spec ID event is 0 */
  readonly number: number
  readonly start: number
  readonly end: number
  readonly pcr: number
  readonly type: number
  readonly fields: readonly Field[]
}

/** A field of an event. */
export interface Field {
  readonly name: 'pcrIndex' | 'eventType' | 'count' | 'algorithm' | 'digest' | 'eventSize' | 'data'
  readonly start: number
  readonly length: number
}

const DIGEST_BYTES: Readonly<Record<number, number>> = { 4: 20, 11: 32, 12: 48, 13: 64 }
const SHA1_BYTES = 20

/** The events behind the Spec ID event. */
export function layoutOf(log: Uint8Array): Placed[] {
  const view = new DataView(log.buffer, log.byteOffset, log.length)
  const events: Placed[] = []
  let at = 12 + SHA1_BYTES + view.getUint32(8 + SHA1_BYTES, true)
  while (at < log.length) {
    const start = at
    const fields: Field[] = []
    const take = (name: Field['name'], length: number): number => {
      fields.push({ name, start: at, length })
      at += length
      return at - length
    }
    const pcr = view.getUint32(take('pcrIndex', 4), true)
    const type = view.getUint32(take('eventType', 4), true)
    const count = view.getUint32(take('count', 4), true)
    for (let digest = 0; digest < count; digest += 1) {
      take('digest', DIGEST_BYTES[view.getUint16(take('algorithm', 2), true)] ?? 0)
    }
    take('data', view.getUint32(take('eventSize', 4), true))
    events.push({ number: events.length + 1, start, end: at, pcr, type, fields })
  }
  return events
}

/** The log with one bit of the octet at `at` changed. */
export function flippedBit(log: Uint8Array, at: number, bit: number): Uint8Array {
  const changed = log.slice()
  changed[at] = (changed[at] ?? 0) ^ (1 << bit)
  return changed
}

/** The log with 32 bits at `at` replaced, little-endian. */
export function withUint32(log: Uint8Array, at: number, value: number): Uint8Array {
  const changed = log.slice()
  new DataView(changed.buffer).setUint32(at, value, true)
  return changed
}

/** The log's Spec ID event and then these events, in this order. */
export function arranged(log: Uint8Array, events: readonly Placed[]): Uint8Array {
  const head = log.slice(0, layoutOf(log)[0]?.start ?? log.length)
  return Uint8Array.from(
    [head, ...events.map(({ start, end }) => log.subarray(start, end))].flatMap((part) => [...part]),
  )
}
