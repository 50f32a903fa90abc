/**
 * Joins rows and test results, and says what is missing: the core of `npm run trace`, without input or output.
 */
import type { Outcome, TestResult } from './results.ts'
import { citations, type Row } from './rows.ts'

/** A row's verdict: that of its proofs. `none` means that no test names it. */
export type Verdict = Outcome | 'none'

/** One row with the tests that name it. */
export interface TracedRow extends Row {
  readonly result: Verdict
  readonly tests: readonly TestResult[]
  readonly controls: readonly TestResult[]
}

/** Everything that makes `npm run trace` fail, by row id or test title. */
export interface Problems {
  /** Due rows with no passing test. */
  readonly missing: readonly string[]
  /** Due or tested rows of a refusal or an absence with no passing control. */
  readonly withoutControl: readonly string[]
  /** Rows of which a test or a control fails. */
  readonly failing: readonly string[]
  /** Titles that cite a row which is not on the list. */
  readonly unknown: readonly string[]
}

/** The whole report. */
export interface Trace {
  readonly rows: readonly TracedRow[]
  readonly problems: Problems
  readonly ok: boolean
}

/** Traces every row to its tests. */
export function trace(rows: readonly Row[], results: readonly TestResult[]): Trace {
  const known = new Set(rows.map((row) => row.id))
  const cited = results.map((test) => ({ test, rows: citations(test.title) }))
  const traced = rows.map((row): TracedRow => {
    const naming = (control: boolean) =>
      cited
        .filter((entry) =>
          entry.rows.some((citation) => citation.row === row.id && citation.control === control),
        )
        .map((entry) => entry.test)
    const tests = naming(false)
    return { ...row, result: verdict(tests), tests, controls: naming(true) }
  })
  const problems: Problems = {
    missing: ids(traced, (row) => row.due && row.result !== 'passed'),
    withoutControl: ids(
      traced,
      (row) => row.refusal && (row.due || row.tests.length > 0) && !proven(row.controls),
    ),
    failing: ids(traced, (row) => [...row.tests, ...row.controls].some((test) => test.outcome === 'failed')),
    unknown: cited
      .filter((entry) => entry.rows.some((citation) => !known.has(citation.row)))
      .map((entry) => `${entry.test.file}: ${entry.test.title}`),
  }
  return {
    rows: traced,
    problems,
    ok: Object.values(problems).every((list: readonly string[]) => list.length === 0),
  }
}

function ids(rows: readonly TracedRow[], wanted: (row: TracedRow) => boolean): string[] {
  return rows.filter(wanted).map((row) => row.id)
}

function proven(tests: readonly TestResult[]): boolean {
  return verdict(tests) === 'passed'
}

/** One failing test fails the row; otherwise one passing test proves it. */
function verdict(tests: readonly TestResult[]): Verdict {
  for (const outcome of ['failed', 'passed', 'skipped'] as const) {
    if (tests.some((test) => test.outcome === outcome)) return outcome
  }
  return 'none'
}
