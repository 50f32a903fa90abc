// What a difference between two event logs means, in plain words: by event type, and by what its PCR stands for.
// Source: TCG PC Client Platform Firmware Profile, version 1.05 revision 23, clauses 2.3.4 (what PCRs 0 to 7 are for)
// and 10.4.1 (event types); GRUB, shim, the Linux EFI stub and systemd for PCRs 8 to 15 (Linux TPM PCR Registry).

import { guidName, printable } from './efi.ts'
import { decodeEvent, type EventDetails } from './event-data.ts'
import { type PcrEvent } from './event-log.ts'
import { eventTypeName, EV } from './event-types.ts'

/**
 * How an event differs.
 * - changed: another measurement of the same thing; removed, added: in one log only
 * - moved: the same measurement at another place of its PCR's sequence
 * - relabelled: the same digest under another event type
 * - explained: the same measurement, other event data, which the digest does not cover
 */
export type DifferenceKind = 'changed' | 'removed' | 'added' | 'moved' | 'relabelled' | 'explained'

const PURPOSES = [
  'firmware code',
  'firmware configuration',
  'code of option ROMs and drivers',
  'configuration of option ROMs and drivers',
  'boot loader code, and what was tried',
  'boot loader configuration and partition table',
  'what the maker of the machine chose',
  'Secure Boot policy',
  "boot loader's commands, kernel command line",
  'files that the boot loader read, initial RAM disk',
  'what the kernel measured (IMA)',
  'unified kernel image',
  'kernel command line, credentials',
  'system extensions',
  'keys and settings of shim',
  'identity of the system',
  'debugging',
]

/** What a PCR of a PC stands for, in a few words. */
export function pcrPurpose(pcr: number): string {
  if (pcr >= 17 && pcr <= 22) return 'dynamic launch'
  return PURPOSES[pcr] ?? (pcr === 23 ? 'applications' : 'no PCR')
}

type Details<Kind extends EventDetails['kind']> = Extract<EventDetails, { kind: Kind }>

/** Two events of one kind of data, in the order of the logs. */
interface Change<Kind extends EventDetails['kind']> {
  readonly pcr: number
  readonly before: Details<Kind>
  readonly after: Details<Kind>
}

const SHOWN = 4

/** "a, b, c and 12 more" */
function some(texts: readonly string[]): string {
  const rest = texts.length - SHOWN
  return rest > 0 ? `${texts.slice(0, SHOWN).join(', ')} and ${String(rest)} more` : texts.join(', ')
}

/** "added a, b; removed c": how a set changed; empty when it did not. */
function setChange(before: readonly string[], after: readonly string[]): string {
  const added = after.filter((one) => !before.includes(one))
  const removed = before.filter((one) => !after.includes(one))
  return [
    added.length > 0 ? `added ${some(added)}` : '',
    removed.length > 0 ? `removed ${some(removed)}` : '',
  ]
    .filter((part) => part !== '')
    .join('; ')
}

const words = (text: string) => text.split(/\s+/).filter((word) => word !== '')

function wordChange(before: string, after: string): string {
  const change = setChange(words(before), words(after))
  return change === '' ? 'the same words, in another order' : change
}

const ROLES = new Map([
  ['PK', 'who owns the Secure Boot policy'],
  ['KEK', 'who may change db and dbx'],
  ['db', 'what may start'],
  ['dbx', 'what must not start'],
  ['MokList', 'what shim lets start besides db'],
  ['MokListX', 'what shim must not let start'],
])

function variableChange({ before, after }: Change<'variable'>): string {
  const { name } = after
  const [from, to] = [before.value, after.value]
  if (from.kind === 'flag' && to.kind === 'flag') return flagChange(name, from.on, to.on)
  if (from.kind === 'signatures' && to.kind === 'signatures') {
    const entries = (value: typeof from) => value.signatures.map(({ text }) => text)
    const change = setChange(entries(from), entries(to))
    const role = ROLES.get(name)
    const what = `Secure Boot variable ${name}${role === undefined ? '' : ` (${role})`} changed`
    return `${what}: ${change === '' ? 'the same entries, in another order or of another owner' : change}.`
  }
  if (from.kind === 'authority' && to.kind === 'authority') {
    if (from.key === to.key)
      return `The key in ${name} that let an image start is held in another form: ${to.key}.`
    return `Another key let an image start: ${to.key} instead of ${from.key} (${name}).`
  }
  if (from.kind === 'bootOrder' && to.kind === 'bootOrder') {
    return `The boot order changed from ${from.order.join(', ')} to ${to.order.join(', ')}.`
  }
  if (from.kind === 'bootOption' && to.kind === 'bootOption')
    return optionChange(name, from.option, to.option)
  if (name === 'SbatLevel')
    return "shim's list of revoked versions (SbatLevel) changed: older boot loaders may be refused."
  return `Variable ${name} (${guidName(after.guid) ?? after.guid}) has another value.`
}

