// `palimpsest volume`: create, list and delete volumes.

import { Command } from 'commander'
import { type ConnectionFlags, withConnection, withSession } from '../connection.ts'
import { bytesText, table } from '../output.ts'
import { sizeValue } from '../values.ts'

interface CreateFlags extends ConnectionFlags {
  readonly vm: string
  readonly size: number
}

export function volumeCommand(): Command {
  const volume = new Command('volume').description('Create, list and delete volumes of ciphertext.')
  volume.addCommand(
    withConnection(new Command('create'))
      .description('Create an empty volume attached to a VM.')
      .argument('<name>', 'name of the volume')
      .requiredOption('--vm <name>', 'VM that it is attached to')
      .requiredOption('--size <size>', 'its size', sizeValue)
      .action((name: string, flags: CreateFlags) =>
        withSession(flags, async ({ client, out }) => {
          await client.createVolume({ volume: name, vm: flags.vm, size: BigInt(flags.size) })
          out.result({ volume: name, size: flags.size }, () => [
            `created ${name} of ${bytesText(flags.size)}`,
          ])
        }),
      ),
  )
  volume.addCommand(
    withConnection(new Command('list'))
      .description('List volumes.')
      .action((flags: ConnectionFlags) =>
        withSession(flags, async ({ client, out }) => {
          const { volumes } = await client.listVolumes({})
          out.result({ volumes }, () =>
            table(
              ['volume', 'VM', 'size', 'cloned from', 'blocks still shared'],
              volumes.map((item) => [
                item.volume,
                item.vm,
                bytesText(Number(item.size)),
                item.origin,
                String(item.sharedBlocks),
              ]),
            ),
          )
        }),
      ),
  )
  volume.addCommand(
    withConnection(new Command('delete'))
      .description('Delete a volume; refused while clones depend on it.')
      .argument('<name>', 'name of the volume')
      .action((name: string, flags: ConnectionFlags) =>
        withSession(flags, async ({ client, out }) => {
          await client.deleteVolume({ volume: name })
          out.result({ deleted: name }, () => [`deleted ${name}`])
        }),
      ),
  )
  return volume
}
