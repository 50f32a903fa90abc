/**
 * Who may call what on the host's own API. Certificates come from the operator and count for nothing in appraisal; they
 * only keep one guest from using another's disks or plugins.
 * Source: hypervisor.proto, relay.proto, disk_port.proto, worker_data.proto (tables of conditions).
 */
import { timingSafeEqual } from 'node:crypto'
import { type Peer, PalimpsestError } from '../../sdk/rpc/index.ts'

/** @throws PalimpsestError PERMISSION_DENIED unless an operator calls. */
export function requireOperator(peer: Peer): void {
  if (peer.unit !== 'operator') throw denied("an operator's identity", peer)
}

/** @throws PalimpsestError PERMISSION_DENIED unless an operator or a VM's owner calls; enough to read. */
export function requireReader(peer: Peer): void {
  const unit = peer.unit
  if (unit !== 'operator' && unit !== 'vm') throw denied("an operator's or a VM's identity", peer)
}

/** @throws PalimpsestError UNAUTHENTICATED unless the transport identity of a worker calls. */
export function requireWorker(peer: Peer): void {
  if (peer.unit === 'worker') return
  throw new PalimpsestError(
    'UNAUTHENTICATED',
    "expected a worker's identity, found another: workers get one at launch",
  )
}

/** @throws PalimpsestError PERMISSION_DENIED unless the caller's key is the owner key of the VM. */
export function requireOwner(peer: Peer, vm: { readonly vm: string; readonly owner: Uint8Array }): void {
  const digest = peer.certificateDigest
  if (digest?.length === vm.owner.length && timingSafeEqual(digest, vm.owner)) return
  throw denied(`the key that VM ${vm.vm} was created with`, peer)
}

function denied(expected: string, peer: Peer): PalimpsestError {
  const found = `${peer.subject ?? 'no name'} (${peer.unit ?? 'no role'})`
  return new PalimpsestError(
    'PERMISSION_DENIED',
    `expected ${expected}, found ${found}: use such an identity`,
  )
}
