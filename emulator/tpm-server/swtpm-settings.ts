// What a command line of "swtpm socket" asks for. The order in which things are checked is swtpm's, so that a wrong
// command line gets the same complaint.
// Source: swtpm(8); swtpm 0.7.1, observed behaviour.

import { fstatSync } from 'node:fs'
import { readOptions } from './getopt.ts'
import type { GivenOption, OptionDescription } from './getopt.ts'
import type { Listen } from './listener.ts'
import { readControl, readServer } from './swtpm-addresses.ts'
import { readValues, SwtpmError } from './swtpm-options.ts'
import type { SwtpmRules } from './swtpm-state.ts'

/** Where the TPM's state is kept. */
export interface StatePlace {
  /** A folder with files of the TPM's choice, or one file. */
  readonly kind: 'folder' | 'file'
  readonly path: string
  /** Permission bits of files that are made. */
  readonly mode: number
}

/** Where log lines go. */
export interface LogSettings {
  /** Absent: standard error. null: nowhere. */
  readonly file?: string | null
  readonly descriptor?: number
  readonly level: number
  readonly prefix: string
  readonly truncate: boolean
}

/** Where the process id is written. */
export type PidPlace = { readonly file: string } | { readonly descriptor: number }

/** A whole command line of "swtpm socket". */
export interface SwtpmSettings {
  readonly action: 'serve' | 'help' | 'print-capabilities' | 'print-states'
  readonly tpm2: boolean
  readonly daemon: boolean
  /** End with the last data client. */
  readonly terminate: boolean
  readonly data: Listen | null
  readonly control: Listen | null
  readonly state: StatePlace | null
  readonly pid: PidPlace | null
  readonly log: LogSettings
  readonly rules: SwtpmRules
  /** Commands get an error until INIT comes over the control channel. */
  readonly needInit: boolean
  readonly startup: 'clear' | 'state' | 'deactivated' | 'none'
  /** Things that were accepted and do nothing here, for the log. */
  readonly notes: readonly string[]
}

const descriptions: readonly OptionDescription[] = [
  { long: 'daemon', short: 'd', takesValue: false },
  { long: 'help', short: 'h', takesValue: false },
  { long: 'port', short: 'p', takesValue: true },
  { long: 'fd', short: 'f', takesValue: true },
  { long: 'server', takesValue: true },
  { long: 'runas', short: 'r', takesValue: true },
  { long: 'terminate', short: 't', takesValue: false },
  { long: 'locality', takesValue: true },
  { long: 'log', takesValue: true },
  { long: 'key', takesValue: true },
  { long: 'migration-key', takesValue: true },
  { long: 'pid', takesValue: true },
  { long: 'tpmstate', takesValue: true },
  { long: 'ctrl', takesValue: true },
  { long: 'flags', takesValue: true },
  { long: 'tpm2', takesValue: false },
  { long: 'seccomp', takesValue: true },
  { long: 'print-capabilities', takesValue: false },
  { long: 'print-states', takesValue: false },
]

/** swtpm's default lets the group read; a TPM's seeds are nobody else's business. */
const defaultStateMode = 0o600

/** The options that were given; the last one of a name counts, as in swtpm. */
class Given {
  readonly #options: readonly GivenOption[]

  constructor(options: readonly GivenOption[]) {
    this.#options = options
  }

  has(name: string): boolean {
    return this.#options.some((option) => option.name === name)
  }

  value(name: string): string | undefined {
    return this.#options.findLast((option) => option.name === name)?.value
  }
}

/** Reads the words after "swtpm socket". Throws a GetoptError or a SwtpmError. */
export function readSettings(
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): SwtpmSettings {
  const { options, operands } = readOptions(words, descriptions)
  const given = new Given(options)
  if (given.has('help')) return { ...nothing, action: 'help' }
  const port = readPort(given.value('port'))
  const descriptor = readDescriptor(given.value('fd'))
  const [operand] = operands
  if (operand !== undefined) throw new SwtpmError(`Unknown parameter '${operand}'`)
  if (given.has('runas')) {
    throw new SwtpmError('Error: --runas is not supported: start this program as the user it shall run as')
  }
  const log = readLog(given.value('log'))
  if (descriptor !== undefined && descriptor < 3) {
    throw new SwtpmError('Error: Cannot accept file descriptors with values 0, 1, or 2')
  }
  const tpm2 = given.has('tpm2')
  if (given.has('print-capabilities')) return { ...nothing, action: 'print-capabilities', tpm2, log }
  if (!tpm2) {
    throw new SwtpmError(
      'Error: Could not choose TPM version: without --tpm2 it is 1.2, and this is a TPM 2.0 only',
    )
  }
  const control = readControl(given.value('ctrl'))
  const server = readServer({ server: given.value('server'), port, descriptor, environment })
  const state = readState(given.value('tpmstate'), environment)
  if (given.has('print-states')) {
    if (!given.has('tpmstate')) {
      throw new SwtpmError('Error: --tpmstate option is required for --print-states')
    }
    return { ...nothing, action: 'print-states', tpm2, log, state }
  }
  return {
    ...readRest(given),
    action: 'serve',
    tpm2,
    log,
    state,
    control,
    daemon: given.has('daemon'),
    terminate: given.has('terminate') || server.terminate,
    data: server.listen,
    rules: { ...readLocality(given.value('locality')), disconnect: server.disconnect },
  }
}

/** Every descriptor that a child process needs too. */
export function inheritedDescriptors(settings: SwtpmSettings): readonly number[] {
  const descriptors: number[] = []
  for (const listen of [settings.data, settings.control]) {
    if (listen?.kind === 'listening' || listen?.kind === 'connected') descriptors.push(listen.descriptor)
  }
  if (settings.pid !== null && 'descriptor' in settings.pid) descriptors.push(settings.pid.descriptor)
  if (settings.log.descriptor !== undefined) descriptors.push(settings.log.descriptor)
  return descriptors
}

