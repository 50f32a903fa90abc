/**
 * Small tools for waiting: a promise that is settled from outside, a queue that is read as it fills, and a gate that
 * many may pass together or one alone.
 */

/** A promise with its two ends. Its rejection may go unobserved. */
export class Deferred<T> {
  readonly promise: Promise<T>
  resolve!: (value: T) => void
  reject!: (reason: unknown) => void

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    this.promise.catch(() => undefined)
  }
}

/** A queue with one reader. It keeps the newest `most` items that were not read yet; all of them by default. */
export class Mailbox<T> implements AsyncIterable<T> {
  readonly #items: T[] = []
  readonly #most: number
  #wake: (() => void) | undefined
  #closed = false

  constructor(most = Infinity) {
    this.#most = most
  }

  /** Adds an item; after `close` it is dropped. */
  put(item: T): void {
    if (this.#closed) return
    this.#items.push(item)
    if (this.#items.length > this.#most) this.#items.shift()
    this.#wake?.()
  }

  /** Ends the reader once it has read what is there. */
  close(): void {
    this.#closed = true
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    while (true) {
      for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift()) yield item
      if (this.#closed) return
      await new Promise<void>((resolve) => (this.#wake = resolve))
      this.#wake = undefined
    }
  }
}

/** A gate per key: any number of `shared` holders, or one `exclusive` holder, in the order in which they came. */
export class Gates {
  readonly #gates = new Map<string, { shared: number; exclusive: boolean; waiting: Waiter[] }>()

  /** Runs `work` together with other shared holders of `key`. */
  shared<T>(key: string, work: () => Promise<T>): Promise<T> {
    return this.#run(key, false, work)
  }

  /** Runs `work` while nobody else holds `key`. */
  exclusive<T>(key: string, work: () => Promise<T>): Promise<T> {
    return this.#run(key, true, work)
  }

  async #run<T>(key: string, exclusive: boolean, work: () => Promise<T>): Promise<T> {
    const gate = this.#gates.get(key) ?? { shared: 0, exclusive: false, waiting: [] }
    this.#gates.set(key, gate)
    const free = gate.waiting.length === 0 && !gate.exclusive && (!exclusive || gate.shared === 0)
    if (free) {
      if (exclusive) gate.exclusive = true
      else gate.shared += 1
    } else {
      await new Promise<void>((enter) => gate.waiting.push({ exclusive, enter }))
    }
    try {
      return await work()
    } finally {
      if (exclusive) gate.exclusive = false
      else gate.shared -= 1
      this.#admit(key)
    }
  }

  /** Lets in whoever may enter now. The place is taken for them here, so that nobody slips in between. */
  #admit(key: string): void {
    const gate = this.#gates.get(key)
    if (gate === undefined) return
    for (let next = gate.waiting[0]; next !== undefined; next = gate.waiting[0]) {
      if (gate.exclusive || (next.exclusive && gate.shared > 0)) break
      gate.waiting.shift()
      if (next.exclusive) gate.exclusive = true
      else gate.shared += 1
      next.enter()
    }
    if (gate.shared === 0 && !gate.exclusive && gate.waiting.length === 0) this.#gates.delete(key)
  }
}

interface Waiter {
  readonly exclusive: boolean
  readonly enter: () => void
}

/** Waits, or less when `signal` is aborted. Does not keep the process alive. */
export function delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, milliseconds)
    timer.unref()
    signal?.addEventListener('abort', done, { once: true })
  })
}
