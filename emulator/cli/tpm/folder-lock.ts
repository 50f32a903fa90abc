// One process at a time works with the TPM in a folder: two would each write their own idea of its state.
// A file with the process's number is the lock; one whose process has gone is taken over.

import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CommandFailure, EXIT } from '../output.ts'

/** Milliseconds to wait for a process that works with the folder: commands end soon, a server does not. */
const PATIENCE = 3000
const PAUSE = 20

/**
 * Makes the folder where there is none, and locks it. Returns what unlocks it.
 * Throws CommandFailure `unavailable` when another process holds it for longer than a command takes.
 */
export async function lockFolder(folder: string, patience = PATIENCE): Promise<() => void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, 'tpm-state.lock')
  for (let waited = 0; ; waited += PAUSE) {
    if (tryLock(path)) {
      return () => {
        rmSync(path, { force: true })
      }
    }
    const holder = holderOf(path)
    if (holder !== undefined && waited >= patience) {
      const advice = 'wait for it, stop it, or reach its TPM with --tcti'
      const message = `process ${String(holder)} works with the TPM in ${folder}; ${advice} (lock: ${path})`
      throw new CommandFailure(EXIT.unavailable, message)
    }
    if (holder === undefined) rmSync(path, { force: true })
    else await sleep(PAUSE)
  }
}

/** The number is written beside the lock and linked to it: nobody sees a lock without its number. */
function tryLock(path: string): boolean {
  const mine = `${path}.${String(process.pid)}`
  writeFileSync(mine, String(process.pid), { mode: 0o600 })
  try {
    linkSync(mine, path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(mine, { force: true })
  }
}

/**
 * The living process that holds the lock; undefined when there is none. A lock with our own number is one of a process
 * that has gone: containers give the same numbers again.
 */
function holderOf(path: string): number | undefined {
  const pid = Number(readIfThere(path))
  if (!Number.isSafeInteger(pid) || pid <= 0 || pid === process.pid) return undefined
  try {
    process.kill(pid, 0)
    return pid
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM' ? pid : undefined
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
