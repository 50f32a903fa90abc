// `palimpsest audit verify`: checks the audit log that the host keeps for the worker.

import { Command } from 'commander'
import { hex } from '../../../sdk/crypto/index.ts'
import { verifyAudit } from '../../../sdk/worker/index.ts'
import { type ConnectionFlags, withConnection, withSession } from '../connection.ts'
import { EXIT } from '../output.ts'
import { hexValue } from '../values.ts'

interface VerifyFlags extends ConnectionFlags {
  readonly head?: Uint8Array
  readonly worker?: string
}

export function auditCommand(): Command {
  const audit = new Command('audit').description("Check the worker's audit log.")
  audit.addCommand(
    withConnection(new Command('verify'))
      .description(
        'Check that every entry follows from the one before, and that the log reaches a head you kept.',
      )
      .option('--head <hex>', 'head from a receipt that you trust; finds entries that were cut off', hexValue)
      .option('--worker <name>', 'whose log (default: the present worker)')
      .action(verify),
  )
  return audit
}

async function verify(flags: VerifyFlags): Promise<void> {
  await withSession(flags, async ({ client, out }) => {
    const entries: Uint8Array[] = []
    for (let since = 0n; ;) {
      const page = await client.getAuditLog({ worker: flags.worker ?? '', since })
      entries.push(...page.entries)
      if (page.entries.length === 0) break
      since = page.next
    }
    const verdict = verifyAudit(entries, flags.head)
    if (!verdict.ok) process.exitCode = EXIT.failed
    out.result(verdict, () =>
      verdict.ok
        ? [`${verdict.entries.toString()} entries, unbroken; head ${hex(verdict.head)}`]
        : [`broken at entry ${verdict.at.toString()}: ${verdict.reason}`],
    )
  })
}
