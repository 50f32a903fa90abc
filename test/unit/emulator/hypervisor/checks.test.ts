/** Limits of what callers of the host's API may ask for. */
import { describe, expect, it } from 'vitest'
import { checkPairs } from '../../../../emulator/hypervisor/checks.ts'

describe('pairs of a memory clone', () => {
  const pairs = (count: bigint) => [
    { first: 0n, second: 0n, count: 262_144n },
    { first: 1_000_000n, second: 2_000_000n, count },
  ]

  it('are refused when the keys of their pages would not fit one message', () => {
    expect(() => checkPairs(pairs(262_145n))).toThrow(
      expect.objectContaining({
        code: 'OUT_OF_RANGE',
        message: expect.stringMatching(/at most 524288 pages.* found 524289/) as string,
      }),
    )
  })

  it('[control] are taken up to there', () => {
    expect(checkPairs(pairs(262_144n)).size).toBe(524_288n)
  })
})
