// Measuring: repeated calls, percentiles, and the two costs of everything, wall time and processor time.

/** One line: what was measured, and how it compares to its peer. */
export interface Row {
  readonly what: string
  readonly measured: string
  readonly peer: string
}

/** Times of repeated calls, in milliseconds. */
export interface Latency {
  readonly calls: number
  readonly p50: number
  readonly p99: number
}

/** Calls `work` `calls` times, one after the other, after `warmUp` calls that do not count. */
export async function latency(
  calls: number,
  warmUp: number,
  work: (call: number) => Promise<unknown>,
): Promise<Latency> {
  const times: number[] = []
  for (let call = -warmUp; call < calls; call += 1) {
    const started = performance.now()
    await work(call + warmUp)
    if (call >= 0) times.push(performance.now() - started)
  }
  times.sort((a, b) => a - b)
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  return { calls, p50: at(0.5), p99: at(0.99) }
}

/** Wall time of `work` in milliseconds. */
export async function wall(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return performance.now() - started
}

/** Bytes a second of processor time that `work` gets through, called until `ms` milliseconds of it were used. */
export function throughput(bytes: number, ms: number, work: () => void): number {
  const started = process.cpuUsage()
  let calls = 0
  let used = 0
  while (used < ms * 1000) {
    work()
    calls += 1
    const { user, system } = process.cpuUsage(started)
    used = user + system
  }
  return (calls * bytes) / (used / 1e6)
}
