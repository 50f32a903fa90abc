// The comma-separated values of swtpm's options: "type=tcp,port=2321,disconnect". The error texts are swtpm's, since
// harnesses show and sometimes match them.
// Source: swtpm(8); swtpm 0.7.1, observed behaviour.

import { readFileSync } from 'node:fs'

/** The program cannot start as it was called. The message is for the log, which puts "swtpm: " in front. */
export class SwtpmError extends Error {
  override readonly name = 'SwtpmError'
}

/** What a value must be. 'mode' is octal, 'user' and 'group' are a number or a name of this system. */
export type ValueKind = 'string' | 'integer' | 'boolean' | 'mode' | 'user' | 'group'

/** The values that were given for one option. When one is given twice the first one counts. */
export class OptionValues {
  readonly #values: ReadonlyMap<string, string | number | boolean>

  constructor(values: ReadonlyMap<string, string | number | boolean>) {
    this.#values = values
  }

  text(name: string): string | undefined {
    const value = this.#values.get(name)
    return typeof value === 'string' ? value : undefined
  }

  number(name: string): number | undefined {
    const value = this.#values.get(name)
    return typeof value === 'number' ? value : undefined
  }

  flag(name: string): boolean {
    return this.#values.get(name) === true
  }
}

/** Reads the values of the option called `subject`. Throws a SwtpmError with swtpm's words. */
export function readValues(
  subject: string,
  text: string,
  kinds: Readonly<Record<string, ValueKind>>,
): OptionValues {
  const values = new Map<string, string | number | boolean>()
  try {
    for (const item of text.split(',').filter((part) => part !== '')) {
      const [name, value] = readItem(item, kinds)
      if (!values.has(name)) values.set(name, value)
    }
  } catch (error) {
    if (!(error instanceof SwtpmError)) throw error
    throw new SwtpmError(`Error parsing ${subject} options: ${error.message}`)
  }
  return new OptionValues(values)
}

function readItem(
  item: string,
  kinds: Readonly<Record<string, ValueKind>>,
): readonly [string, string | number | boolean] {
  const equals = item.indexOf('=')
  const name = equals < 0 ? item : item.slice(0, equals)
  const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined
  // "port=" without anything behind it is as unknown to swtpm as a name it never heard of.
  if (kind === undefined || equals === item.length - 1) throw new SwtpmError(`Unknown option '${item}'`)
  return [name, convert(kind, equals < 0 ? 'true' : item.slice(equals + 1))]
}

function convert(kind: ValueKind, value: string): string | number | boolean {
  switch (kind) {
    case 'string':
      return value
    case 'boolean':
      return value === '1' || value.toLowerCase() === 'true'
    case 'integer':
      if (!/^[+-]?\d+$/.test(value)) throw new SwtpmError(`invalid number '${value}'`)
      return Number(value)
    case 'mode':
      return convertMode(value)
    case 'user':
      return /^\d+$/.test(value) ? Number(value) : lookUp('/etc/passwd', value, 'User')
    case 'group':
      return /^\d+$/.test(value) ? Number(value) : lookUp('/etc/group', value, 'Group')
  }
}

function convertMode(value: string): number {
  if (!/^[0-7]+$/.test(value)) throw new SwtpmError(`invalid mode type '${value}'`)
  const mode = parseInt(value, 8)
  if (mode > 0o777) throw new SwtpmError(`mode ${value} is invalid`)
  return mode
}

/** The number of a name: third field in both files, passwd(5) and group(5). */
function lookUp(file: string, name: string, what: 'User' | 'Group'): number {
  const line = readFileSync(file, 'utf8')
    .split('\n')
    .find((candidate) => candidate.startsWith(`${name}:`))
  const number = Number(line?.split(':')[2] ?? NaN)
  if (!Number.isInteger(number)) throw new SwtpmError(`${what} '${name}' does not exist.`)
  return number
}
