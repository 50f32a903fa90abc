/** What becomes of a clone whose making fails: forgotten with nothing shared, kept when blocks may be shared. */
import { expect, it } from 'vitest'
import { type CloneHost, Clones } from '../../../../emulator/hypervisor/clones.ts'
import { type CreateCloneRequest, PalimpsestError, silentLogger } from '../../../../sdk/rpc/index.ts'

const broken = new PalimpsestError('INTERNAL', 'the connection broke')
const request: CreateCloneRequest = {
  clone: 'c',
  source: 'a',
  destination: 'b',
  storage: { case: 'disk', value: { sourceVolume: 'v', destinationVolume: 'w' } },
}

/** Clones of a host where sharing fails: before anything is shared, or after. */
function clones(isShared: boolean): Clones {
  const volume = { volume: 'v', vm: 'a', size: 4096n, sharedBlocks: 0n, origin: '' }
  const volumes = {
    get: () => volume,
    has: () => false,
    clone: () => (isShared ? Promise.resolve() : Promise.reject(broken)),
    store: {
      sharedCount: () => {
        throw broken
      },
    },
    abandon: () => undefined,
  }
  const registrar = {
    approve: () => Promise.resolve(new Uint8Array()),
    register: () => Promise.resolve({ terms: { registration: 'c-1' }, leaseUntil: 1n }),
    end: () => Promise.resolve(),
  }
  const host = {
    registrar,
    relay: { attachedRoles: () => ['source', 'destination'] },
    vms: { get: () => ({ memoryBytes: 0n }) },
    disks: { volumes, log: silentLogger },
    log: silentLogger,
  }
  return new Clones(host as unknown as CloneHost)
}

it('a clone that is shared stays, stalled, when its making breaks off', async () => {
  const all = clones(true)
  await expect(all.create(request)).rejects.toBe(broken)
  expect(all.get('c').state).toBe('stalled')
})

it('[control] a clone of which nothing is shared is forgotten', async () => {
  const all = clones(false)
  await expect(all.create(request)).rejects.toBe(broken)
  expect(() => all.get('c')).toThrow(expect.objectContaining({ code: 'UNKNOWN_CLONE' }))
})
