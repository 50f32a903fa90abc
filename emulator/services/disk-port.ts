/** DiskPortService: a guest's reads and writes of its own volumes, as ciphertext. */
import {
  type CallContext,
  DiskPortService,
  implement,
  type ServiceImplementation,
} from '../../sdk/rpc/index.ts'
import { requireOwner } from './access.ts'

/** What the service needs of the host. */
export interface DiskPortDomain {
  readonly vms: { get(vm: string): { readonly vm: string; readonly owner: Uint8Array } }
  readonly volumes: { get(volume: string): { readonly vm: string } }
  readonly disk: {
    read(volume: string, offset: bigint, length: number): Promise<Uint8Array>
    write(volume: string, offset: bigint, ciphertext: Uint8Array): Promise<void>
    flush(volume: string): Promise<void>
  }
}

/** The disk port of a host. */
export function diskPortService(host: DiskPortDomain): ServiceImplementation {
  const authorise = (volume: string, { peer }: CallContext): void => {
    requireOwner(peer, host.vms.get(host.volumes.get(volume).vm))
  }
  return implement(DiskPortService, {
    async readDisk({ volume, offset, length }, context) {
      authorise(volume, context)
      return { ciphertext: await host.disk.read(volume, offset, length) }
    },
    async writeDisk({ volume, offset, ciphertext }, context) {
      authorise(volume, context)
      await host.disk.write(volume, offset, ciphertext)
      return {}
    },
    async flushDisk({ volume }, context) {
      authorise(volume, context)
      await host.disk.flush(volume)
      return {}
    },
  })
}
