// Messages that wait to be sent on a stream, in order: an async iterable that others push to.

/** Messages for one stream. Iterate it once; what is pushed while nobody reads waits. */
export class Outbox<T> implements AsyncIterable<T> {
  readonly #waiting: T[] = []
  #wake: (() => void) | undefined
  #ended = false

  /** Adds a message; nothing happens after {@link end}. */
  push(message: T): void {
    if (this.#ended) return
    this.#waiting.push(message)
    this.#wake?.()
  }

  /** Ends the stream once what waits was sent. */
  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const message = this.#waiting.shift()
      if (message !== undefined) yield message
      else if (this.#ended) return
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
        this.#wake = undefined
      }
    }
  }
}
