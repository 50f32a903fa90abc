// `palimpsest policy`: make a policy from a golden boot, and explain one to people.

import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { explainPolicy, policyFile } from '../../../sdk/attest/index.ts'
import { learnFrom } from '../../testbed/index.ts'
import { type ConnectionFlags, readConnection, withConnection, withSession } from '../connection.ts'
import { Output } from '../output.ts'
import { peerDigest } from '../values.ts'

interface LearnFlags extends ConnectionFlags {
  readonly peer?: string[]
  readonly trustAnchor?: string
  readonly allowGroupScope?: boolean
}

export function policyCommand(): Command {
  const policy = new Command('policy').description('Make a policy from a golden boot, and explain one.')
  policy.addCommand(
    withConnection(new Command('learn'))
      .description(
        'Print a policy that accepts the running platform, its hypervisor, its worker and the named peers.',
      )
      .option('--peer <peer...>', 'peers to accept: names of identities, or digests of their keys')
      .option('--trust-anchor <file>', "the manufacturer's root certificate, PEM (default: of the folder)")
      .option(
        '--allow-group-scope',
        "also accept keys that open all of a share group's memory (key mode common)",
      )
      .action(learn),
  )
  policy.addCommand(
    new Command('explain')
      .description('Say in plain words what a policy accepts.')
      .argument('<file>', 'policy, JSON')
      .option('--json', 'print JSON')
      .action((file: string, flags: { readonly json?: boolean }) => {
        const lines = explainPolicy(policyFile(file))
        new Output({ json: flags.json === true }).result({ lines }, () => lines)
      }),
  )
  return policy
}

async function learn(flags: LearnFlags): Promise<void> {
  await withSession(flags, async ({ client, directory }) => {
    const anchor = readFileSync(flags.trustAnchor ?? readConnection(directory).trustAnchor, 'utf8')
    const peers = (flags.peer ?? []).map((peer) => peerDigest(directory, peer))
    const allowGroupScope = flags.allowGroupScope ?? false
    const { policy, warnings } = await learnFrom(client, [anchor], peers, { allowGroupScope })
    for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`)
    process.stdout.write(`${JSON.stringify(policy, undefined, 2)}\n`)
  })
}
