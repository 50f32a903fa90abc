// Named places where a test may stop a worker, to see what the rest of the system makes of it. A point can only delay
// or end the process, so the untrusted host may arm it: that is no more than the denial of service it has anyway.

/** The places, in the order in which a copy passes them. */
export const FAULT_POINTS = ['copier.beforeRead', 'copier.afterDecrypt', 'copier.afterStore'] as const

/** Name of a fault point. */
export type FaultPointName = (typeof FAULT_POINTS)[number]

/** Stay until ended from outside, or end at once as SIGKILL does. */
export type FaultPointAction = 'pause' | 'kill'

/** Fault points of one process; each armed point acts once. */
export class FaultPoints {
  readonly #armed = new Map<FaultPointName, FaultPointAction>()
  readonly #announce: (point: FaultPointName, action: FaultPointAction) => void

  /** `announce` is told when a point is reached, before it acts. */
  constructor(announce: (point: FaultPointName, action: FaultPointAction) => void) {
    this.#announce = announce
  }

  /** Arms `point`, or disarms it when `action` is undefined. */
  set(point: FaultPointName, action: FaultPointAction | undefined): void {
    if (action === undefined) this.#armed.delete(point)
    else this.#armed.set(point, action)
  }

  /** Acts if `point` is armed; else returns at once. */
  async reached(point: FaultPointName): Promise<void> {
    const action = this.#armed.get(point)
    if (action === undefined) return
    this.#armed.delete(point)
    this.#announce(point, action)
    if (action === 'kill') process.kill(process.pid, 'SIGKILL')
    await new Promise<never>(() => {
      // Never resolves: the process is ended from outside.
    })
  }
}

/** Whether `name` is a fault point. */
export function isFaultPoint(name: string): name is FaultPointName {
  return (FAULT_POINTS as readonly string[]).includes(name)
}
