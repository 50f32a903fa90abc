/** What the hypervisor's integration tests share. */

/** Bytes of a block. */
export const blockBytes = 4096

/** Block `i` filled with bytes that tell which block it is. */
export function pattern(i: number): Uint8Array {
  return new Uint8Array(blockBytes).map((_byte, at) => (i * 31 + (at >> 4) + at) & 0xff)
}

/** Bytes of blocks `from` to `to` - 1. */
export function patterns(from: number, to: number): Uint8Array {
  const bytes = new Uint8Array((to - from) * blockBytes)
  for (let i = from; i < to; i++) bytes.set(pattern(i), (i - from) * blockBytes)
  return bytes
}

/** Byte address of a block. */
export function at(block: number, offset = 0): bigint {
  return BigInt(block * blockBytes + offset)
}

/** Waits until `check` holds. @throws Error with `what` after 20 s. */
export async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`waited 20 s for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** Whether two byte strings are equal. Vitest's own comparison of megabytes blocks the process for seconds. */
export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
