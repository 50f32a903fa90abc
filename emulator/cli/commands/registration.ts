// `palimpsest registration`: list, show, renew and revoke what worker and VMs agreed on.

import { Command } from 'commander'
import { PublicKey, SignatureError } from '../../../sdk/crypto/index.ts'
import { type KeyScope, widestScope } from '../../../sdk/grant/index.ts'
import { PalimpsestError } from '../../../sdk/rpc/index.ts'
import { type Receipt, verifyReceipt } from '../../../sdk/worker/index.ts'
import { type ConnectionFlags, type Session, withConnection, withSession } from '../connection.ts'
import { table } from '../output.ts'

export function registrationCommand(): Command {
  const registration = new Command('registration').description(
    'List, show, renew and revoke registrations with the worker.',
  )
  registration.addCommand(
    withConnection(new Command('list'))
      .description('List registrations as the worker sees them.')
      .action(list),
  )
  registration.addCommand(
    withConnection(new Command('show'))
      .description('Show which keys both sides granted, how far each reaches, and which the worker used.')
      .argument('<registration>', 'name of the registration')
      .action((name: string, flags: ConnectionFlags) => withSession(flags, (session) => show(name, session))),
  )
  registration.addCommand(
    withConnection(new Command('renew'))
      .description('Register a clone again: a full round of challenge, evidence, appraisal and grants.')
      .argument('<clone>', 'name of the clone')
      .action((clone: string, flags: ConnectionFlags) =>
        withSession(flags, async ({ client, out }) => {
          const renewed = await client.renewRegistration({ clone }, { deadlineMs: 120_000 })
          out.result({ clone, ...renewed }, () => [`${clone} is registered as ${renewed.registration}`])
        }),
      ),
  )
  registration.addCommand(
    withConnection(new Command('revoke'))
      .description(
        "End a clone's registration: the worker wipes its keys, and the clone stalls until it is renewed.",
      )
      .argument('<clone>', 'name of the clone')
      .action((clone: string, flags: ConnectionFlags) =>
        withSession(flags, async ({ client, out }) => {
          await client.revokeRegistration({ clone })
          out.result({ revoked: clone }, () => [`${clone} has no registration any more`])
        }),
      ),
  )
  return registration
}

async function list(flags: ConnectionFlags): Promise<void> {
  await withSession(flags, async ({ client, out }) => {
    const { registrations } = await client.listRegistrations({})
    out.result({ registrations }, () =>
      table(
        ['registration', 'state', 'source', 'destination', 'copied', 'keys', 'scope'],
        registrations.map((item) => [
          item.registration,
          item.state,
          item.source,
          item.destination,
          item.copied.toString(),
          String(item.keys),
          widestScope(item.granted).toUpperCase(),
        ]),
      ),
    )
  })
}

async function show(name: string, { client, out }: Session): Promise<void> {
  const { registrations } = await client.listRegistrations({})
  const found = registrations.find(({ registration }) => registration === name)
  if (found === undefined) {
    throw new PalimpsestError(
      'REGISTRATION_UNKNOWN',
      `the worker knows no registration "${name}": see palimpsest registration list`,
    )
  }
  const receipts = await receiptsOf(name, client)
  const used = new Map(receipts.flatMap(({ keys }) => keys.map((kind) => [keyText(kind), kind] as const)))
  out.result({ ...found, receipts: receipts.length, used: [...used.values()] }, () => [
    `${name} is ${found.state}: ${found.source} -> ${found.destination}, ${found.copied.toString()} blocks copied`,
    '',
    ...table(
      ['granted by', 'to', 'mode', 'scope', 'keys'],
      found.granted.map(({ role, use, mode, scope, keys }) => [
        role,
        use,
        mode,
        scopeText(scope),
        keys.toString(),
      ]),
    ),
    '',
    `receipts: ${String(receipts.length)}; keys used: ${used.size === 0 ? 'none' : [...used.keys()].join(', ')}`,
  ])
}

/** Receipts of a registration, as the worker that runs has signed them; those of others are not its word. */
async function receiptsOf(name: string, client: Session['client']): Promise<Receipt[]> {
  const { status } = await client.getWorker({})
  const key = PublicKey.fromSpki(status?.receiptKey ?? new Uint8Array())
  const { receipts } = await client.listReceipts({ clone: name.replace(/-\d+$/, '') })
  return receipts
    .flatMap(({ receipt }) => verified(receipt, key))
    .filter(({ registration }) => registration === name)
}

function verified(receipt: Uint8Array, key: PublicKey): Receipt[] {
  try {
    return [verifyReceipt(receipt, key)]
  } catch (error) {
    if (error instanceof SignatureError) return []
    throw error
  }
}

function keyText({ use, mode, scope }: Receipt['keys'][number]): string {
  return `${use} ${mode} ${scopeText(scope)}`
}

function scopeText(scope: KeyScope): string {
  return `scope=${scope.toUpperCase()}`
}
