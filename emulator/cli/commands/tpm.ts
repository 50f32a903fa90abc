// `palimpsest tpm`: a TPM 2.0 to work with, and the daily jobs with one, each in a file of its own.

import { Command } from 'commander'
import { checkquoteCommand } from './tpm/checkquote.ts'
import { tpmEventlogCommand } from './tpm/eventlog.ts'
import { infoCommand } from './tpm/info.ts'
import { nvCommand } from './tpm/nv.ts'
import { tpmPcrCommand } from './tpm/pcr.ts'
import { clearCommand, selftestCommand, shutdownCommand, startupCommand } from './tpm/power.ts'
import { tpmQuoteCommand } from './tpm/quote.ts'
import { randomCommand } from './tpm/random.ts'
import { sealCommand, unsealCommand } from './tpm/seal.ts'
import { serveCommand } from './tpm/serve.ts'

const HELP = `
A TPM to try this on, and the environment variable that points these commands and tpm2-tools at it:
  palimpsest tpm serve --startup          stays in the foreground
  export TPM2TOOLS_TCTI=swtpm:host=127.0.0.1,port=2321
Or without a server, a TPM in a folder: add --tpm my-tpm to any command below.

  palimpsest tpm info                     which TPM it is, what it can do, what is in use
  palimpsest tpm pcr read sha256:0,7      PCRs, as tpm2_pcrread prints them
  palimpsest tpm quote --pcrs sha256:0,7 --nonce 0123 --out proof
  palimpsest tpm checkquote proof --nonce 0123 --pcrs sha256:0,7
  palimpsest tpm seal file:secret --pcrs sha256:7 --out secret.sealed
  palimpsest tpm unseal secret.sealed
  palimpsest tpm nv define 0x1500016 --size 32

Exit codes: 0 done; 1 a check failed; 2 wrong command line or file; 3 no TPM answers; 4 the TPM refused, with its code.`

export function tpmCommand(): Command {
  return new Command('tpm')
    .description('A TPM 2.0 that real clients accept, and the daily jobs with one.')
    .addHelpText('after', HELP)
    .addCommand(serveCommand())
    .addCommand(startupCommand())
    .addCommand(shutdownCommand())
    .addCommand(infoCommand())
    .addCommand(selftestCommand())
    .addCommand(clearCommand())
    .addCommand(randomCommand())
    .addCommand(tpmPcrCommand())
    .addCommand(tpmQuoteCommand())
    .addCommand(checkquoteCommand())
    .addCommand(tpmEventlogCommand())
    .addCommand(nvCommand())
    .addCommand(sealCommand())
    .addCommand(unsealCommand())
}
