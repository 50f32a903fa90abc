/**
 * The tool that says which rows are proven must itself be able to say no: each verdict with its opposite.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { trace } from '../trace/report.ts'
import { count, readResults, type Outcome, type TestResult } from '../trace/results.ts'
import { citations, readRows, type Row } from '../trace/rows.ts'

const row = (id: string, marks: Partial<Row> = {}): Row => ({
  id,
  title: 'a row',
  refusal: false,
  due: false,
  ...marks,
})
const test = (title: string, outcome: Outcome = 'passed'): TestResult => ({
  file: 'a.test.ts',
  title,
  outcome,
})

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trace-'))
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})
const file = (name: string, content: unknown): string => {
  const path = join(folder, name)
  writeFileSync(path, JSON.stringify(content))
  return path
}

describe('citations', () => {
  it('reads one row, several in one bracket, several brackets, and controls', () => {
    expect(citations('[X-05] wrong key')).toEqual([{ row: 'X-05', control: false }])
    expect(citations('[X-05, X-06 control] a [Z-31]')).toEqual([
      { row: 'X-05', control: false },
      { row: 'X-06', control: true },
      { row: 'Z-31', control: false },
    ])
  })

  it('counts a mention once, and keeps a proof apart from its control', () => {
    expect(citations('[X-05] suite [X-05] test')).toHaveLength(1)
    expect(citations('[X-05] [X-05 control]')).toHaveLength(2)
  })

  it('leaves other brackets alone', () => {
    expect(citations('reads frames[3] of X-05 and [a list], [X-05 something]')).toEqual([])
  })
})

describe('trace', () => {
  it('accepts due rows with a passing test, and refusals with a control', () => {
    const report = trace(
      [row('X-01', { due: true }), row('X-02', { due: true, refusal: true }), row('X-03')],
      [test('[X-01] a'), test('[X-02] b'), test('[X-02 control] c')],
    )
    expect(report.ok).toBe(true)
    expect(report.rows.map((entry) => entry.result)).toEqual(['passed', 'passed', 'none'])
  })

  it.each<{ what: string; rows: Row[]; tests: TestResult[]; problem: object }>([
    {
      what: 'a due row without a test',
      rows: [row('X-01', { due: true })],
      tests: [],
      problem: { missing: ['X-01'] },
    },
    {
      what: 'a due row with a skipped test',
      rows: [row('X-01', { due: true })],
      tests: [test('[X-01]', 'skipped')],
      problem: { missing: ['X-01'] },
    },
    {
      what: 'a due row with a control alone',
      rows: [row('X-01', { due: true, refusal: true })],
      tests: [test('[X-01 control]')],
      problem: { missing: ['X-01'] },
    },
    {
      what: 'a tested refusal without control, due or not',
      rows: [row('X-01', { refusal: true })],
      tests: [test('[X-01]')],
      problem: { withoutControl: ['X-01'] },
    },
    {
      what: 'a refusal whose control is skipped',
      rows: [row('X-01', { refusal: true })],
      tests: [test('[X-01]'), test('[X-01 control]', 'skipped')],
      problem: { withoutControl: ['X-01'] },
    },
    {
      what: 'a row with one failing test among passing ones',
      rows: [row('X-01')],
      tests: [test('[X-01] a'), test('[X-01] b', 'failed')],
      problem: { failing: ['X-01'] },
    },
    {
      what: 'a title that cites no known row',
      rows: [row('X-01')],
      tests: [test('[X-99] typo')],
      problem: { unknown: ['a.test.ts: [X-99] typo'] },
    },
  ])('refuses $what', ({ rows, tests, problem }) => {
    const report = trace(rows, tests)
    expect(report.ok).toBe(false)
    expect(report.problems).toMatchObject(problem)
  })
})

describe('readRows', () => {
  it('reads the list of this repository', () => {
    expect(readRows(new URL('../rows.json', import.meta.url)).map((entry) => entry.id)).toContain('C-01')
  })

  it('refuses an entry of another shape and an id given twice', () => {
    expect(() => readRows(file('shape.json', { rows: [{ ...row('X-01'), due: 'yes' }] }))).toThrow(
      /expected.*due/,
    )
    expect(() => readRows(file('twice.json', { rows: [row('X-01'), row('X-01')] }))).toThrow(
      /X-01 stands there twice/,
    )
  })
})

describe('readResults', () => {
  const suite = (status: string, ...statuses: string[]) => ({
    name: join(process.cwd(), 'test/a.test.ts'),
    status,
    assertionResults: statuses.map((each) => ({ fullName: ' [X-01] a', status: each })),
  })

  it('joins files and counts every way of not running as skipped', () => {
    const one = file('one.json', { testResults: [suite('passed', 'passed', 'pending')] })
    const two = file('two.json', { testResults: [suite('failed', 'failed', 'todo')] })
    const results = readResults([one, two])
    expect(count(results)).toEqual({ passed: 1, failed: 1, skipped: 2 })
    expect(results[0]).toEqual({ file: 'test/a.test.ts', title: '[X-01] a', outcome: 'passed' })
  })

  it('counts a file that failed outside its tests as one failure', () => {
    expect(count(readResults([file('broken.json', { testResults: [suite('failed')] })]))).toMatchObject({
      failed: 1,
    })
    expect(
      count(readResults([file('fine.json', { testResults: [suite('passed', 'passed')] })])),
    ).toMatchObject({ failed: 0 })
  })

  it('refuses a file that Vitest did not write', () => {
    expect(() => readResults([file('other.json', { rows: [] })])).toThrow(/json reporter/)
  })
})