const nothing: SwtpmSettings = {
  action: 'serve',
  tpm2: false,
  daemon: false,
  terminate: false,
  data: null,
  control: null,
  state: null,
  pid: null,
  log: { level: 1, prefix: 'swtpm: ', truncate: false },
  rules: { rejectLocality4: false, allowSetLocality: false, disconnect: false },
  needInit: true,
  startup: 'none',
  notes: [],
}

function readRest(given: Given): Pick<SwtpmSettings, 'pid' | 'needInit' | 'startup' | 'notes'> {
  refuseKey(given, 'key')
  refuseKey(given, 'migration-key')
  const pid = readPid(given.value('pid'))
  const notes = readSeccomp(given.value('seccomp'))
  return { pid, notes, ...readFlags(given.value('flags')) }
}

function readPort(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d+$/.test(text)) throw new SwtpmError(`Cannot parse socket port number '${text}'.`)
  if (Number(text) > 65_535) throw new SwtpmError('Port is outside valid range.')
  return Number(text)
}

function readDescriptor(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d+$/.test(text)) throw new SwtpmError('Cannot parse socket file descriptor.')
  try {
    if (fstatSync(Number(text)).isSocket() || Number(text) < 3) return Number(text)
  } catch {
    throw new SwtpmError('Cannot stat file descriptor: Bad file descriptor')
  }
  throw new SwtpmError('Given file descriptor type is not supported.')
}

function readLog(text: string | undefined): LogSettings {
  if (text === undefined) return nothing.log
  const values = readValues('logging', text, {
    file: 'string',
    fd: 'integer',
    level: 'integer',
    prefix: 'string',
    truncate: 'boolean',
  })
  const file = values.text('file')
  const descriptor = values.number('fd')
  return {
    ...(file === undefined ? {} : { file: file === '-' ? null : file }),
    ...(descriptor === undefined ? {} : { descriptor }),
    level: values.number('level') ?? 1,
    prefix: values.text('prefix') ?? '',
    truncate: values.flag('truncate'),
  }
}

function readState(
  text: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): StatePlace | null {
  if (text === undefined) {
    const path = environment.TPM_PATH
    return path === undefined ? null : { kind: 'folder', path, mode: defaultStateMode }
  }
  // swtpm 0.8 has "lock", to say when storage is locked; here it always is while the program runs.
  const values = readValues('tpmstate', text, {
    dir: 'string',
    mode: 'mode',
    'backend-uri': 'string',
    lock: 'boolean',
  })
  const mode = values.number('mode') ?? defaultStateMode
  const folder = values.text('dir')
  if (folder !== undefined) return { kind: 'folder', path: folder, mode }
  const uri = values.text('backend-uri')
  if (uri === undefined) {
    throw new SwtpmError('The dir or backend-uri parameters is required for the tpmstate option.')
  }
  if (uri.startsWith('dir://')) return { kind: 'folder', path: uri.slice('dir://'.length), mode }
  if (uri.startsWith('file://')) return { kind: 'file', path: uri.slice('file://'.length), mode }
  throw new SwtpmError(`Unsupported backend: expected dir://… or file://…, got ${uri}`)
}

function refuseKey(given: Given, name: 'key' | 'migration-key'): void {
  if (!given.has(name)) return
  throw new SwtpmError(
    `Error: --${name} is not supported: state is written as it is; keep it on encrypted storage and leave the option out`,
  )
}

function readPid(text: string | undefined): PidPlace | null {
  if (text === undefined) return null
  const values = readValues('pid', text, { file: 'string', fd: 'integer' })
  const file = values.text('file')
  if (file !== undefined) return { file }
  const descriptor = values.number('fd')
  if (descriptor === undefined) {
    throw new SwtpmError('The file or fd parameter is required for the pid option.')
  }
  try {
    if (fstatSync(descriptor).isFile()) return { descriptor }
  } catch {
    // The same complaint for a descriptor that is not there.
  }
  throw new SwtpmError(`Bad filedescriptor ${descriptor} for pid file`)
}

function readLocality(text: string | undefined): Pick<SwtpmRules, 'rejectLocality4' | 'allowSetLocality'> {
  const values = readValues('locality', text ?? '', {
    'reject-locality-4': 'boolean',
    'allow-set-locality': 'boolean',
  })
  return {
    rejectLocality4: values.flag('reject-locality-4'),
    allowSetLocality: values.flag('allow-set-locality'),
  }
}

function readSeccomp(text: string | undefined): readonly string[] {
  if (text === undefined) return []
  const action = readValues('seccomp', text, { action: 'string' }).text('action') ?? 'kill'
  if (!['kill', 'log', 'none'].includes(action)) {
    throw new SwtpmError(`Unsupported seccomp log action ${action}`)
  }
  return action === 'none' ? [] : ['--seccomp has no effect: this program sets no seccomp profile']
}

function readFlags(text: string | undefined): Pick<SwtpmSettings, 'needInit' | 'startup'> {
  const values = readValues('flags', text ?? '', {
    'not-need-init': 'boolean',
    'startup-none': 'boolean',
    'startup-clear': 'boolean',
    'startup-state': 'boolean',
    'startup-deactivated': 'boolean',
  })
  const startup = (['clear', 'state', 'deactivated'] as const).find((type) => values.flag(`startup-${type}`))
  return { needInit: startup === undefined && !values.flag('not-need-init'), startup: startup ?? 'none' }
}
