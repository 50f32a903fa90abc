// The demo's story: steps with the time since the start, checks, and the steps of the claims in the order in which the
// plugins took them. Printed as it happens, and kept for --json.

import type { Output } from '../output.ts'
import { timeText } from '../output.ts'
import type { TimedEvent, VmHandle } from './vm-handle.ts'

/** What each event of a plugin means in the words of the claims. */
const CLAIM_STEPS: Readonly<Record<string, (event: Readonly<Record<string, unknown>>) => string>> = {
  ENROLLED: () => 'enrolled the platform: EK certificate, AK, credential activation',
  APPROVED: (event) => `agreed to the clone "${text(event['clone'])}"`,
  CHALLENGED: () => 'challenged the terms with its own nonce',
  MEASUREMENT_RECEIVED: (event) =>
    `received measurement ${text(event['measurement']).slice(0, 16)}… and the block ids ${text(event['first'])} -> ${text(event['second'])}`,
  VALIDATED: (event) => `validated them: ${String(stepsOf(event).length)} checks passed`,
  KEYS_SENT: (event) => `sent ${text(event['keys'])} keys, sealed to the attested worker`,
}

export class Timeline {
  readonly #out: Output
  readonly #started = Date.now()
  readonly #findings: Record<string, unknown> = { steps: [], checks: [] }

  constructor(out: Output) {
    this.#out = out
  }

  get findings(): Readonly<Record<string, unknown>> {
    return this.#findings
  }

  /** A step that just happened. */
  step(what: string, detail: string): void {
    this.#at(Date.now(), what, detail)
  }

  /** A check and whether it holds. */
  check(holds: boolean, what: string): void {
    this.#out.line(`           ${holds ? this.#out.good('ok') : this.#out.bad('NO')}  ${what}`)
    ;(this.#findings['checks'] as unknown[]).push({ what, holds })
  }

  /** The claim steps of both plugins, in the order in which they happened. */
  claims(source: VmHandle, destination: VmHandle): void {
    const named = (name: string, events: readonly TimedEvent[]) => events.map((event) => ({ ...event, name }))
    const all = [...named('source', source.events), ...named('destination', destination.events)]
    all.sort((a, b) => a.at - b.at)
    for (const { at, name, event } of all) {
      const say = CLAIM_STEPS[event.event]
      if (say !== undefined) this.#at(at, `${name} plugin`, say({ ...event }))
    }
  }

  /** A result for --json. */
  result(name: string, value: unknown): void {
    this.#findings[name] = value
  }

  #at(at: number, what: string, detail: string): void {
    const since = timeText(at - this.#started).padStart(8)
    this.#out.line(`${this.#out.dim(since)}  ${what}: ${detail}`)
    ;(this.#findings['steps'] as unknown[]).push({ ms: at - this.#started, what, detail })
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
}

function stepsOf(event: Readonly<Record<string, unknown>>): readonly unknown[] {
  const steps = event['steps']
  return Array.isArray(steps) ? steps : []
}
