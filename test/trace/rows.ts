/**
 * The feature rows that tests prove, and how a test's title names them.
 *
 * `test/rows.json` lists every row: its id, a short title, whether the row speaks of a refusal or an absence (then a
 * control test must show the same thing accepted or present, or the proof could not fail), and whether it is due now.
 * A title cites rows in brackets: `[C-05] ...`, `[C-05 control] ...`, `[C-05, C-06] ...` or several brackets.
 */
import { readFileSync } from 'node:fs'

/** One line of `test/rows.json`. */
export interface Row {
  readonly id: string
  readonly title: string
  /** The row speaks of a refusal or an absence, so it needs a control. */
  readonly refusal: boolean
  /** The row must have a passing test now. */
  readonly due: boolean
}

/** One mention of a row in a title. */
export interface Citation {
  readonly row: string
  readonly control: boolean
}

/**
 * Reads the list of rows.
 *
 * @throws TypeError naming the entry that has not the shape of {@link Row}, or the id that stands there twice.
 */
export function readRows(file: URL | string): Row[] {
  const data: unknown = JSON.parse(readFileSync(file, 'utf8'))
  if (!isRecord(data) || !Array.isArray(data.rows))
    throw new TypeError(`${String(file)}: expected {"rows": [...]}`)
  const seen = new Set<string>()
  return data.rows.map((entry: unknown) => {
    if (!isRow(entry)) {
      const shape = '{id: "C-01", title, refusal: boolean, due: boolean}'
      throw new TypeError(`${String(file)}: expected ${shape}, got ${JSON.stringify(entry)}`)
    }
    if (seen.has(entry.id)) throw new TypeError(`${String(file)}: ${entry.id} stands there twice; keep one`)
    seen.add(entry.id)
    return entry
  })
}

/** The rows that a full title (with those of its suites) cites, each mention once, in the order of the title. */
export function citations(title: string): Citation[] {
  const found = new Map<string, Citation>()
  for (const [, inside = ''] of title.matchAll(/\[([^[\]]*)\]/g)) {
    for (const part of inside.split(',')) {
      const match = /^\s*([A-Z]-\d+)(\s+control)?\s*$/.exec(part)
      if (match?.[1] === undefined) continue
      const citation = { row: match[1], control: match[2] !== undefined }
      found.set(`${citation.row} ${String(citation.control)}`, citation)
    }
  }
  return [...found.values()]
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isRow(value: unknown): value is Row {
  return (
    isRecord(value) &&
    typeof value.id === 'string' &&
    /^[A-Z]-\d\d$/.test(value.id) &&
    typeof value.title === 'string' &&
    typeof value.refusal === 'boolean' &&
    typeof value.due === 'boolean'
  )
}