function flagChange(name: string, before: boolean, after: boolean): string {
  if (before === after) return `${name} is ${after ? 'on' : 'off'} in both, written differently.`
  const turned = `turned ${after ? 'on' : 'off'}`
  if (name !== 'SecureBoot') return `${name} was ${turned}.`
  return `Secure Boot was ${turned}: ${after ? 'only what db allows starts' : 'anything may start, signed or not'}.`
}

type Option = Extract<Details<'variable'>['value'], { kind: 'bootOption' }>['option']

function optionChange(name: string, before: Option, after: Option): string {
  const changes = [
    before.description === after.description ? '' : `"${before.description}" became "${after.description}"`,
    before.path === after.path ? '' : `its path ${before.path} became ${after.path}`,
    before.active === after.active ? '' : `it was ${after.active ? 'switched on' : 'switched off'}`,
  ].filter((part) => part !== '')
  return `Boot option ${name} changed: ${changes.length === 0 ? 'other optional data' : changes.join(', ')}.`
}

function imageChange({ pcr, before, after }: Change<'image'>): string {
  const what = imageNoun(pcr)
  if (before.path !== after.path)
    return `Another ${what} was started: ${pathText(after)} instead of ${pathText(before)}.`
  const sizes =
    before.length === after.length
      ? ''
      : ` (${before.length.toString()} bytes, now ${after.length.toString()})`
  return `The ${what} ${pathText(after)} is another one${sizes}: it was updated, or replaced under the same name.`
}

function pathText({ path }: Details<'image'>): string {
  return path === '' ? 'from memory (the log has no path)' : path
}

function imageNoun(pcr: number): string {
  return pcr >= 4 ? 'boot loader, kernel or EFI application' : 'driver or option ROM'
}

function blobChange({ pcr, before, after }: Change<'blob'>): string {
  const place = `at 0x${after.base.toString(16)}`
  const what = pcr === 0 ? 'Firmware code' : `A part of the ${pcrPurpose(pcr)}`
  if (before.base !== after.base || before.length !== after.length) {
    return `${what} of another place or size was measured (${place}): this is other firmware.`
  }
  return (
    `${what} changed: the 0x${after.length.toString(16)} bytes ${place} are others. The firmware was updated or replaced, ` +
    'or it has written the shape of the machine (memory, processors) into what it measures.'
  )
}

function partitionChange({ before, after }: Change<'partitions'>): string {
  if (before.disk !== after.disk) return `Another disk was booted: ${after.disk} instead of ${before.disk}.`
  const name = ({ name: label, id }: { name: string; id: string }) => (label === '' ? id : `"${label}" ${id}`)
  const change = setChange(before.partitions.map(name), after.partitions.map(name))
  const resized = after.partitions.filter((one) =>
    before.partitions.some((old) => old.id === one.id && (old.first !== one.first || old.last !== one.last)),
  )
  const parts = [change, resized.length > 0 ? `other place or size of ${some(resized.map(name))}` : '']
  const text = parts.filter((part) => part !== '').join('; ')
  return `The partition table of the boot disk changed: ${text === '' ? 'only its attributes' : text}.`
}

const COMMAND_LINE = /^(?:kernel_cmdline|grub_kernel_cmdline): /

