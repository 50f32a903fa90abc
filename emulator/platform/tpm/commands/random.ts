// The random number generator.
// Source: TPM 2.0 Library, Part 3, clause 16, revision 1.59.

import { digestSize, TPM2_GetRandom, TPM2_StirRandom } from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { HASHES } from '../profile.ts'

/** As many bytes as the largest digest has; whoever asks for more gets these (Part 3, 16.1). */
const MAX_BYTES = Math.max(...HASHES.map((hashAlg) => digestSize(hashAlg)))

const getRandom = implement(TPM2_GetRandom, (tpm, { bytesRequested }) => ({
  randomBytes: tpm.random.next(Math.min(bytesRequested, MAX_BYTES)),
}))

const stirRandom = implement(TPM2_StirRandom, (tpm, { inData }) => {
  tpm.random.stir(inData)
  return {}
})

/** Clause 16. */
export const randomCommands: readonly Implementation[] = [getRandom, stirRandom]
