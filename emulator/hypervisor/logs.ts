/**
 * What the host remembers for its operators: the newest hypercalls and the newest receipts. Bounded, in memory.
 * Source: hypervisor.proto (ListHypercalls, ListReceipts); rows C-23 and C-07 of features.md.
 */
import type { Hypercall, RangePair, Receipt } from '../../sdk/rpc/index.ts'

const hypercallLimit = 10_000
const receiptLimit = 1_000
const pageBytes = 4096n

/** Which VM or worker named which guest physical addresses. */
export class HypercallLog {
  #calls: Hypercall[] = []
  #next = 1n

  /** Notes one call for each run of pages. */
  note(caller: string, call: 'share' | 'grant' | 'copied', vm: string, runs: Iterable<PageRun>): void {
    for (const run of runs) {
      const gpa = run.index * pageBytes
      this.#calls.push({ sequence: this.#next++, caller, call, vm, gpa, pages: run.pages })
    }
    // Trimmed in large steps, so that a note costs a push and no more.
    if (this.#calls.length > 2 * hypercallLimit) this.#calls = this.#calls.slice(-hypercallLimit)
  }

  /** Calls from sequence number `since` on, oldest first, at most 10 000. */
  since(since: bigint): Hypercall[] {
    const kept = this.#calls.slice(-hypercallLimit)
    return kept.filter((call) => call.sequence >= since)
  }
}

/** A run of guest pages. */
export interface PageRun {
  readonly index: bigint
  readonly pages: bigint
}

/** The runs of one side of range pairs. */
export function pageRuns(pairs: readonly RangePair[], side: 'first' | 'second'): PageRun[] {
  return pairs.map((pair) => ({ index: pair[side], pages: pair.count }))
}

/** Receipts of copy sessions. */
export class ReceiptLog {
  #receipts: Receipt[] = []

  /** Keeps a receipt. */
  note(clone: string, receipt: Uint8Array): void {
    this.#receipts.push({ clone, receipt })
    if (this.#receipts.length > 2 * receiptLimit) this.#receipts = this.#receipts.slice(-receiptLimit)
  }

  /** Receipts of one clone, or of all when `clone` is empty; oldest first, at most 1000. */
  list(clone: string): Receipt[] {
    const wanted = clone === '' ? this.#receipts : this.#receipts.filter((receipt) => receipt.clone === clone)
    return wanted.slice(-receiptLimit)
  }
}
