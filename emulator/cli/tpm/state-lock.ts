// One process at a time works with a TPM's state: two would each write their own idea of it. A file beside the state is
// the lock. It says whose it is, so that one whose process has gone is taken over.

import { randomUUID } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CommandFailure, EXIT } from '../output.ts'

/** Milliseconds to wait for a process that works with the state: commands end soon, a server does not. */
const PATIENCE = 3000
const PAUSE = 20

/** What our locks say: our number, which systems give again, and a word that nobody had before. */
const OURS = `${String(process.pid)} ${randomUUID()}`

/**
 * Takes the lock of a file, `path` with ".lock" added, and makes the file's folder where there is none. Returns what
 * gives it back. Throws CommandFailure `unavailable` when another process has it for longer than `patience`.
 */
export async function lockState(path: string, patience = PATIENCE): Promise<() => void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const lock = `${path}.lock`
  for (let waited = 0; ; waited += PAUSE) {
    const holder = firstHolder(lock)
    if (holder === undefined && claim(lock)) {
      return () => {
        if (read(lock) === OURS) rmSync(lock)
      }
    }
    if (holder !== undefined && waited >= patience) {
      const advice = 'wait for it, stop it, or reach its TPM with --tcti'
      const message = `process ${String(holder)} works with the TPM in ${path}; ${advice} (lock: ${lock})`
      throw new CommandFailure(EXIT.unavailable, message)
    }
    if (holder !== undefined) await sleep(PAUSE)
  }
}

/** False when there is a lock. Linked as a whole: nobody sees a lock that does not say whose it is. */
function claim(lock: string): boolean {
  const ours = `${lock}.${OURS.replace(' ', '-')}`
  writeFileSync(ours, OURS, { mode: 0o600 })
  try {
    linkSync(ours, lock)
    return true
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false
    throw error
  } finally {
    rmSync(ours)
  }
}

/**
 * The living process that has the lock or is about to take it over; undefined when it is free. Frees a lock whose
 * process has gone, and only while holding a lock for that, which may be left behind itself: of two processes that see
 * an abandoned lock, the slower one would else remove the one that the faster has just taken.
 */
function firstHolder(lock: string): number | undefined {
  const holder = holderOf(lock)
  if (holder !== 'gone') return holder
  const turn = `${lock}.takeover`
  const other = firstHolder(turn)
  if (other !== undefined) return other
  if (!claim(turn)) return firstHolder(lock)
  try {
    if (holderOf(lock) === 'gone') rmSync(lock)
  } finally {
    rmSync(turn)
  }
  return undefined
}

/** The living process that a lock names, or that it has gone; undefined when there is no lock. */
function holderOf(lock: string): number | 'gone' | undefined {
  const text = read(lock)
  if (text === undefined) return undefined
  const pid = Number.parseInt(text, 10)
  // Another lock with our own number is of a process that has gone: containers give the same numbers again.
  if (!(pid > 0) || (pid === process.pid && text !== OURS)) return 'gone'
  try {
    process.kill(pid, 0)
    return pid
  } catch (error) {
    return isCode(error, 'EPERM') ? pid : 'gone'
  }
}

function read(lock: string): string | undefined {
  try {
    return readFileSync(lock, 'utf8')
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
