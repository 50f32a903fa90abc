// `palimpsest vm`: create, list, show and delete VMs.

import { Command, Option } from 'commander'
import { hex } from '../../../sdk/crypto/index.ts'
import { Authority, readIdentity } from '../../testbed/index.ts'
import type { Mapping } from '../../../sdk/rpc/index.ts'
import {
  type ConnectionFlags,
  readConnection,
  type Session,
  withConnection,
  withSession,
} from '../connection.ts'
import { bytesText, table } from '../output.ts'
import { sizeValue } from '../values.ts'

/** Pages of a memory map that one call asks for. */
const PAGES_PER_CALL = 65_536

interface CreateFlags extends ConnectionFlags {
  readonly memory: number
  readonly owner?: string
  readonly unmapped?: boolean
}

export function vmCommand(): Command {
  const vm = new Command('vm').description('Create, list, show and delete VMs.')
  vm.addCommand(
    withConnection(new Command('create'))
      .description('Create a VM, owned by the key of an identity (made when missing).')
      .argument('<name>', 'name of the VM')
      .addOption(
        new Option('--memory <size>', 'guest physical memory').argParser(sizeValue).default(1 << 20, '1MiB'),
      )
      .option('--owner <folder>', "identity that owns the VM (default: one of the VM's name)")
      .option('--unmapped', 'leave guest pages without frames, as the place of a memory clone')
      .action(create),
  )
  vm.addCommand(withConnection(new Command('list')).description('List VMs.').action(list))
  vm.addCommand(
    withConnection(new Command('show'))
      .description('Show a VM and its memory map.')
      .argument('<name>', 'name of the VM')
      .action(show),
  )
  vm.addCommand(
    withConnection(new Command('delete'))
      .description('Delete a VM and scrub its memory.')
      .argument('<name>', 'name of the VM')
      .action((name: string, flags: ConnectionFlags) =>
        withSession(flags, async ({ client, out }) => {
          await client.deleteVm({ vm: name })
          out.result({ deleted: name }, () => [`deleted ${name}`])
        }),
      ),
  )
  return vm
}

async function create(name: string, flags: CreateFlags): Promise<void> {
  const owner = ownerOf(name, flags)
  await withSession(flags, async ({ client, out }) => {
    const { vm } = await client.createVm({
      vm: name,
      ownerPublicKey: owner.key.publicKey.spki,
      memoryBytes: BigInt(flags.memory),
      ...(flags.unmapped === true ? { unmappedFrom: 0n } : {}),
    })
    out.result({ vm: name, owner: vm?.owner, identity: owner.directory }, () => [
      `created ${name} with ${bytesText(flags.memory)}, owned by ${hex(owner.key.publicKey.digest)}`,
      `its identity is in ${owner.directory}`,
    ])
  })
}

function ownerOf(name: string, flags: CreateFlags) {
  if (flags.owner !== undefined) return readIdentity(flags.owner)
  const authority = Authority.open(readConnection(flags.directory).authority)
  return authority.identity(name, 'vm')
}

async function list(flags: ConnectionFlags): Promise<void> {
  await withSession(flags, async ({ client, out }) => {
    const { vms } = await client.listVms({})
    out.result({ vms }, () =>
      table(
        ['VM', 'memory', 'owner', 'plugins'],
        vms.map((vm) => [
          vm.vm,
          bytesText(Number(vm.memoryBytes)),
          hex(vm.owner).slice(0, 16),
          vm.plugins.join(' '),
        ]),
      ),
    )
  })
}

/** All mappings of a VM, some at a time. @throws PalimpsestError UNKNOWN_VM */
async function memoryMap(client: Session['client'], vm: string, memoryBytes: bigint): Promise<Mapping[]> {
  const mappings: Mapping[] = []
  let index = 0n
  do {
    mappings.push(...(await client.getMemoryMap({ vm, index, count: PAGES_PER_CALL })).mappings)
    index += BigInt(PAGES_PER_CALL)
  } while (index * 4096n < memoryBytes)
  return mappings
}

async function show(name: string, flags: ConnectionFlags): Promise<void> {
  await withSession(flags, async ({ client, out }) => {
    const { vms } = await client.listVms({})
    const vm = vms.find((candidate) => candidate.vm === name)
    const mappings = await memoryMap(client, name, vm?.memoryBytes ?? 0n)
    out.result({ vm, mappings }, () => [
      `${name}: ${bytesText(Number(vm?.memoryBytes ?? 0n))}, owner ${hex(vm?.owner ?? new Uint8Array())}`,
      `${String(mappings.length)} pages mapped, ${String(mappings.filter((mapping) => !mapping.writable).length)} of them read-only`,
    ])
  })
}