function iplChange({ pcr, before, after }: Change<'text'>): string {
  if (COMMAND_LINE.test(after.text) || pcr === 12) {
    return `The kernel command line changed: ${wordChange(before.text, after.text)}.`
  }
  if (before.text !== after.text) {
    if (pcr === 9) return `The boot loader read another file: ${after.text} instead of ${before.text}.`
    return `The boot loader did something else (${pcrPurpose(pcr)}): ${wordChange(before.text, after.text)}.`
  }
  if (pcr === 14) return `shim's ${after.text} changed: other keys were enrolled, or other settings made.`
  return `"${after.text}" has other contents: the file or section was updated or replaced.`
}

const TAG_MEANINGS = new Map([
  ['Linux initrd', 'Another initial RAM disk was loaded.'],
  ['Linux load options', 'The kernel command line changed (its text is not in the log).'],
  ['systemd-boot loader.conf', 'The configuration of systemd-boot (loader.conf) changed.'],
  [
    'palimpsest firmware image digest',
    'The firmware image is another one: it was updated or replaced, even where its own measurements (PCR 0) are the same.',
  ],
  ['palimpsest platform configuration', 'The platform is configured differently.'],
  [
    'palimpsest firmware manifest',
    'The signed manifest of the firmware is another one: other firmware, or another signer.',
  ],
])

const STARTUP_MEANINGS =
  'localities other than 0 mean that something ran before the firmware (3 startup code, 4 hardware)'

function generic(type: number, pcr: number): string {
  switch (type) {
    case EV.CPU_MICROCODE:
      return 'The microcode of the processor is another version.'
    case EV.EFI_HANDOFF_TABLES:
    case EV.EFI_HANDOFF_TABLES2:
      return 'A table that describes the machine (SMBIOS, ACPI) changed: other hardware, settings or firmware.'
    case EV.TABLE_OF_DEVICES:
      return 'The devices of the machine changed.'
    case EV.NONHOST_CODE:
    case EV.NONHOST_CONFIG:
    case EV.NONHOST_INFO:
      return 'What runs beside the processor (its code, configuration or state) changed.'
    default:
      return `Something else was measured as ${eventTypeName(type)} (${pcrPurpose(pcr)}).`
  }
}

function changed(pcr: number, type: number, before: EventDetails, after: EventDetails): string {
  const same = <Kind extends EventDetails['kind']>(kind: Kind): Change<Kind> | undefined =>
    before.kind === kind && after.kind === kind
      ? { pcr, before: before as Details<Kind>, after: after as Details<Kind> }
      : undefined
  const tables: readonly (string | undefined)[] = [
    told(same('variable'), variableChange),
    told(same('image'), imageChange),
    told(same('blob'), blobChange),
    told(same('partitions'), partitionChange),
    told(
      same('version'),
      (one) => `The firmware is another version: "${one.before.version}" became "${one.after.version}".`,
    ),
    told(same('separator'), separatorChange),
    told(
      same('tag'),
      ({ after: { tag, name } }) =>
        TAG_MEANINGS.get(name ?? '') ?? `The event with tag 0x${tag.toString(16)} changed.`,
    ),
    told(
      same('locality'),
      (one) =>
        `The TPM was started from locality ${String(one.after.locality)} instead of ${String(one.before.locality)}: ${STARTUP_MEANINGS}.`,
    ),
    type === EV.IPL ? told(same('text'), iplChange) : undefined,
    told(
      type === EV.EFI_ACTION || type === EV.ACTION ? same('text') : undefined,
      (one) => `The boot took another course: "${one.after.text}" instead of "${one.before.text}".`,
    ),
  ]
  return tables.find((text) => text !== undefined) ?? generic(type, pcr)
}

function told<T>(change: T | undefined, tell: (change: T) => string): string | undefined {
  return change === undefined ? undefined : tell(change)
}

function separatorChange({ pcr, before, after }: Change<'separator'>): string {
  if (before.error === after.error)
    return `PCR ${String(pcr)} was closed with another value, of the same meaning or of another error.`
  return after.error
    ? `The firmware met an error: it closed PCR ${String(pcr)} with ${after.value} instead of a normal separator.`
    : `The firmware no longer reports an error in PCR ${String(pcr)}: its separator is a normal one.`
}

