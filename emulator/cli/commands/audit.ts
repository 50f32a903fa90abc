// `palimpsest audit`: shows and checks the audit log that the host keeps for the worker.

import { Command } from 'commander'
import { hex } from '../../../sdk/crypto/index.ts'
import { type AuditFields, parseAuditEntry, verifyAudit } from '../../../sdk/worker/index.ts'
import { type ConnectionFlags, type Session, withConnection, withSession } from '../connection.ts'
import { EXIT } from '../output.ts'
import { hexValue } from '../values.ts'

interface AuditFlags extends ConnectionFlags {
  readonly worker?: string
}

interface VerifyFlags extends AuditFlags {
  readonly head?: Uint8Array
}

const WORKER = 'whose log (default: the present worker)'

export function auditCommand(): Command {
  const audit = new Command('audit').description("Show and check the worker's audit log.")
  audit.addCommand(
    withConnection(new Command('show'))
      .description('Show every entry: what was granted and copied, when, and with keys of which scope.')
      .option('--worker <name>', WORKER)
      .action(show),
  )
  audit.addCommand(
    withConnection(new Command('verify'))
      .description(
        'Check that every entry follows from the one before, and that the log reaches a head you kept.',
      )
      .option('--head <hex>', 'head from a receipt that you trust; finds entries that were cut off', hexValue)
      .option('--worker <name>', WORKER)
      .action(verify),
  )
  return audit
}

async function verify(flags: VerifyFlags): Promise<void> {
  await withSession(flags, async ({ client, out }) => {
    const entries = await auditLog(client, flags)
    const verdict = verifyAudit(entries, flags.head)
    if (!verdict.ok) process.exitCode = EXIT.failed
    out.result(verdict, () =>
      verdict.ok
        ? [`${verdict.entries.toString()} entries, unbroken; head ${hex(verdict.head)}`]
        : [`broken at entry ${verdict.at.toString()}: ${verdict.reason}`],
    )
  })
}

async function show(flags: AuditFlags): Promise<void> {
  await withSession(flags, async ({ client, out }) => {
    const entries = (await auditLog(client, flags)).map(parseAuditEntry)
    out.result({ entries }, () =>
      entries.map(({ sequence, at, event, fields }) =>
        [sequence.toString(), `${at.toString()} ms`, event, ...fieldTexts(fields)].join('  '),
      ),
    )
  })
}

/** The whole log, some entries at a time. */
async function auditLog(client: Session['client'], { worker = '' }: AuditFlags): Promise<Uint8Array[]> {
  const entries: Uint8Array[] = []
  for (let since = 0n; ;) {
    const page = await client.getAuditLog({ worker, since })
    entries.push(...page.entries)
    if (page.entries.length === 0) return entries
    since = page.next
  }
}

function fieldTexts(fields: AuditFields): string[] {
  return Object.entries(fields).map(([name, value]) => {
    const text = value instanceof Uint8Array ? hex(value) : value.toString()
    return `${name}=${name === 'scope' ? text.toUpperCase() : text}`
  })
}
