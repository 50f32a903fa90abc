/**
 * Faults whose access waits, by guest page, each with the time by which it must end one way or the other.
 * Source: host_port.proto (Fault, ResolveFaults); design.md section 5 step 6 (stall timeout).
 */
import type { Fault } from '../../sdk/rpc/index.ts'

interface Page {
  readonly ids: Map<bigint, NodeJS.Timeout>
}

/** Waiting faults of all VMs. */
export class WaitingFaults {
  readonly #pages = new Map<string, Page>()
  readonly #timeoutMs: number
  readonly #expire: (fault: Fault) => void

  /** `expire` is called with a fault that has waited for `timeoutMs`; it is forgotten here by then. */
  constructor(timeoutMs: number, expire: (fault: Fault) => void) {
    this.#timeoutMs = timeoutMs
    this.#expire = expire
  }

  /** Adds a fault. Returns false when it is known: open faults are sent again when the event stream reconnects. */
  add(fault: Fault): boolean {
    const key = keyOf(fault.vm, fault.index)
    const page = this.#pages.get(key) ?? { ids: new Map<bigint, NodeJS.Timeout>() }
    if (page.ids.has(fault.id)) return false
    this.#pages.set(key, page)
    const timer = setTimeout(() => {
      this.#forget(key, fault.id)
      this.#expire(fault)
    }, this.#timeoutMs)
    timer.unref()
    page.ids.set(fault.id, timer)
    return true
  }

  /** Ids of the faults that wait on a guest page; they are the caller's from now on. */
  take(vm: string, index: bigint): bigint[] {
    const key = keyOf(vm, index)
    const page = this.#pages.get(key)
    if (page === undefined) return []
    this.#pages.delete(key)
    for (const timer of page.ids.values()) clearTimeout(timer)
    return [...page.ids.keys()]
  }

  /** Forgets everything without resolving it. */
  clear(): void {
    for (const page of this.#pages.values()) {
      for (const timer of page.ids.values()) clearTimeout(timer)
    }
    this.#pages.clear()
  }

  #forget(key: string, id: bigint): void {
    const page = this.#pages.get(key)
    page?.ids.delete(id)
    if (page?.ids.size === 0) this.#pages.delete(key)
  }
}

function keyOf(vm: string, index: bigint): string {
  return `${vm}/${index.toString()}`
}
