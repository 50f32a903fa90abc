/**
 * How names of the contract become names of TypeScript: lowerCamelCase fields and methods, short enum values.
 * The generator and the codec share these functions, so that types and values cannot drift apart.
 * Source: Protocol Buffers style guide (names) and ProtoJSON mapping (lowerCamelCase).
 */

/** `vm_id` -> `vmId`, `block_1` -> `block1`. */
export function fieldName(protoName: string): string {
  return protoName.replace(/_([a-zA-Z0-9])/g, (_match, letter: string) => letter.toUpperCase())
}

/** `CreateVm` -> `createVm`. */
export function methodName(protoName: string): string {
  return protoName.charAt(0).toLowerCase() + protoName.slice(1)
}

/** `BlockKind` -> `BLOCK_KIND_`, the prefix that every value of the enum carries (buf rule ENUM_VALUE_PREFIX). */
function valuePrefix(enumName: string): string {
  const words = enumName.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replace(/([A-Z])([A-Z][a-z])/g, '$1_$2')
  return `${words.toUpperCase()}_`
}

/** One legal value of an enum: its short name, its number on the wire and its name in the proto file. */
export interface EnumValue {
  readonly name: string
  readonly number: number
  readonly protoName: string
}

/**
 * The legal values of an enum under their short names: `BLOCK_KIND_MEMORY_PAGE` of `BlockKind` is `memory-page`.
 * A zero value whose short name is `unspecified` means "absent" and is left out.
 */
export function enumValues(enumName: string, values: Readonly<Record<string, number>>): EnumValue[] {
  const entries = Object.entries(values)
  const prefix = valuePrefix(enumName)
  const cut = entries.every(([name]) => name.startsWith(prefix)) ? prefix.length : 0
  return entries
    .map(([protoName, number]) => ({
      name: protoName.slice(cut).toLowerCase().replaceAll('_', '-'),
      number,
      protoName,
    }))
    .filter((value) => !(value.number === 0 && value.name.endsWith('unspecified')))
}
