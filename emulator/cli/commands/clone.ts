// `palimpsest clone`: make, list, finish and delete clones.

import { Command, Option } from 'commander'
import { type ConnectionFlags, type Session, withConnection, withSession } from '../connection.ts'
import { bytesText, CommandFailure, EXIT, table, timeText } from '../output.ts'
import { bigintValue } from '../values.ts'

interface CreateFlags extends ConnectionFlags {
  readonly source: string
  readonly destination: string
  readonly pages?: bigint
  readonly from: bigint
  readonly to?: bigint
  readonly volume?: string
  readonly as?: string
}

/** Time for plugins and worker to attest, in milliseconds. */
const CREATE_MS = 120_000

export function cloneCommand(): Command {
  const clone = new Command('clone').description(
    'Make, list, finish and delete clones of memory and volumes.',
  )
  clone.addCommand(
    withConnection(new Command('create'))
      .description(
        'Clone guest pages, or a volume with --volume. Both plugins must be attached; nothing is copied yet.',
      )
      .argument('<name>', 'name of the clone')
      .requiredOption('--source <vm>', 'VM whose blocks are cloned')
      .requiredOption('--destination <vm>', 'VM that gets them')
      .addOption(
        new Option('--from <page>', 'first guest page of the source').argParser(bigintValue).default(0n, '0'),
      )
      .option('--to <page>', 'first guest page of the destination (default: the same)', bigintValue)
      .option('--pages <count>', 'number of guest pages', bigintValue)
      .option('--volume <name>', 'volume of the source, instead of memory')
      .option('--as <name>', 'name of the new volume (default: the name of the clone)')
      .action(create),
  )
  clone.addCommand(withConnection(new Command('list')).description('List clones.').action(list))
  clone.addCommand(
    withConnection(new Command('finish'))
      .description('Copy what is still shared, with progress; Ctrl-C pauses.')
      .argument('<name>', 'name of the clone')
      .action((name: string, flags: ConnectionFlags) =>
        withSession(flags, (session) => finish(name, session)),
      ),
  )
  clone.addCommand(
    withConnection(new Command('delete'))
      .description(
        "Delete a clone's registration; blocks that were never copied are lost to the destination.",
      )
      .argument('<name>', 'name of the clone')
      .action((name: string, flags: ConnectionFlags) =>
        withSession(flags, async ({ client, out }) => {
          await client.deleteClone({ clone: name })
          out.result({ deleted: name }, () => [`deleted ${name}`])
        }),
      ),
  )
  return clone
}

async function create(name: string, flags: CreateFlags): Promise<void> {
  await withSession(flags, async ({ client, out }) => {
    const { source, destination } = flags
    const storage = storageOf(name, flags)
    const { clone } = await client.createClone(
      { clone: name, source, destination, storage },
      { deadlineMs: CREATE_MS },
    )
    out.result({ ...clone }, () => [
      `${name} is ${clone?.state ?? 'unknown'}: ${String(clone?.blocks ?? 0n)} blocks, registration ${clone?.registration ?? ''}`,
    ])
  })
}

function storageOf(name: string, flags: CreateFlags) {
  if (flags.volume !== undefined) {
    return {
      case: 'disk',
      value: { sourceVolume: flags.volume, destinationVolume: flags.as ?? name },
    } as const
  }
  if (flags.pages === undefined)
    throw new CommandFailure(EXIT.usage, 'give --pages for a clone of memory, or --volume for one of a disk')
  const pair = { first: flags.from, second: flags.to ?? flags.from, count: flags.pages }
  return { case: 'memory', value: { pairs: [pair] } } as const
}

async function list(flags: ConnectionFlags): Promise<void> {
  await withSession(flags, async ({ client, out }) => {
    const { clones } = await client.listClones({})
    out.result({ clones }, () =>
      table(
        ['clone', 'kind', 'source', 'destination', 'state', 'copied', 'why'],
        clones.map((clone) => [
          clone.clone,
          clone.kind,
          clone.source,
          clone.destination,
          clone.state,
          `${clone.copied.toString()}/${clone.blocks.toString()}`,
          clone.reason,
        ]),
      ),
    )
  })
}

async function finish(name: string, { client, out }: Session): Promise<void> {
  const started = performance.now()
  let copied = 0n
  let first: bigint | undefined
  for await (const progress of client.finishClone({ clone: name }, { deadlineMs: Infinity })) {
    copied = progress.copied
    first ??= copied
    const seconds = (performance.now() - started) / 1000
    const rate = (Number(copied - first) * 4096) / Math.max(seconds, 0.001)
    const left = Number(progress.blocks - copied) * 4096
    const eta = rate === 0 ? '' : `, ${timeText((left / rate) * 1000)} left`
    out.progress(`${copied.toString()} of ${progress.blocks.toString()} blocks, ${bytesText(rate)}/s${eta}`)
  }
  const elapsed = performance.now() - started
  out.result({ clone: name, copied, ms: Math.round(elapsed) }, () => [
    `${name}: ${copied.toString()} blocks done in ${timeText(elapsed)}`,
  ])
}
