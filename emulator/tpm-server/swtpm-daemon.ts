// "swtpm --daemon": the command returns when clients can connect. Node cannot fork, so the program starts itself again
// in a session of its own and waits for that process to say that it is ready.

import { spawn } from 'node:child_process'
import type { ChildProcess, StdioOptions } from 'node:child_process'
import { closeSync, writeSync } from 'node:fs'
import type { Readable } from 'node:stream'

/** Tells the second process which descriptor its parent waits at. */
const variable = 'PALIMPSEST_SWTPM_READY'

/** What starting in the background needs. */
export interface DaemonStart {
  /** Program and arguments that start this program again, the same command line included. */
  readonly command: readonly [string, ...string[]]
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Descriptors that the command line names. */
  readonly descriptors: readonly number[]
  /** Takes what the process writes to standard error before it is ready. */
  readonly complain: (text: string) => void
}

/** True in the process that is to stay in the background. */
export function isDaemon(environment: Readonly<Record<string, string | undefined>>): boolean {
  return environment[variable] !== undefined
}

/** Starts the background process; resolves with this process's exit code once it is ready or has failed. */
export async function startDaemon(start: DaemonStart): Promise<number> {
  const [program, ...words] = start.command
  const ready = Math.max(2, ...start.descriptors) + 1
  const stdio: StdioOptions = ['ignore', 'ignore', 'pipe']
  for (let descriptor = 3; descriptor < ready; descriptor += 1) {
    stdio.push(start.descriptors.includes(descriptor) ? descriptor : 'ignore')
  }
  stdio.push('pipe')
  const child = spawn(program, words, {
    detached: true,
    stdio,
    env: { ...start.environment, [variable]: String(ready) },
  })
  const code = await outcome(child, ready, start.complain)
  child.unref()
  for (const stream of child.stdio) stream?.destroy()
  return code
}

/** Says to the waiting process that clients can connect. What goes to standard error from now on is lost. */
export function tellReady(environment: Readonly<Record<string, string | undefined>>): void {
  const descriptor = Number(environment[variable] ?? NaN)
  if (!Number.isInteger(descriptor)) return
  process.stderr.on('error', () => undefined)
  writeSync(descriptor, 'ready')
  closeSync(descriptor)
}

async function outcome(
  child: ChildProcess,
  ready: number,
  complain: (text: string) => void,
): Promise<number> {
  child.stderr?.setEncoding('utf8')
  child.stderr?.on('data', complain)
  const signal = child.stdio[ready] as Readable
  return new Promise((resolve) => {
    signal.once('data', () => {
      resolve(0)
    })
    child.once('error', (error) => {
      complain(`swtpm: Failed to daemonize: ${error.message}\n`)
      resolve(1)
    })
    // Not 'exit', which may come before the last of what was written to standard error.
    child.once('close', (code) => {
      resolve(code ?? 1)
    })
  })
}
