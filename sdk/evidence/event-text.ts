// Event data in words: one line per event, safe to print on a terminal whoever wrote the log.
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clause 10.4.1.

import { hex } from '../crypto/index.ts'
import { guidName, printable } from './efi.ts'
import { decodeEvent, type EventDetails, type VariableValue } from './event-data.ts'
import { type PcrEvent } from './event-log.ts'

function named(guid: string): string {
  return guidName(guid) ?? guid
}

function variableText(name: string, value: VariableValue, data: Uint8Array): string {
  switch (value.kind) {
    case 'flag':
      return `${name} = ${data.length === 0 ? 'absent' : value.on ? 'on' : 'off'}`
    case 'signatures':
      return `${name}: ${value.signatures.length === 0 ? 'empty' : value.signatures.map((one) => one.text).join(', ')}`
    case 'authority':
      return `allowed by ${name}: ${value.key}`
    case 'bootOrder':
      return `BootOrder = ${value.order.join(', ')}`
    case 'bootOption': {
      const { description, path, active } = value.option
      return `${name} "${description}"${active ? '' : ' (inactive)'} ${path}`
    }
    case 'text':
      return `${name} = "${value.text}"`
    case 'bytes':
      return `${name} = ${data.length === 0 ? 'absent' : shortHex(data)}`
  }
}

function shortHex(bytes: Uint8Array): string {
  const shown = hex(bytes.subarray(0, 32))
  return bytes.length > 32 ? `${shown}… (${String(bytes.length)} bytes)` : shown
}

/** Event data in one line for people, without control characters. It may be long: a dbx has hundreds of hashes. */
export function eventText(event: Pick<PcrEvent, 'eventType' | 'data'>): string {
  return printable(plainText(decodeEvent(event), event.data))
}

function plainText(details: EventDetails, data: Uint8Array): string {
  switch (details.kind) {
    case 'text':
      return `"${details.text}"`
    case 'version':
      return `version "${details.version}"`
    case 'separator':
      return details.error ? `error ${details.value}` : details.value
    case 'blob': {
      const range = `0x${details.length.toString(16)} bytes at 0x${details.base.toString(16)}`
      return details.description === '' ? range : `"${details.description}" ${range}`
    }
    case 'image':
      return `${details.path === '' ? 'without a path' : details.path}, ${details.length.toString()} bytes`
    case 'variable':
      return variableText(details.name, details.value, details.data)
    case 'partitions': {
      const parts = details.partitions.map(
        ({ name, type, id }) => `${name === '' ? named(type) : name} ${id}`,
      )
      return `disk ${details.disk}: ${parts.join(', ')}`
    }
    case 'tables':
      return `${details.description} ${details.tables.map(named).join(', ')}`.trim()
    case 'tag': {
      const what = details.name ?? `tag 0x${details.tag.toString(16)}`
      return details.text === '' || details.text === what ? what : `${what}: "${details.text}"`
    }
    case 'locality':
      return `TPM2_Startup from locality ${String(details.locality)}`
    case 'bytes':
      return data.length === 0 ? 'no data' : shortHex(data)
  }
}
