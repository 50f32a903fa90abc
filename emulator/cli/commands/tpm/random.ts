// `palimpsest tpm random`: random numbers of a TPM.

import { Command, InvalidArgumentError } from 'commander'
import { hex } from '../../../../sdk/crypto/index.ts'
import { TPM2_GetRandom } from '../../../../sdk/tpm2/index.ts'
import { CommandFailure, EXIT } from '../../output.ts'
import { onTpm, type TpmFlags, withTpm } from '../../tpm/session.ts'
import { writePrivate } from '../../tpm/values.ts'

const MOST = 65_536
/** A TPM gives at most a digest at a time; which is the largest, it knows. */
const AT_ONCE = 64

interface RandomFlags extends TpmFlags {
  readonly out?: string
}

/** `palimpsest tpm random` */
export function randomCommand(): Command {
  return withTpm(new Command('random'))
    .description('Print random bytes of the TPM in hexadecimal; they come over an encrypted session.')
    .argument('<bytes>', `how many, at most ${String(MOST)}`, countValue)
    .option('--out <file>', 'write them there as they are, readable for you alone')
    .action(random)
}

function countValue(text: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : 0
  if (count >= 1 && count <= MOST) return count
  throw new InvalidArgumentError(`expected a number from 1 to ${String(MOST)}`)
}

async function random(count: number, flags: RandomFlags): Promise<void> {
  await onTpm(flags, async (tpm) => {
    const bytes = new Uint8Array(count)
    for (let at = 0; at < count;) {
      const bytesRequested = Math.min(AT_ONCE, count - at)
      const { randomBytes } = await tpm.authorized(TPM2_GetRandom, { bytesRequested }, { secret: true })
      if (randomBytes.length === 0) throw new CommandFailure(EXIT.failed, 'the TPM gave no random bytes')
      bytes.set(randomBytes.subarray(0, count - at), at)
      at += randomBytes.length
    }
    if (flags.out === undefined) tpm.out.result({ bytes }, () => [hex(bytes)])
    else {
      writePrivate(flags.out, bytes)
      tpm.out.result({ size: count, out: flags.out }, () => [`written to ${String(flags.out)}`])
    }
  })
}
