/**
 * Reads what Vitest's JSON reporter wrote (vitest.dev/guide/reporters#json-reporter, the shape of Jest's).
 * Only the fields used here are looked at, and a file of another shape is an error, not an empty result.
 */
import { readFileSync } from 'node:fs'
import { relative } from 'node:path'

/** What became of one test. `skipped` covers every way of not running. */
export type Outcome = 'passed' | 'failed' | 'skipped'

/** One test of one file; a file that failed before its tests could run counts as one failed test. */
export interface TestResult {
  /** Path relative to the working directory. */
  readonly file: string
  /** Titles of the suites around it and its own, joined by spaces. */
  readonly title: string
  readonly outcome: Outcome
}

/** The tests of several result files, in their order. */
export function readResults(files: readonly string[]): TestResult[] {
  return files.flatMap((file) => {
    const data: unknown = JSON.parse(readFileSync(file, 'utf8'))
    const suites = fieldOf(data, 'testResults')
    if (!Array.isArray(suites)) throw new TypeError(`${file}: expected the output of Vitest's json reporter`)
    return suites.flatMap((suite: unknown) => testsOf(suite))
  })
}

/** How many tests ended in each way. */
export function count(results: readonly TestResult[]): Record<Outcome, number> {
  const total: Record<Outcome, number> = { passed: 0, failed: 0, skipped: 0 }
  for (const result of results) total[result.outcome]++
  return total
}

function testsOf(suite: unknown): TestResult[] {
  const file = relative(process.cwd(), String(fieldOf(suite, 'name')))
  const assertions = fieldOf(suite, 'assertionResults')
  const tests = (Array.isArray(assertions) ? assertions : []).map((assertion: unknown) => ({
    file,
    title: String(fieldOf(assertion, 'fullName')).trim(),
    outcome: outcomeOf(fieldOf(assertion, 'status')),
  }))
  const brokeOutsideTests =
    fieldOf(suite, 'status') === 'failed' && tests.every((test) => test.outcome !== 'failed')
  return brokeOutsideTests ? [...tests, { file, title: '(the file itself)', outcome: 'failed' }] : tests
}

function outcomeOf(status: unknown): Outcome {
  return status === 'passed' || status === 'failed' ? status : 'skipped'
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
}
