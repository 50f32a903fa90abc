// `palimpsest identity`: keys of VMs and operators, with the authority's certificates for them.

import { Command, Option } from 'commander'
import { join } from 'node:path'
import {
  Authority,
  describeIdentity,
  type Identity,
  type IdentityRole,
  identityRoles,
} from '../../testbed/index.ts'
import { withDirectory } from '../connection.ts'
import { CommandFailure, EXIT, Output } from '../output.ts'
import { knownIdentity } from '../values.ts'

interface IdentityFlags {
  readonly directory: string
  readonly json?: boolean
  readonly role?: IdentityRole
}

export function identityCommand(): Command {
  const identity = new Command('identity').description('Create, show and rotate identities.')
  identity.addCommand(
    withDirectory(new Command('create'))
      .description(
        "Make an identity: a P-256 key, and a certificate of the folder's authority (made when missing).",
      )
      .argument('<name>', 'name of the identity')
      .addOption(
        new Option('--role <role>', 'what it may do at the host').choices([...identityRoles]).default('vm'),
      )
      .action((name: string, flags: IdentityFlags) => {
        const wanted = flags.role ?? 'vm'
        const made = Authority.open(authorityFolder(flags)).identity(checkedName(name), wanted)
        if (made.role !== wanted)
          throw new CommandFailure(
            EXIT.usage,
            `identity "${name}" exists as ${made.role}: choose another name`,
          )
        print(made, flags)
      }),
  )
  identity.addCommand(
    withDirectory(new Command('show'))
      .description('Show an identity: its digest is what policies name.')
      .argument('<name>', 'name of the identity')
      .action((name: string, flags: IdentityFlags) => {
        print(knownIdentity(flags.directory, name), flags)
      }),
  )
  identity.addCommand(
    withDirectory(new Command('rotate'))
      .description('Renew the certificate of an identity. Its key, and so its digest, stays the same.')
      .argument('<name>', 'name of the identity')
      .action((name: string, flags: IdentityFlags) => {
        knownIdentity(flags.directory, name)
        print(Authority.open(authorityFolder(flags)).rotate(name), flags)
      }),
  )
  return identity
}

function authorityFolder(flags: IdentityFlags): string {
  return join(flags.directory, 'identities')
}

/** A name that can be a folder's and stand in a certificate. @throws CommandFailure */
function checkedName(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) return name
  throw new CommandFailure(
    EXIT.usage,
    `a name expected 1 to 64 letters, digits, ".", "_" or "-", found "${name}"`,
  )
}

function print(identity: Identity, flags: IdentityFlags): void {
  const described = describeIdentity(identity)
  new Output({ json: flags.json === true }).result(described, () => [
    `${described.name} (${described.role})`,
    `digest  ${described.digest}`,
    `folder  ${described.directory}`,
  ])
}
