/**
 * `npm run trace`: prints row -> tests -> result, and fails when a row that is due has no passing test, when a row of
 * a refusal or an absence has no control, when a row's test fails, or when a title cites a row that does not exist.
 *
 * Without `--from` it runs the suite first. With it, it reads results that `TRACE=FILE npm test` wrote.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { trace, type Trace, type TracedRow } from './trace/report.ts'
import { readResults, type TestResult } from './trace/results.ts'
import { readRows } from './trace/rows.ts'

const usage = `Usage: npm run trace -- [--from FILE]... [--json]

Prints each feature row of test/rows.json, the tests whose titles cite it, and their result.

  --from FILE  read the results that \`TRACE=FILE npm test\` wrote, instead of running the suite; may be repeated
  --json       print {rows, problems, ok} as JSON
  --help       this text

Exit code: 0 all due rows are proven; 1 something is missing (listed at the end); 2 wrong usage or unreadable results.`

const resultsFile = 'test/.results/trace.json'

function main(): number {
  const { values } = parseArgs({
    options: {
      from: { type: 'string', multiple: true },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(usage)
    return 0
  }
  const report = trace(
    readRows(new URL('rows.json', import.meta.url)),
    readResults(values.from ?? [runSuite()]),
  )
  console.log(values.json ? JSON.stringify(report, undefined, 2) : render(report))
  return report.ok ? 0 : 1
}

/** Runs `npm test` with its output on stderr, so that stdout carries the report alone. */
function runSuite(): string {
  mkdirSync('test/.results', { recursive: true })
  // A run that breaks before it writes must not be answered by the results of an older one.
  rmSync(resultsFile, { force: true })
  spawnSync('npm', ['test', '--silent'], {
    env: { ...process.env, TRACE: resultsFile },
    stdio: ['ignore', process.stderr, process.stderr],
  })
  return resultsFile
}

function render({ rows, problems, ok }: Trace): string {
  const shown = rows.filter((row) => row.due || row.tests.length > 0 || row.controls.length > 0)
  const rest = rows.filter((row) => !shown.includes(row))
  const proven = rows.filter((row) => row.result === 'passed').length
  return [
    ...shown.flatMap(renderRow),
    '',
    list(
      'not due, no test yet',
      rest.map((row) => row.id),
    ),
    list('due rows with no passing test', problems.missing),
    list('refusals and absences without a passing control', problems.withoutControl),
    list('rows with a failing test', problems.failing),
    list('titles that cite an unknown row', problems.unknown),
    `${ok ? 'ok' : 'NOT OK'}: ${proven} of ${rows.length} rows proven, ${rows.filter((row) => row.due).length} due`,
  ]
    .filter((line) => line !== undefined)
    .join('\n')
}

function renderRow(row: TracedRow): string[] {
  const marks = [row.due ? 'due' : '', row.refusal ? 'needs control' : ''].filter(Boolean).join(', ')
  return [
    `${row.id}  ${row.result.padEnd(7)} ${row.title}${marks && ` (${marks})`}`,
    ...row.tests.map((test) => renderTest(test, '       ')),
    ...row.controls.map((test) => renderTest(test, 'control')),
  ]
}

function renderTest({ file, title, outcome }: TestResult, kind: string): string {
  return `      ${outcome.padEnd(7)} ${kind} ${file} > ${title}`
}

function list(name: string, entries: readonly string[]): string | undefined {
  return entries.length === 0 ? undefined : `${name} (${entries.length}): ${entries.join(' ')}`
}

try {
  process.exitCode = main()
} catch (error) {
  console.error(`trace: ${error instanceof Error ? error.message : String(error)}\n\n${usage}`)
  process.exitCode = 2
}
