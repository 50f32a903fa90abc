// What guest memory costs the platform, measured in a process of its own: the ownership table by its structure, the
// resident set with the room that its limit leaves.

import { describe, expect, it } from 'vitest'
import { memoryCost, residentLimit, TABLE_BYTES_LIMIT } from '../../../../bench/memory-cost.ts'

const MEBIBYTES = 128

describe('memory of a guest of 64 GiB', () => {
  it.each([
    { scattered: false, integrity: false },
    { scattered: true, integrity: false },
    { scattered: true, integrity: true },
  ])('costs what is touched: %o', async (how) => {
    const cost = await memoryCost({ mebibytes: MEBIBYTES, ...how })
    expect(cost.touchedBytes).toBe(MEBIBYTES << 20)
    // The limit is one: what was touched is really resident.
    expect(cost.residentBytes).toBeGreaterThan(cost.touchedBytes)
    expect(cost.residentBytes).toBeLessThanOrEqual(residentLimit(cost.touchedBytes))
    if (!how.scattered) {
      expect(cost.tableBytes / (cost.touchedBytes / 4096)).toBeLessThanOrEqual(TABLE_BYTES_LIMIT)
    }
  })
})
