// Well-formed requests that name what does not exist, or numbers that nothing has: what each must be answered with.

import { randomBytes } from 'node:crypto'
import type { Testbed } from '../../../emulator/testbed/index.ts'
import {
  type Connection,
  DiskPortService,
  GuestPortService,
  HostPortService,
  WorkerDataService,
  WorkerService,
} from '../../../sdk/rpc/index.ts'
import { TPM_ALG } from '../../../sdk/tpm2/index.ts'

/** Pages of the VMs `source` and `destination`; pages 0 to 3 of the source are cloned to the destination. */
export const PAGES = 16
const BLOCK = 4096
export const U64_MAX = (1n << 64n) - 1n

/** What the requests are made with; `source` has a volume `disk` of four blocks. */
export interface Callers {
  readonly bed: Testbed
  readonly open: Readonly<Record<'disk' | 'data' | 'worker' | 'host' | 'guest', Connection>>
  /** Public key of the source. */
  readonly spki: Uint8Array
}

/** A request and the code of its refusal. */
export interface BadRequest {
  readonly what: string
  readonly code: string
  readonly call: () => Promise<unknown>
}

/** The requests; `callers` is asked when one is made. */
export function badRequests(callers: () => Callers): BadRequest[] {
  const hypervisor = () => callers().bed.hypervisor
  const disk = () => callers().open.disk.client(DiskPortService)
  const guest = () => callers().open.guest.client(GuestPortService)
  const host = () => callers().open.host.client(HostPortService)
  const worker = () => callers().open.worker.client(WorkerService)
  const data = () => callers().open.data.client(WorkerDataService)
  const spki = () => callers().spki
  const fresh = () => callers().bed.authority.identity('nobody-yet', 'vm').key.publicKey.spki
  const clone = { clone: 'never', source: 'source', destination: 'destination' }
  const pair = (first: bigint, second: bigint, count: bigint) =>
    hypervisor().createClone({
      ...clone,
      storage: { case: 'memory', value: { pairs: [{ first, second, count }] } },
    })
  const volumeClone = (sourceVolume: string, destinationVolume: string) =>
    hypervisor().createClone({
      ...clone,
      storage: { case: 'disk', value: { sourceVolume, destinationVolume } },
    })
  const cases: readonly (readonly [what: string, code: string, call: () => Promise<unknown>])[] = [
    ['a VM to delete', 'UNKNOWN_VM', () => hypervisor().deleteVm({ vm: 'nobody' })],
    [
      'a VM whose map is asked for',
      'UNKNOWN_VM',
      () => hypervisor().getMemoryMap({ vm: 'nobody', index: 0n, count: 1 }),
    ],
    [
      'a VM to attach a volume to',
      'UNKNOWN_VM',
      () => hypervisor().createVolume({ volume: 'v', vm: 'nobody', size: 4096n }),
    ],
    ['a volume to delete', 'UNKNOWN_VOLUME', () => hypervisor().deleteVolume({ volume: 'nothing' })],
    [
      'a volume to read',
      'UNKNOWN_VOLUME',
      () => disk().readDisk({ volume: 'nothing', offset: 0n, length: 512 }),
    ],
    ['a volume to clone', 'UNKNOWN_VOLUME', () => volumeClone('nothing', 'new')],
    ['a clone to delete', 'UNKNOWN_CLONE', () => hypervisor().deleteClone({ clone: 'nothing' })],
    ['a clone to renew', 'UNKNOWN_CLONE', () => hypervisor().renewRegistration({ clone: 'nothing' })],
    [
      'a registration',
      'REGISTRATION_UNKNOWN',
      () => worker().submitGrants({ registration: 'nothing', grants: [] }),
    ],
    [
      'a worker image',
      'INVALID_ARGUMENT',
      () => hypervisor().startWorker({ imagePath: '/nothing', faultPoints: false }),
    ],
    [
      'a worker image that is a folder',
      'INVALID_ARGUMENT',
      () => hypervisor().startWorker({ imagePath: '/tmp', faultPoints: false }),
    ],
    [
      'an empty name',
      'INVALID_ARGUMENT',
      () => hypervisor().createVm({ vm: '', ownerPublicKey: spki(), memoryBytes: 0n }),
    ],
    [
      'a name with a path in it',
      'INVALID_ARGUMENT',
      () => hypervisor().createVolume({ volume: '../disk', vm: 'source', size: 4096n }),
    ],
    [
      'an audit log with a path in it',
      'INVALID_ARGUMENT',
      () => hypervisor().getAuditLog({ worker: '../x', since: 0n }),
    ],
    [
      'a name that is taken',
      'ALREADY_EXISTS',
      () => hypervisor().createVm({ vm: 'source', ownerPublicKey: spki(), memoryBytes: 0n }),
    ],
    [
      'an owner that is no key',
      'INVALID_ARGUMENT',
      () => hypervisor().createVm({ vm: 'n', ownerPublicKey: randomBytes(91), memoryBytes: 0n }),
    ],
    ['a page beyond the source', 'OUT_OF_RANGE', () => pair(BigInt(PAGES), 4n, 1n)],
    ['a page beyond the destination', 'OUT_OF_RANGE', () => pair(4n, BigInt(PAGES), 1n)],
    ['a run that crosses the end', 'OUT_OF_RANGE', () => pair(12n, 8n, 5n)],
    ['a run of no page', 'INVALID_ARGUMENT', () => pair(4n, 4n, 0n)],
    ['a run that passes 2^64', 'INVALID_ARGUMENT', () => pair(U64_MAX, 4n, 2n)],
    ['a run of 2^63 pages', 'OUT_OF_RANGE', () => pair(0n, 4n, 1n << 63n)],
    ['a page that is in use', 'DEST_IN_USE', () => pair(4n, 0n, 1n)],
    [
      'a frame beyond the memory',
      'INVALID_ARGUMENT',
      () => hypervisor().inspectFrames({ frames: [1n << 20n] }),
    ],
    [
      'a frame beyond any memory',
      'INVALID_ARGUMENT',
      () => hypervisor().inspectFrames({ frames: [U64_MAX] }),
    ],
    [
      '5000 frames',
      'INVALID_ARGUMENT',
      () => hypervisor().inspectFrames({ frames: new Array<bigint>(5000).fill(0n) }),
    ],
    [
      'a block beyond the volume',
      'OUT_OF_RANGE',
      () => hypervisor().inspectVolume({ volume: 'disk', block: 4n, count: 1 }),
    ],
    [
      'block 2^64 - 1',
      'OUT_OF_RANGE',
      () => hypervisor().inspectVolume({ volume: 'disk', block: U64_MAX, count: 1 }),
    ],
    [
      'an offset beyond the volume',
      'OUT_OF_RANGE',
      () => disk().readDisk({ volume: 'disk', offset: 16384n, length: 512 }),
    ],
    [
      'an offset just below 2^64',
      'OUT_OF_RANGE',
      () => disk().readDisk({ volume: 'disk', offset: U64_MAX - 511n, length: 1024 }),
    ],
    [
      'an offset within a sector',
      'INVALID_ARGUMENT',
      () => disk().readDisk({ volume: 'disk', offset: 1n, length: 512 }),
    ],
    [
      'a length of 1 GiB',
      'INVALID_ARGUMENT',
      () => disk().readDisk({ volume: 'disk', offset: 0n, length: 1 << 30 }),
    ],
    [
      'a write of no byte',
      'INVALID_ARGUMENT',
      () => disk().writeDisk({ volume: 'disk', offset: 0n, ciphertext: new Uint8Array() }),
    ],
    [
      'a volume of 1 byte',
      'INVALID_ARGUMENT',
      () => hypervisor().createVolume({ volume: 'v', vm: 'source', size: 1n }),
    ],
    [
      'a volume of 2^64 - 4096 bytes',
      'INVALID_ARGUMENT',
      () => hypervisor().createVolume({ volume: 'v', vm: 'source', size: U64_MAX - 4095n }),
    ],
    [
      'memory of 2^64 - 4096 bytes',
      'INVALID_ARGUMENT',
      () => hypervisor().createVm({ vm: 'n', ownerPublicKey: fresh(), memoryBytes: U64_MAX - 4095n }),
    ],
    [
      'memory that is not there',
      'RESOURCE_EXHAUSTED',
      () => hypervisor().createVm({ vm: 'n', ownerPublicKey: fresh(), memoryBytes: 1n << 40n }),
    ],
    [
      'a guest address beyond the memory',
      'OUT_OF_RANGE',
      () => guest().load({ gpa: BigInt(PAGES * BLOCK), length: 1 }),
    ],
    ['a guest address of 2^64 - 1', 'OUT_OF_RANGE', () => guest().load({ gpa: U64_MAX, length: 4096 })],
    ['a load of no byte', 'INVALID_ARGUMENT', () => guest().load({ gpa: 0n, length: 0 })],
    ['a load of 4 GiB', 'INVALID_ARGUMENT', () => guest().load({ gpa: 0n, length: 0xffffffff })],
    ['a counter that is not aligned', 'INVALID_ARGUMENT', () => guest().fetchAdd({ gpa: 4n, addend: 1n })],
    [
      'a PCR that no TPM has',
      'INVALID_ARGUMENT',
      () => hypervisor().getPcrs({ selection: { hash: TPM_ALG.SHA256, pcrs: [24] } }),
    ],
    [
      'a bank that is not allocated',
      'INVALID_ARGUMENT',
      () => hypervisor().getPcrs({ selection: { hash: 4, pcrs: [0] } }),
    ],
    [
      'qualifying data of 35 bytes',
      'INVALID_ARGUMENT',
      () =>
        hypervisor().getQuote({
          selection: { hash: TPM_ALG.SHA256, pcrs: [0] },
          qualifyingData: new Uint8Array(35),
        }),
    ],
    [
      'a PCR to extend that no TPM has',
      'INVALID_ARGUMENT',
      () => host().extendPcr({ pcr: 24, event: new Uint8Array(), eventType: 1 }),
    ],
    [
      'a frame to assign that is in use',
      'OWNERSHIP_FAULT',
      () => host().assignFrames({ vm: 'destination', runs: [{ index: 15n, frame: 0n, count: 1n }] }),
    ],
    [
      'a frame to assign beyond any memory',
      'INVALID_ARGUMENT',
      () => host().assignFrames({ vm: 'destination', runs: [{ index: 15n, frame: U64_MAX, count: 1n }] }),
    ],
    [
      'a mapping of page 2^64 - 1',
      'INVALID_ARGUMENT',
      () => host().setMappings({ vm: 'source', mappings: [{ index: U64_MAX, writable: true }], retry: [] }),
    ],
    [
      'a fault with an unknown code',
      'INVALID_ARGUMENT',
      () => host().resolveFaults({ retry: [], fail: [{ id: 1n, code: 'NO_SUCH_CODE', message: '' }] }),
    ],
    [
      'blocks of another registration',
      'NOT_FOUND',
      () =>
        data().putSecondBlocks({
          registration: 'x',
          runs: [{ first: 0n, count: 1 }],
          ciphertext: new Uint8Array(4096),
          generations: [0n],
        }),
    ],
  ]
  return cases.map(([what, code, call]) => ({ what, code, call }))
}
