/**
 * Which process this is, and whether another one still lives: for the one-writer rule and for telling a crash of
 * the process from a crash of the machine. Source: proc(5), `/proc/[pid]/stat` fields 3 and 22, and
 * `/proc/sys/kernel/random/boot_id`. Without /proc only the process id counts.
 */
import { readFileSync } from 'node:fs'

/** A process, so that a later process with the same id is not taken for it. */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks after boot; empty where the system does not tell. */
  readonly startTime: string
  readonly boot: string
}

/** The identity of this boot of the machine; empty where the system does not tell. */
export function bootIdentity(): string {
  return readText('/proc/sys/kernel/random/boot_id')?.trim() ?? ''
}

/** This process. */
export function ownIdentity(): ProcessIdentity {
  return {
    pid: process.pid,
    startTime: processStat(process.pid)?.startTime ?? '',
    boot: bootIdentity(),
  }
}

/** True while the process runs. Processes of another container are not visible and count as gone. */
export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.boot !== bootIdentity()) return false
  try {
    process.kill(identity.pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  const stat = processStat(identity.pid)
  if (stat === undefined) return true
  return stat.state !== 'Z' && stat.startTime === identity.startTime
}

function processStat(pid: number): { state: string; startTime: string } | undefined {
  const text = readText(`/proc/${String(pid)}/stat`)
  if (text === undefined) return undefined
  // The command's name in field 2 may hold spaces and brackets, so count from its last bracket.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '', startTime: fields[19] ?? '' }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}
