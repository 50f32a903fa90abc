// Which commands there are, and the help that teaches them; each command lives in a file of its own.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { packageRoot } from '../testbed/index.ts'
import { attackCommand } from './commands/attack.ts'
import { auditCommand } from './commands/audit.ts'
import { cloneCommand } from './commands/clone.ts'
import { demoCommand } from './commands/demo.ts'
import { doctorCommand } from './commands/doctor.ts'
import { identityCommand } from './commands/identity.ts'
import { eventlogCommand, pcrCommand, quoteCommand } from './commands/measurements.ts'
import { policyCommand } from './commands/policy.ts'
import { registrationCommand } from './commands/registration.ts'
import { emulatorCommand, hypervisorCommand, platformCommand, upCommand } from './commands/run.ts'
import { snpDigestCommand } from './commands/snp-digest.ts'
import { tpmCommand } from './commands/tpm.ts'
import { vmCommand } from './commands/vm.ts'
import { volumeCommand } from './commands/volume.ts'
import { workerCommand } from './commands/worker.ts'

const HELP = `
Start here:
  palimpsest demo                     the whole flow on real data, checked by an independent reader
  palimpsest up                       an emulator with a worker, in the folder .palimpsest
  palimpsest doctor                   what this machine offers, and whether an emulator runs

Then, beside a running "palimpsest up":
  palimpsest vm create vm-a --memory 16MiB              a VM, and an identity that owns it
  palimpsest vm create vm-b --memory 16MiB --unmapped   room for a clone of its memory
  palimpsest policy learn --peer vm-b > vm-a.json       what vm-a's plugin shall accept; it serves with this policy
  palimpsest clone create a-to-b --source vm-a --destination vm-b --pages 16

Exit codes: 0 done and as it should be; 1 a check found a difference or a refusal; 2 wrong command line or input file,
nothing changed; 3 something needed can not be reached; 4 the other side refused, with the code that is printed.`

/** The whole command. Wrong options are thrown as CommanderError. */
export function program(): Command {
  const command = new Command('palimpsest')
    .description(
      'Attested, re-encrypting copy-on-write for encrypted virtual machines, on an emulated platform.',
    )
    .addHelpText('after', HELP)
    .version(packageVersion(), '-V, --version', 'print the version')
    .addCommand(demoCommand())
    .addCommand(upCommand())
    .addCommand(emulatorCommand())
    .addCommand(platformCommand())
    .addCommand(hypervisorCommand())
    .addCommand(workerCommand())
    .addCommand(vmCommand())
    .addCommand(volumeCommand())
    .addCommand(cloneCommand())
    .addCommand(registrationCommand())
    .addCommand(identityCommand())
    .addCommand(policyCommand())
    .addCommand(pcrCommand())
    .addCommand(quoteCommand())
    .addCommand(eventlogCommand())
    .addCommand(snpDigestCommand())
    .addCommand(tpmCommand())
    .addCommand(auditCommand())
    .addCommand(attackCommand())
    .addCommand(doctorCommand())
  throwEverywhere(command)
  return command
}

/** Wrong options of a command inside another one are reported as those of the outermost: by an error, not an exit. */
function throwEverywhere(command: Command): void {
  command.exitOverride().showHelpAfterError('(add --help to see what is expected)')
  for (const inner of command.commands) throwEverywhere(inner)
}

function packageVersion(): string {
  const manifest = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string }
  return manifest.version
}
