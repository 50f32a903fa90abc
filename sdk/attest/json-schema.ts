// A validator for the part of JSON Schema (draft 2020-12) that the published policy schema uses, and no more: the
// package needs one schema, whose messages should say what was expected and where, in words.
// A unit test compares its verdicts with a full implementation's.

/** The keywords that are understood; `title` is how a message names what was expected. */
export interface Schema {
  readonly $schema?: string
  readonly $id?: string
  readonly $ref?: string
  readonly $defs?: Readonly<Record<string, Schema>>
  readonly title?: string
  readonly description?: string
  readonly default?: unknown
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'boolean'
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly allOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: false
  readonly items?: Schema
  readonly contains?: Schema
  readonly maxItems?: number
  readonly uniqueItems?: boolean
  readonly maxLength?: number
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
}

/** One thing that is wrong. `path` is like `firmware.images[2].digest`; the whole value is `(whole)`. */
export interface Problem {
  readonly path: string
  readonly problem: string
}

/** Everything in `value` that `root` does not allow, in the order of the value; empty when it is valid. */
export function validateSchema(root: Schema, value: unknown): readonly Problem[] {
  const problems: Problem[] = []
  new Walk(root, problems).check(root, value, '')
  return problems
}

class Walk {
  readonly #root: Schema
  readonly #problems: Problem[]

  constructor(root: Schema, problems: Problem[]) {
    this.#root = root
    this.#problems = problems
  }

  check(schema: Schema, value: unknown, path: string): void {
    if (schema.$ref !== undefined) this.check(this.#definition(schema.$ref), value, path)
    const wanted = expectation(schema)
    if (!scalarFits(schema, value)) {
      this.#report(path, `expected ${wanted}, found ${describe(value)}`)
      return
    }
    for (const part of schema.allOf ?? []) this.check(part, value, path)
    if (Array.isArray(value)) this.#checkList(schema, value as unknown[], path)
    else if (isRecord(value)) this.#checkFields(schema, value, path)
  }

  #definition(reference: string): Schema {
    const found = this.#root.$defs?.[reference.slice('#/$defs/'.length)]
    if (found === undefined) throw new TypeError(`schema has no definition ${reference}`)
    return found
  }

  #checkList(schema: Schema, list: readonly unknown[], path: string): void {
    if (schema.maxItems !== undefined && list.length > schema.maxItems) {
      this.#report(path, `expected at most ${String(schema.maxItems)} items, found ${String(list.length)}`)
      return
    }
    const { items, contains } = schema
    if (items !== undefined) {
      list.forEach((item, index) => {
        this.check(items, item, `${path}[${String(index)}]`)
      })
    }
    if (contains !== undefined && !list.some((item) => validateSchema(contains, item).length === 0)) {
      this.#report(path, `expected ${expectation(schema)}, found none such`)
    }
    if (schema.uniqueItems === true && new Set(list.map((item) => JSON.stringify(item))).size < list.length) {
      this.#report(path, 'expected no item twice, found a repeated one')
    }
  }

  #checkFields(schema: Schema, record: Readonly<Record<string, unknown>>, path: string): void {
    const { properties } = schema
    if (properties === undefined) return
    for (const name of schema.required ?? []) {
      if (!Object.hasOwn(record, name)) this.#report(join(path, name), 'expected a value, found nothing')
    }
    for (const [name, item] of Object.entries(record)) {
      const known = Object.hasOwn(properties, name) ? properties[name] : undefined
      if (known !== undefined) this.check(known, item, join(path, name))
      else
        this.#report(
          join(path, name),
          `expected only ${Object.keys(properties).join(', ')}, found another field`,
        )
    }
  }

  #report(path: string, problem: string): void {
    this.#problems.push({ path: path === '' ? '(whole)' : path, problem })
  }
}

function join(path: string, name: string): string {
  const shown = /^[\w$]{1,64}$/.test(name) ? name : JSON.stringify(name.slice(0, 64))
  return path === '' ? shown : `${path}.${shown}`
}

/** Every keyword that concerns the value itself, not its items or fields. */
function scalarFits(schema: Schema, value: unknown): boolean {
  if (schema.type !== undefined && !typeFits(schema.type, value)) return false
  if ('const' in schema && value !== schema.const) return false
  if (schema.enum !== undefined && !schema.enum.includes(value)) return false
  if (typeof value === 'string') return textFits(schema, value)
  return typeof value !== 'number' || numberFits(schema, value)
}

function textFits(schema: Schema, text: string): boolean {
  // JSON Schema counts characters, not UTF-16 code units.
  if (schema.maxLength !== undefined && Array.from(text).length > schema.maxLength) return false
  return schema.pattern === undefined || new RegExp(schema.pattern, 'u').test(text)
}

function numberFits(schema: Schema, value: number): boolean {
  return value >= (schema.minimum ?? -Infinity) && value <= (schema.maximum ?? Infinity)
}

function typeFits(type: NonNullable<Schema['type']>, value: unknown): boolean {
  switch (type) {
    case 'object':
      return isRecord(value)
    case 'array':
      return Array.isArray(value)
    case 'integer':
      return Number.isInteger(value)
    case 'string':
    case 'boolean':
      return typeof value === type
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function expectation(schema: Schema): string {
  if (schema.title !== undefined) return schema.title
  if (schema.maxLength !== undefined) return `text of at most ${String(schema.maxLength)} characters`
  return schema.type === 'boolean'
    ? 'true or false'
    : schema.type === 'array'
      ? 'a list'
      : (schema.type ?? 'a value')
}

/** What came: its kind and size, and short plain text itself, so that a typing error shows. */
function describe(value: unknown): string {
  if (typeof value === 'string')
    return value.length <= 80 ? JSON.stringify(value) : `${String(value.length)} characters`
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (value === null || value === undefined) return 'nothing'
  return Array.isArray(value) ? `a list of ${String(value.length)}` : 'an object'
}
