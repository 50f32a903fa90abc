// What a VM of a testbed needs of the testbed: the hypervisor, identities, and policies that fit.

import type { Policy } from '../../sdk/attest/index.ts'
import type { ClientOf, HypervisorService } from '../../sdk/rpc/index.ts'
import type { Authority, Identity } from './authority.ts'
import type { EmulatorAddresses } from './emulator.ts'

/** Peers that a policy shall allow: identities, or digests of their keys. */
export type Peers = readonly (Identity | string)[]

/** Where VMs are made. */
export interface VmHost {
  readonly addresses: EmulatorAddresses
  readonly authority: Authority
  /** The hypervisor's API, as the operator. */
  readonly hypervisor: ClientOf<typeof HypervisorService>
  /** The manufacturer's root certificate (PEM). */
  readonly trustAnchor: string
  /** A policy that accepts exactly this emulator, its worker and these peers. */
  policy(peers: Peers): Promise<Policy>
}