/** What an event that only one log has is, as the subject of a sentence, and what follows from having it. */
function thing(
  pcr: number,
  type: number,
  details: EventDetails,
): { what: string; with: string; without: string } {
  const plain = (what: string) => ({ what, with: '', without: '' })
  switch (details.kind) {
    case 'separator':
      return {
        what: `The separator of PCR ${String(pcr)}`,
        with: 'it closes what the firmware measures before it hands over.',
        without:
          'without it the firmware never closed this PCR before it handed over, so that what comes after can not be told from what the firmware measured (a broken or interrupted start, or a cut log).',
      }
    case 'image':
      return {
        what: `The ${imageNoun(pcr)} ${pathText(details)}`,
        with: 'something more was started before the operating system.',
        without: 'it was not started, or the start ended before it.',
      }
    case 'variable':
      return plain(variableNoun(details))
    case 'blob':
      return plain(`A region of ${pcrPurpose(pcr)} at 0x${details.base.toString(16)}`)
    case 'partitions':
      return plain(`The partition table of disk ${details.disk}`)
    case 'tag':
      return plain(`The event "${details.name ?? `tag 0x${details.tag.toString(16)}`}"`)
    case 'locality':
      return plain(`The start of the TPM from locality ${String(details.locality)} (${STARTUP_MEANINGS})`)
    case 'text':
      return { what: `"${details.text}"`, ...consequence(pcr, type, details.text) }
    case 'version':
    case 'tables':
    case 'bytes':
      return plain(`An ${eventTypeName(type)} event (${pcrPurpose(pcr)})`)
  }
}

function variableNoun({ name, value }: Details<'variable'>): string {
  if (value.kind === 'authority') return `The use of a key in ${name} to let an image start (${value.key})`
  return value.kind === 'bootOption'
    ? `Boot option ${name} "${value.option.description}"`
    : `Variable ${name}`
}

/** What follows from what boot loaders measure as EV_IPL, by PCR. */
const IPL_MEANINGS: Readonly<Record<number, { with: string; without: string }>> = {
  8: { with: 'the boot loader ran one command more.', without: 'the boot loader ran one command less.' },
  9: { with: 'the boot loader read this file too.', without: 'the boot loader did not read this file.' },
  12: { with: 'the kernel was given this too.', without: 'the kernel was not given this.' },
  14: { with: 'shim has it now.', without: 'shim no longer has it, or did not run.' },
}

function consequence(pcr: number, type: number, text: string): { with: string; without: string } {
  if (type === EV.IPL) return IPL_MEANINGS[pcr] ?? { with: '', without: '' }
  if (text.startsWith('Exit Boot Services')) {
    return {
      with: 'the operating system took over from the firmware.',
      without: 'the operating system had not taken over from the firmware.',
    }
  }
  if (text.startsWith('Calling EFI Application')) {
    return { with: 'one more boot option was tried.', without: 'one boot option less was tried.' }
  }
  if (text.startsWith('Returning from EFI Application')) {
    return { with: 'a boot option was tried and came back.', without: 'the boot option did not come back.' }
  }
  return { with: '', without: '' }
}

function presence(pcr: number, event: PcrEvent, second: boolean): string {
  const { what, with: having, without } = thing(pcr, event.eventType, decodeEvent(event))
  const effect = second ? having : without
  const where = second ? 'is in the second log only' : 'is missing in the second log'
  return `${what} ${where}${effect === '' ? '.' : `: ${effect}`}`
}

/** What a difference means, in a sentence or two of plain English, without control characters. */
export function meaningOf(difference: {
  readonly kind: DifferenceKind
  readonly pcr: number
  readonly before: PcrEvent | undefined
  readonly after: PcrEvent | undefined
}): string {
  return printable(plainMeaning(difference))
}

function plainMeaning({ kind, pcr, before, after }: Parameters<typeof meaningOf>[0]): string {
  if (before === undefined || after === undefined) {
    const event = before ?? after
    return event === undefined ? '' : presence(pcr, event, after !== undefined)
  }
  switch (kind) {
    case 'moved':
      return `The same was measured in another order; PCR ${String(pcr)} depends on the order.`
    case 'relabelled':
      return 'The same measurement stands under another event type; the PCR does not change.'
    case 'explained':
      return 'The measurement is the same; only what the log says about it differs, which no PCR covers.'
    case 'changed':
    case 'removed':
    case 'added':
      return changed(pcr, after.eventType, decodeEvent(before), decodeEvent(after))
  }
}
