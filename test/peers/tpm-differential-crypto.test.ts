// The same commands to our TPM and to swtpm: equal response codes, and equal bytes where nothing is random. Keys come from
// outside, so that both TPMs compute with the same ones.
//
// Where swtpm 0.7.1 (libtpms 0.9.2) and Part 3 differ, we are with Part 3, and there is no case here:
// - TPM2_RSA_Decrypt of a number above the modulus or with bad OAEP padding: VALUE; swtpm FAILURE.
// - TPM2_RSA_Encrypt of a message that is too long: VALUE; swtpm FAILURE.
// - TPM2_SequenceUpdate of what is no sequence: MODE of the handle; swtpm of the first parameter.
// - ivOut of CFB after a partial block, where Part 3 says nothing: zeros; swtpm the rest of the key stream.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Tpm } from '../../emulator/platform/tpm/tpm.ts'
import { TPM2_Startup, TPM_SU, TpmClient } from '../../sdk/tpm2/index.ts'
import { requireTool } from './tool.ts'
import { asymmetric, exchanges, symmetric } from './tpm-differential/ciphers.ts'
import { primitives, sequences, testing } from './tpm-differential/primitives.ts'
import { attestation, signing } from './tpm-differential/signatures.ts'
import { targets, type TpmUnderTest } from './tpm/tpm-under-test.ts'

describe('[peers] our TPM and swtpm answer alike', () => {
  let swtpm: TpmUnderTest
  let theirs: TpmClient
  let ours: TpmClient

  beforeAll(async () => {
    const reference = targets.find((target) => target.reference)
    if (reference === undefined) throw new Error('expected a reference TPM among the targets')
    swtpm = await reference.start()
    theirs = new TpmClient(swtpm)
    const tpm = new Tpm()
    tpm.powerOn()
    ours = new TpmClient({ send: (command) => tpm.execute(command) })
    for (const client of [ours, theirs]) await client.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
  })
  afterAll(async () => swtpm.stop())

  const cases = [
    primitives,
    sequences,
    symmetric,
    asymmetric,
    exchanges,
    signing,
    attestation,
    testing,
  ].flat()
  for (const [title, run] of cases) {
    it(title, async (context) => {
      requireTool(context, 'swtpm', 'swtpm')
      expect(await run(ours)).toEqual(await run(theirs))
    })
  }
})
