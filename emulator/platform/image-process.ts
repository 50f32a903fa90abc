// Runs a single-file image from bytes in memory, never from its file: what was measured is what runs, whatever becomes
// of the file meanwhile. The bytes go to `node -` on standard input; the launch secret goes over an inherited pipe, so
// that it is in no file, argument or environment. (Design, section 4: the worker is launched by the platform.)
//
// Descriptors of the child: 0 the program, 1 and 2 its output, 3 the bundle (JSON, then end of file), 4 the lifeline:
// it ends when this process does, however it ends, and the image must then end too. An image reads it through net.Socket:
// a file stream's read blocks in a thread that process.exit() waits for.

import { spawn, type ChildProcess } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { createInterface } from 'node:readline'
import { PalimpsestError, type Logger } from '../../sdk/rpc/index.ts'

const BUNDLE_FD = 3
const LIFELINE_FD = 4
/** A line of output beyond this is cut. */
const MAX_LINE = 8192
/** Below this a pino line is for debugging only. */
const PINO_INFO = 30
const PINO_WARN = 40

/** What to run. */
export interface ImageLaunch {
  /** Name for the log. */
  readonly name: string
  /** CommonJS, in one file. */
  readonly image: Uint8Array
  /** Launch bundle, given as JSON. */
  readonly bundle: unknown
  /** Where native modules that cannot be bundled lie; they are not measured. */
  readonly nodePath?: string | undefined
  readonly log: Logger
}

/** A running image. */
export interface ImageProcess {
  readonly pid: number
  /** Resolves once the process is gone: `exit code 1`, or a signal's name. */
  readonly exited: Promise<string>
  /** Ends it with SIGTERM, and with SIGKILL after `graceMs`; 0 kills at once. Resolves when it is gone. */
  stop(graceMs: number): Promise<void>
}

/** Starts an image. @throws UNAVAILABLE when the process cannot be started */
export async function startImage(launch: ImageLaunch): Promise<ImageProcess> {
  // The environment and the working folder steer node and module lookup, and are not measured: so they are empty.
  const child = spawn(process.execPath, ['-'], {
    cwd: '/',
    env: launch.nodePath === undefined ? {} : { NODE_PATH: launch.nodePath },
    stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
  })
  const exited = exitOf(child)
  await started(child, launch.name)
  feed(child.stdin, launch.image)
  feed(child.stdio[BUNDLE_FD] as Writable, new TextEncoder().encode(JSON.stringify(launch.bundle)))
  // Held open as long as this process lives; a child that ends first breaks it, which is no error.
  child.stdio[LIFELINE_FD]?.on('error', ignore)
  for (const output of [child.stdout, child.stderr]) forward(output, launch)
  return { pid: child.pid ?? 0, exited, stop: (graceMs) => stop(child, exited, graceMs) }
}

function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      resolve(signal ?? `exit code ${code ?? 'unknown'}`)
    })
  })
}

function started(child: ChildProcess, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (cause) => {
      reject(
        new PalimpsestError('UNAVAILABLE', `expected to start the image of "${name}": ${cause.message}`, {
          cause,
        }),
      )
    })
  })
}

function feed(pipe: Writable, bytes: Uint8Array): void {
  // A child that ends before it has read everything breaks the pipe; its exit says so.
  pipe.on('error', ignore)
  pipe.end(bytes)
}

function ignore(): void {
  // The exit of the child is what is watched.
}

async function stop(child: ChildProcess, exited: Promise<string>, graceMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill(graceMs > 0 ? 'SIGTERM' : 'SIGKILL')
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
  await exited
  clearTimeout(timer)
}

/** Puts the child's lines into this process's log, at the level that they carry if they are pino's. */
function forward(output: Readable, { log, name }: ImageLaunch): void {
  output.on('error', ignore)
  createInterface({ input: output }).on('line', (line) => {
    const level = pinoLevel(line)
    const text = `${name}: ${line.slice(0, MAX_LINE)}`
    if (level < PINO_INFO) log.debug(text)
    else if (level < PINO_WARN) log.info(text)
    else log.warn(text)
  })
}

/** A line that is not pino's is the complaint of somebody who could not log: it counts as a warning. */
function pinoLevel(line: string): number {
  const level = /^\{"level":(\d+),/.exec(line)?.[1]
  return level === undefined ? PINO_WARN : Number(level)
}
