// `palimpsest registration`: list, renew and revoke what worker and VMs agreed on.

import { Command } from 'commander'
import { type ConnectionFlags, withConnection, withSession } from '../connection.ts'
import { table } from '../output.ts'

export function registrationCommand(): Command {
  const registration = new Command('registration').description(
    'List, renew and revoke registrations with the worker.',
  )
  registration.addCommand(
    withConnection(new Command('list'))
      .description('List registrations as the worker sees them.')
      .action(list),
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
          item.wideScope ? 'whole volume or group' : 'named blocks',
        ]),
      ),
    )
  })
}
