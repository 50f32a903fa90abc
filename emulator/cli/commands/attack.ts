// `palimpsest attack`: six things that a malicious host might try, refused live.

import { Command } from 'commander'
import { runAttacks } from '../attack/attacks.ts'
import { EXIT, Output } from '../output.ts'

interface AttackFlags {
  readonly firmware?: string
  readonly json?: boolean
}

export function attackCommand(): Command {
  return new Command('attack')
    .description('Play a malicious host: six attacks on emulators of its own, each with its control.')
    .option('--firmware <file>', 'firmware image to start from (default: the built-in one)')
    .option('--json', 'print JSON')
    .action(async (flags: AttackFlags) => {
      const out = new Output({ json: flags.json === true })
      const results = await runAttacks(out, flags.firmware === undefined ? {} : { firmware: flags.firmware })
      const ok = results.every((result) => result.ok)
      if (!ok) process.exitCode = EXIT.failed
      out.result({ ok, results }, () => [ok ? 'all six were refused' : 'not all went as expected'])
    })
}
