// The tests of one family's scenes under every corruption, truncation, extension and wrong size.

import { describe, expect, it } from 'vitest'
import { describeResponseCode } from '../../../../../../sdk/tpm2/index.ts'
import { attack } from './attack.ts'
import { type Scene, stage } from './scene.ts'

/** With TRACE_HOSTILE set, says which codes came how often. */
const traced = process.env['TRACE_HOSTILE'] !== undefined

/** Adds one test for each scene. */
export function corruptScenes(family: string, scenes: readonly Scene[]): void {
  describe(`[hostile] ${family}: corrupted, cut, extended, with wrong sizes`, () => {
    it.each(scenes.map((one) => [one.title, one] as const))(
      '%s is answered with a code that fits, and nothing changes',
      async (_, one) => {
        const { rig, sent } = await stage(one)
        const { wrong, codes } = attack(rig, sent, one.dear)
        if (traced) {
          const list = [...codes].map(
            ([rc, count]) => `${one.row.name} ${describeResponseCode(rc)} x${String(count)}`,
          )
          process.stderr.write(`${list.join('\n')}\n`)
        }
        expect(wrong.slice(0, 10)).toEqual([])
      },
    )
  })
}
