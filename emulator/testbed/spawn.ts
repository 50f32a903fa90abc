// Starts the `palimpsest` command as a process of its own and waits for the line that says it is ready.

import { type ChildProcess, spawn } from 'node:child_process'
import { extname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { packageRoot } from './images.ts'

/**
 * Arguments that make node run the command: from dist, or from source through tsx. With PALIMPSEST_PREBUILT=1 the bundle
 * that `npm run images -- --command` made is run from source too: it starts in a fraction of the time, and `npm test`,
 * which makes it first, starts many.
 */
export function nodeArguments(entry: readonly string[]): string[] {
  const fromSource = extname(fileURLToPath(import.meta.url)) === '.ts'
  const prebuilt = process.env['PALIMPSEST_PREBUILT'] === '1'
  if (!fromSource || prebuilt) return [join(packageRoot, 'dist', 'emulator', ...entry) + '.js']
  return [
    '--conditions',
    'palimpsest-source',
    '--import',
    'tsx',
    join(packageRoot, 'emulator', ...entry) + '.ts',
  ]
}

/** A child process with its first lines of output. */
export interface SpawnedCommand {
  readonly process: ChildProcess
  /** The first JSON document that it printed. */
  readonly ready: Record<string, unknown>
}

/**
 * Runs `palimpsest ARGUMENTS` and resolves at its first line of JSON. Rejects with its stderr when it ends before.
 * `onLog` is called with everything that it writes to stderr, for as long as it runs.
 */
export async function spawnCommand(
  commandArguments: readonly string[],
  onLog: (text: string) => void = () => undefined,
): Promise<SpawnedCommand> {
  const child = spawn(process.execPath, [...nodeArguments(['cli', 'main']), ...commandArguments], {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: process.cwd(),
  })
  let complaints = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints = (complaints + text).slice(-8192)
    onLog(text)
  })
  const lines = createInterface({ input: child.stdout })
  const ready = await new Promise<Record<string, unknown>>((resolve, reject) => {
    lines.once('line', (line) => {
      try {
        resolve(JSON.parse(line) as Record<string, unknown>)
      } catch {
        reject(new Error(`palimpsest ${commandArguments.join(' ')} expected to print JSON, printed: ${line}`))
      }
    })
    child.once('exit', (code, signal) => {
      reject(
        new Error(
          `palimpsest ${commandArguments.join(' ')} ended with ${String(code ?? signal)}: ${complaints}`,
        ),
      )
    })
  })
  return { process: child, ready }
}

/** Ends a child with SIGTERM, and with SIGKILL when it stays. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve()
    })
  })
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await gone
  clearTimeout(timer)
}
