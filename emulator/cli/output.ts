// How the command speaks: text for people by default, one JSON document a line with --json, progress only on a
// terminal, and exit codes that scripts can rely on.

import process from 'node:process'

/** Exit codes of the command; `palimpsest --help` prints this table. */
export const EXIT = {
  /** Done, and everything was as it should be. */
  ok: 0,
  /** The command ran, and what it checked is not as it should be: a refusal, a difference, a broken chain. */
  failed: 1,
  /** The command line or an input file is wrong; nothing was changed. */
  usage: 2,
  /** Something that the command needs can not be reached. */
  unavailable: 3,
  /** The other side refused with a code; the message says which. */
  refused: 4,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** What this command itself has to say when it can not go on: no server was asked. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure'
  readonly exitCode: ExitCode

  /** `message` says what was expected, what was found and what to do. */
  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.exitCode = exitCode
  }
}

/** Where a command's results go. */
export class Output {
  readonly json: boolean
  readonly #colour: boolean
  #progressShown = false

  constructor(options: { json: boolean }) {
    this.json = options.json
    this.#colour = process.stdout.isTTY && process.env['NO_COLOR'] === undefined && !options.json
  }

  /** A result: `value` as JSON, or the lines that `human` makes of it. */
  result(value: object, human: () => readonly string[]): void {
    this.#clearProgress()
    if (this.json) process.stdout.write(`${JSON.stringify(value, jsonValue)}\n`)
    else for (const line of human()) process.stdout.write(`${line}\n`)
  }

  /** A line for people; nothing with --json. */
  line(text = ''): void {
    this.#clearProgress()
    if (!this.json) process.stdout.write(`${text}\n`)
  }

  /** Progress on one line of a terminal; nothing elsewhere. */
  progress(text: string): void {
    if (this.json || !process.stderr.isTTY) return
    process.stderr.write(`\r\u001b[2K${text}`)
    this.#progressShown = true
  }

  /** `text` in green, where colours are shown. */
  good(text: string): string {
    return this.#colour ? `\u001b[32m${text}\u001b[0m` : text
  }

  /** `text` in red, where colours are shown. */
  bad(text: string): string {
    return this.#colour ? `\u001b[31m${text}\u001b[0m` : text
  }

  /** `text` dimmed, where colours are shown. */
  dim(text: string): string {
    return this.#colour ? `\u001b[2m${text}\u001b[0m` : text
  }

  /** `text` in bold, where colours are shown. */
  strong(text: string): string {
    return this.#colour ? `\u001b[1m${text}\u001b[0m` : text
  }

  #clearProgress(): void {
    if (!this.#progressShown) return
    process.stderr.write('\r\u001b[2K')
    this.#progressShown = false
  }
}

/** 64-bit integers as decimal text and bytes as lower-case hex, as every --json output has them. */
function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  return value
}

/** A table with aligned columns. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const format = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [format(headings), format(widths.map((width) => '-'.repeat(width))), ...rows.map(format)]
}

/** Bytes as people read them: "102.4 MiB". */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? String(value) : value.toFixed(1)} ${units[unit] ?? ''}`
}

/** A duration as people read it: "12 ms", "3.4 s". */
export function timeText(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(1)} s`
}
