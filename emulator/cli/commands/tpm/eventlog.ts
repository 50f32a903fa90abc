// `palimpsest tpm eventlog`: the commands for log files, where somebody with a TPM looks for them.

import { Command } from 'commander'
import { eventlogFileCommands } from '../eventlog.ts'

const HELP = `
Does this machine's log lead to the PCRs of its TPM?
  palimpsest tpm pcr read --json > pcrs.json
  palimpsest tpm eventlog replay /sys/kernel/security/tpm0/binary_bios_measurements --pcrs pcrs.json`

/** `palimpsest tpm eventlog` */
export function tpmEventlogCommand(): Command {
  const command = new Command('eventlog')
    .description('Read, replay and compare TCG event logs in files.')
    .addHelpText('after', HELP)
  for (const one of eventlogFileCommands()) command.addCommand(one)
  return command
}
