// Command line options as GNU getopt_long reads them, because scripts that start swtpm rely on it: abbreviated long
// options, grouped short ones, values after "=" or in the next word, operands anywhere.
// Source: getopt(3), GNU C Library.

/** An option that a program knows. */
export interface OptionDescription {
  readonly long?: string
  readonly short?: string
  readonly takesValue: boolean
}

/** An option that was given, by its long name, or by its short one when it has no other. */
export interface GivenOption {
  readonly name: string
  readonly value: string
}

/** The command line is wrong; the message is getopt's own. */
export class GetoptError extends Error {
  override readonly name = 'GetoptError'
}

/** Reads words into options and operands. Throws a GetoptError without the program's name in front. */
export function readOptions(
  words: readonly string[],
  descriptions: readonly OptionDescription[],
): { readonly options: readonly GivenOption[]; readonly operands: readonly string[] } {
  const options: GivenOption[] = []
  const operands: string[] = []
  const rest = [...words]
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') {
      operands.push(...rest)
      break
    }
    if (word.startsWith('--')) options.push(readLong(word, rest, descriptions))
    else if (word.startsWith('-') && word.length > 1) options.push(...readShort(word, rest, descriptions))
    else operands.push(word)
  }
  return { options, operands }
}

function readLong(word: string, rest: string[], descriptions: readonly OptionDescription[]): GivenOption {
  const equals = word.indexOf('=')
  const written = equals < 0 ? word.slice(2) : word.slice(2, equals)
  const description = findLong(written, descriptions)
  const name = description.long ?? written
  if (!description.takesValue) {
    if (equals >= 0) throw new GetoptError(`option '--${name}' doesn't allow an argument`)
    return { name, value: '' }
  }
  const value = equals < 0 ? rest.shift() : word.slice(equals + 1)
  if (value === undefined) throw new GetoptError(`option '--${name}' requires an argument`)
  return { name, value }
}

function findLong(written: string, descriptions: readonly OptionDescription[]): OptionDescription {
  const exact = descriptions.find(({ long }) => long === written)
  if (exact !== undefined) return exact
  const [first, ...others] = descriptions.filter(({ long }) => long?.startsWith(written) === true)
  if (first === undefined) throw new GetoptError(`unrecognized option '--${written}'`)
  if (others.length > 0) {
    const names = [first, ...others].map(({ long }) => `'--${long ?? ''}'`)
    throw new GetoptError(`option '--${written}' is ambiguous; possibilities: ${names.join(' ')}`)
  }
  return first
}

function readShort(
  word: string,
  rest: string[],
  descriptions: readonly OptionDescription[],
): readonly GivenOption[] {
  const options: GivenOption[] = []
  for (let at = 1; at < word.length; at += 1) {
    const letter = word.charAt(at)
    const description = descriptions.find(({ short }) => short === letter)
    if (description === undefined) throw new GetoptError(`invalid option -- '${letter}'`)
    const name = description.long ?? letter
    if (!description.takesValue) {
      options.push({ name, value: '' })
      continue
    }
    const value = at + 1 < word.length ? word.slice(at + 1) : rest.shift()
    if (value === undefined) throw new GetoptError(`option requires an argument -- '${letter}'`)
    options.push({ name, value })
    break
  }
  return options
}
