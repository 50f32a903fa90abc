// Bytes that a client sent and no message has used yet. One growing array, not a list of chunks: a client that sends
// byte by byte would otherwise make each byte cost an object.

const smallest = 4096
/** A larger array is given back as soon as it is empty. */
const worthKeeping = 65_536

/** A queue of bytes that can be looked into at the front. */
export class ByteQueue {
  #bytes = new Uint8Array(0)
  #start = 0
  #end = 0

  get length(): number {
    return this.#end - this.#start
  }

  /** Bytes of memory that the queue holds. */
  get capacity(): number {
    return this.#bytes.length
  }

  /** Bytes of memory that the queue would hold with `more` bytes appended. */
  capacityWith(more: number): number {
    const needed = this.length + more
    if (this.#end + more <= this.#bytes.length || needed <= this.#bytes.length / 2) return this.#bytes.length
    let capacity = Math.max(smallest, this.#bytes.length)
    while (capacity < needed) capacity *= 2
    return capacity
  }

  append(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#bytes.length) this.#makeRoom(chunk.length)
    this.#bytes.set(chunk, this.#end)
    this.#end += chunk.length
  }

  /** The unsigned 32-bit number, most significant byte first, at `offset` of the waiting bytes. */
  u32(offset: number): number {
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#start, this.length).getUint32(
      offset,
    )
  }

  u8(offset: number): number {
    if (offset >= this.length) throw new RangeError(`expected an offset below ${this.length}, got ${offset}`)
    return this.#bytes[this.#start + offset] ?? 0
  }

  /** A copy of `length` bytes from `offset` on, since the queue uses its memory again. */
  slice(offset: number, length: number): Uint8Array {
    if (offset + length > this.length) {
      throw new RangeError(`expected a slice within ${this.length} bytes, got ${offset} + ${length}`)
    }
    return this.#bytes.slice(this.#start + offset, this.#start + offset + length)
  }

  /** Drops `count` bytes from the front. */
  drop(count: number): void {
    this.#start = Math.min(this.#start + count, this.#end)
    if (this.#start < this.#end) return
    this.#start = 0
    this.#end = 0
    if (this.#bytes.length > worthKeeping) this.#bytes = new Uint8Array(0)
  }

  clear(): void {
    this.drop(this.length)
  }

  /** Moves the waiting bytes to the front, of a larger array when this one would soon be full again. */
  #makeRoom(more: number): void {
    const waiting = this.#bytes.subarray(this.#start, this.#end)
    const capacity = this.capacityWith(more)
    if (capacity > this.#bytes.length) {
      const larger = new Uint8Array(capacity)
      larger.set(waiting)
      this.#bytes = larger
    } else {
      this.#bytes.copyWithin(0, this.#start, this.#end)
    }
    this.#end = waiting.length
    this.#start = 0
  }
}
