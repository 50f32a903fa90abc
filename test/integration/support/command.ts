/**
 * The `palimpsest` command as scripts use it: run to its end, with its output and exit code; or started, until it is
 * told to stop. It is bundled once into one file, which starts in a fraction of the time: a test runs it dozens of times.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { build } from 'esbuild'
import { packageRoot } from '../../../emulator/testbed/index.ts'

/** How a command ended. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A command that runs until it is told to stop. */
export interface Started {
  readonly process: ChildProcess
  /** The first line that it printed. */
  readonly firstLine: string
  /** Everything else, once it has ended. */
  readonly ended: Promise<Ended>
}

/** What CommonJS modules find around them, for those that are bundled into an ES module. */
const COMMONJS = `
import { createRequire as requireFrom } from 'node:module'
import { dirname as folderOf } from 'node:path'
import { fileURLToPath as pathOf } from 'node:url'
const require = requireFrom(import.meta.url)
const __dirname = folderOf(pathOf(import.meta.url))
`

/** The command, bundled. */
export class PalimpsestCommand {
  readonly #folder: string
  readonly #entry: string

  private constructor(folder: string) {
    this.#folder = folder
    this.#entry = path.join(folder, 'emulator', 'cli', 'main.js')
  }

  /** Bundles the command below the package, where it finds the package's other files. */
  static async bundle(): Promise<PalimpsestCommand> {
    mkdirSync(path.join(packageRoot, 'dist'), { recursive: true })
    const folder = mkdtempSync(path.join(packageRoot, 'dist', 'test-command-'))
    await build({
      entryPoints: [path.join(packageRoot, 'emulator', 'cli', 'main.ts')],
      outfile: path.join(folder, 'emulator', 'cli', 'main.js'),
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'esm',
      // A native module; all others go in, CommonJS ones too, which ask for these names.
      external: ['lmdb'],
      banner: { js: COMMONJS },
      logLevel: 'silent',
    })
    return new PalimpsestCommand(folder)
  }

  /** Runs the command to its end. */
  async run(...args: readonly string[]): Promise<Ended> {
    return ended(this.#spawn(args))
  }

  /** Starts the command and resolves at its first line, or rejects with what it said when it ended before. */
  async start(...args: readonly string[]): Promise<Started> {
    const child = this.#spawn(args)
    const end = ended(child)
    const line = once(createInterface({ input: child.stdout ?? process.stdin }), 'line') as Promise<[string]>
    const first = await Promise.race([line, end])
    if ('code' in first) throw new Error(`palimpsest ${args.join(' ')} ended: ${first.stderr}`)
    return { process: child, firstLine: first[0], ended: end }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #spawn(args: readonly string[]): ChildProcess {
    return spawn(process.execPath, [this.#entry, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  }
}

async function ended(child: ChildProcess): Promise<Ended> {
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}
