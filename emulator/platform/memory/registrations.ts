// Names of registrations that hold RESERVED frames, as numbers that fit a row of the ownership table. A registration is
// known as long as it holds a frame.

interface Registration {
  readonly name: string
  readonly number: number
  frames: number
}

/** Registrations by name and by number. */
export class Registrations {
  readonly #byName = new Map<string, Registration>()
  readonly #byNumber = new Map<number, Registration>()
  #next = 1

  /** The number of a registration that holds frames; undefined for any other. */
  number(name: string): number | undefined {
    return this.#byName.get(name)?.number
  }

  /** The name of a registration that holds frames, or ''. */
  name(number: number): string {
    return this.#byNumber.get(number)?.name ?? ''
  }

  /** Counts `frames` more of a registration and returns its number. */
  take(name: string, frames: number): number {
    let entry = this.#byName.get(name)
    if (entry === undefined) {
      entry = { name, number: this.#next++, frames: 0 }
      this.#byName.set(name, entry)
      this.#byNumber.set(entry.number, entry)
    }
    entry.frames += frames
    return entry.number
  }

  /** Counts one frame less of a registration. */
  release(number: number): void {
    const entry = this.#byNumber.get(number)
    if (entry === undefined || --entry.frames > 0) return
    this.#byName.delete(entry.name)
    this.#byNumber.delete(number)
  }
}
