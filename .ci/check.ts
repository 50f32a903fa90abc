/**
 * `npm run check`: every rule of the house in one command. All steps run even if one fails, as many at a time as
 * there are cores (four at most); each prints one line with its time, and a failed one its output below.
 *
 * `npm run check -- types lint` runs the named steps only. The last line is `N passed, N failed, N skipped`; the exit
 * code is 0 without failures, 1 with any, 2 on wrong usage.
 */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'

/** A step either runs commands one after the other, or says why there is nothing to run. */
type Plan = { readonly commands: readonly (readonly [string, ...string[]])[] } | { readonly skip: string }

interface Step {
  readonly name: string
  readonly about: string
  plan: () => Plan
}

const scratch = mkdtempSync(join(tmpdir(), 'palimpsest-check-'))
process.on('exit', () => {
  rmSync(scratch, { recursive: true, force: true })
})

/** Tools come from this repository's own node_modules, also without npm around. */
const env = { ...process.env, PATH: `${resolve('node_modules/.bin')}${delimiter}${process.env.PATH ?? ''}` }

/** Folders with code; a fresh tree may lack some, and dependency-cruiser refuses a name that leads nowhere. */
const codeFolders = ['protos', 'sdk', 'emulator', 'examples', 'test', '.ci'].filter((folder) =>
  existsSync(folder),
)

const run = (...commands: [string, ...string[]][]) => ({ commands })

const steps: readonly Step[] = [
  {
    name: 'types',
    about: 'TypeScript, strict',
    // The build information is a cache, so it lies with the other caches.
    plan: () =>
      run([
        'tsc',
        '-p',
        'tsconfig.json',
        '--incremental',
        '--tsBuildInfoFile',
        'node_modules/.cache/tsc.tsbuildinfo',
      ]),
  },
  {
    name: 'lint',
    about: 'eslint, typescript-eslint strict',
    plan: () => run(['eslint', '.', '--max-warnings', '0']),
  },
  {
    name: 'imports',
    about: "the house's walls, dependency-cruiser",
    plan: () =>
      run([
        'depcruise',
        '--config',
        '.dependency-cruiser.cjs',
        '-T',
        'err-long',
        ...codeFolders,
        'vitest.config.ts',
        'eslint.config.js',
      ]),
  },
  { name: 'format', about: 'prettier', plan: () => run(['prettier', '--check', '--log-level', 'warn', '.']) },
  { name: 'proto-lint', about: 'buf lint, STANDARD and COMMENTS', plan: () => run(['buf', 'lint']) },
  { name: 'proto-format', about: 'buf format', plan: () => run(['buf', 'format', '--diff', '--exit-code']) },
  { name: 'breaking-commit', about: 'buf breaking against HEAD~1', plan: () => breakingAgainst('HEAD~1') },
  {
    name: 'breaking-tag',
    about: 'buf breaking against the last tag',
    plan: () => {
      const tag = git('describe', '--tags', '--abbrev=0')
      return tag === undefined ? { skip: 'no tag in this history' } : breakingAgainst(tag)
    },
  },
  { name: 'unused', about: 'knip: files, exports, dependencies', plan: () => run(['knip']) },
  {
    name: 'contract',
    about: 'generated contract is up to date',
    plan: () => run([process.execPath, '--import', 'tsx', 'protos/generate.ts', '--check']),
  },
  {
    name: 'package',
    about: 'build, then publint',
    plan: () => run(['npm', 'run', '--silent', 'build'], ['publint', '--strict']),
  },
]

/**
 * Compares the protos with those of an earlier commit. The old tree comes through `git archive`, which works alike in
 * clones, worktrees and shallow clones; a commit that is not there is a reason to skip, as in the very first commit.
 */
function breakingAgainst(ref: string): Plan {
  const commit = git('rev-parse', '--quiet', '--verify', `${ref}^{commit}`)
  if (commit === undefined)
    return { skip: `${ref} is not in this history (first commit, shallow clone, or no git)` }
  const files = git('ls-tree', '-r', '--name-only', commit, '--', 'protos') ?? ''
  if (!/\.proto$/m.test(files)) return { skip: `${ref} has no protos` }
  const archive = join(scratch, `${commit}.tar`)
  if (git('archive', '--format=tar', `--output=${archive}`, commit, 'protos') === undefined) {
    return { skip: `the protos of ${ref} are not in this clone` }
  }
  return run(['buf', 'breaking', '--against', `${archive}#format=tar,subdir=protos`])
}

/** What git prints, or undefined where it fails, be it for want of git, of a repository or of the commit. */
function git(...args: string[]): string | undefined {
  try {
    return execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}

/** Runs one command; resolves to its output and whether it ended with 0. */
function execute([program, ...args]: readonly [string, ...string[]]): Promise<{
  ok: boolean
  output: string
}> {
  return new Promise((settle) => {
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.on('error', (error) => {
      settle({ ok: false, output: `cannot start ${program}: ${error.message}; run npm ci first` })
    })
    child.on('close', (code) => {
      settle({ ok: code === 0, output: Buffer.concat(chunks).toString('utf8') })
    })
  })
}

type Outcome = 'passed' | 'failed' | 'skipped'

async function runStep({ name, about, plan }: Step): Promise<Outcome> {
  const started = performance.now()
  const print = (outcome: Outcome, remark: string) => {
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    console.log(`${outcome.padEnd(7)} ${name.padEnd(16)} ${seconds.padStart(5)} s  ${remark}`)
    return outcome
  }
  const planned = plan()
  if ('skip' in planned) return print('skipped', `${about}: ${planned.skip}`)
  for (const command of planned.commands) {
    const { ok, output } = await execute(command)
    if (!ok) {
      print('failed', `${about}: ${command.join(' ')}`)
      console.log(output.trimEnd().replaceAll(/^/gm, '    '))
      return 'failed'
    }
  }
  return print('passed', about)
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.filter((name) => !steps.some((step) => step.name === name))
  if (unknown.length > 0) {
    console.error(`check: no step ${unknown.join(', ')}. Steps: ${steps.map((step) => step.name).join(', ')}`)
    return 2
  }
  const queue = steps.filter((step) => names.length === 0 || names.includes(step.name))
  const total: Record<Outcome, number> = { passed: 0, failed: 0, skipped: 0 }
  const lane = async () => {
    for (let step = queue.shift(); step !== undefined; step = queue.shift()) total[await runStep(step)]++
  }
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), 4) }, lane))
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
  return total.failed === 0 ? 0 : 1
}

process.exitCode = await main(process.argv.slice(2))
