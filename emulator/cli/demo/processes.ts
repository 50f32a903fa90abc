// What a process has used, from Linux (proc(5)): peak memory and processor time.

import { readFileSync } from 'node:fs'

/** Peak resident memory in bytes; 0 where the system does not tell. */
export function peakMemory(pid: number): number {
  try {
    const status = readFileSync(`/proc/${String(pid)}/status`, 'utf8')
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** Clock ticks a second in /proc: fixed at 100 for programs (proc(5), sysconf(_SC_CLK_TCK)). */
const TICKS = 100

/** Processor time in milliseconds, user and system; 0 where the system does not tell. */
export function processorTime(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
    // The command's name, in parentheses, may hold spaces; utime and stime are fields 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1000
  } catch {
    return 0
  }
}
