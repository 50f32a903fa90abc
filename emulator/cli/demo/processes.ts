// Peak memory of a process, from Linux (proc(5), VmHWM).

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
