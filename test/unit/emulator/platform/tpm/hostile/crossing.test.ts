// Every scene's command on every other scene's TPM: the same handles stand for objects, indices and sessions of other
// kinds there, or for nothing. It is what a client does that has lost track, and meets the refusals that no change of
// single octets does.

import { beforeAll, describe, expect, it } from 'vitest'
import { TPM_CC } from '../../../../../../sdk/tpm2/index.ts'
import { strike } from './attack.ts'
import { type Scene, type Sent, stage } from './scene.ts'
import { SCENES } from './scenes.ts'

/** They take long where they succeed. */
const SLOW: ReadonlySet<number> = new Set([TPM_CC.RSA_Decrypt, TPM_CC.RSA_Encrypt, TPM_CC.SelfTest])

const commands: { readonly scene: Scene; readonly sent: Sent }[] = []

beforeAll(async () => {
  for (const scene of SCENES.filter(({ row }) => !SLOW.has(row.code))) {
    commands.push({ scene, sent: (await stage(scene)).sent })
  }
})

describe('[hostile] commands on other TPMs than theirs', () => {
  it.each(SCENES.map((one) => [one.title, one] as const))('on that of %s nothing breaks', async (_, one) => {
    const { rig } = await stage(one)
    const before = rig.states()
    const findings: string[] = []
    for (const { scene, sent } of commands) {
      const { wrong, dirty } = strike(rig, sent.bytes, sent.locality, before)
      if (wrong !== undefined) findings.push(`${scene.title}: ${wrong}`)
      if (dirty) rig.restore(before)
    }
    expect(findings).toEqual([])
  })
})
