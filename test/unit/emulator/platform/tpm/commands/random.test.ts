// Random numbers.

import { describe, expect, it } from 'vitest'
import { fixedEntropy } from '../../../../../../emulator/platform/tpm/keys/index.ts'
import { TPM2_GetRandom, TPM2_StirRandom } from '../../../../../../sdk/tpm2/index.ts'
import { rig, utf8 } from './crypto-rig.ts'

describe('TPM2_GetRandom', () => {
  it('gives at most as many bytes as the largest digest has, and never the same', async () => {
    const { client } = await rig()
    const asked = async (bytesRequested: number) =>
      (await client.call(TPM2_GetRandom, { bytesRequested })).randomBytes
    for (const [count, length] of [
      [0, 0],
      [1, 1],
      [64, 64],
      [65, 64],
      [0xffff, 64],
    ] as const) {
      expect(await asked(count)).toHaveLength(length)
    }
    expect(await asked(32)).not.toEqual(await asked(32))
  })

  it('gives a fixed sequence for tests, which stirring changes', async () => {
    const bytes = async (stirred?: string) => {
      const { client } = await rig({ entropy: fixedEntropy('seed') })
      if (stirred !== undefined) await client.call(TPM2_StirRandom, { inData: utf8(stirred) })
      return (await client.call(TPM2_GetRandom, { bytesRequested: 32 })).randomBytes
    }
    expect(await bytes()).toEqual(await bytes())
    expect(await bytes('a')).toEqual(await bytes('a'))
    expect(await bytes('a')).not.toEqual(await bytes())
    expect(await bytes('a')).not.toEqual(await bytes('b'))
  })
})
