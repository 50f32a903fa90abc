/**
 * GuestPortService: a vCPU's loads and stores. Each call acts for the VM that was launched with the caller's key, and
 * for no other; the operator's certificate around the key counts for nothing.
 */
import { Secret } from '../../sdk/crypto/index.ts'
import {
  type CallContext,
  GuestPortService,
  implement,
  type KeyMode,
  PalimpsestError,
  type ServiceImplementation,
  invalidField,
} from '../../sdk/rpc/index.ts'

const KEY_BYTES = 32

/** What the service needs of the platform; `G` is a running guest. */
export interface GuestPortDomain<G> {
  readonly launches: {
    guestByKey(digest: Uint8Array): G | undefined
    guestReport(guest: G, reportData: Uint8Array): Uint8Array
  }
  readonly memory: {
    installKeys(guest: G, root: Secret, mode: KeyMode, group: Secret | undefined): void
    readonly access: {
      load(guest: G, gpa: bigint, length: number, signal: AbortSignal): Promise<Uint8Array>
      store(guest: G, gpa: bigint, data: Uint8Array, signal: AbortSignal): Promise<void>
      fetchAdd(guest: G, gpa: bigint, addend: bigint, signal: AbortSignal): Promise<bigint>
    }
  }
}

/** The guest port of a platform. */
export function guestPortService<G>({ launches, memory }: GuestPortDomain<G>): ServiceImplementation {
  const caller = ({ peer }: CallContext): G => {
    const guest =
      peer.certificateDigest === undefined ? undefined : launches.guestByKey(peer.certificateDigest)
    if (guest !== undefined) return guest
    throw new PalimpsestError(
      'PERMISSION_DENIED',
      'expected the identity key of a running VM, found another: have the VM launched with this key',
    )
  }
  return implement(GuestPortService, {
    installKeys({ rootKey, mode, groupKey }, context) {
      const guest = caller(context)
      if (rootKey.length !== KEY_BYTES) throw invalidField('rootKey', `expected ${KEY_BYTES} bytes`)
      if (groupKey.length !== 0 && groupKey.length !== KEY_BYTES) {
        throw invalidField('groupKey', `expected ${KEY_BYTES} bytes or none`)
      }
      const root = Secret.take(rootKey)
      const group = groupKey.length === 0 ? undefined : Secret.take(groupKey)
      try {
        memory.installKeys(guest, root, mode, group)
      } finally {
        root.wipe()
        group?.wipe()
      }
      return {}
    },
    getLaunchReport: ({ reportData }, context) => ({
      report: launches.guestReport(caller(context), reportData),
    }),
    async load({ gpa, length }, context) {
      return { data: await memory.access.load(caller(context), gpa, length, context.signal) }
    },
    async store({ gpa, data }, context) {
      await memory.access.store(caller(context), gpa, data, context.signal)
      return {}
    },
    async fetchAdd({ gpa, addend }, context) {
      return { value: await memory.access.fetchAdd(caller(context), gpa, addend, context.signal) }
    },
  })
}
