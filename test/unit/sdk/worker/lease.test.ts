// Leases and fault points: what ends a lease, and that an armed point acts once.
import { describe, expect, it } from 'vitest'
import { FaultPoints, isFaultPoint } from '../../../../sdk/worker/fault-points.ts'
import { Lease, LEASE_MS } from '../../../../sdk/worker/lease.ts'

const baseline = { resetCount: 3, pcrUpdateCounter: 7, clock: 1000n }

describe('Lease', () => {
  it('[C-33 control] holds until its time is over', () => {
    const lease = new Lease(baseline)
    lease.start(1000n, [])
    expect(lease.until).toBe(1000n + LEASE_MS)
    expect(lease.ended({ ...baseline, clock: 999n + LEASE_MS })).toBeUndefined()
  })

  it('[C-33] ends at its time', () => {
    const lease = new Lease(baseline)
    lease.start(1000n, [])
    expect(lease.ended({ ...baseline, clock: 1000n + LEASE_MS })?.code).toBe('GRANT_EXPIRED')
  })

  it('takes the shortest of the limits that VMs set', () => {
    const lease = new Lease(baseline)
    lease.start(1000n, [9000n, 5000n])
    expect(lease.until).toBe(5000n)
  })

  it.each([
    ['a reset', { ...baseline, resetCount: 4 }],
    ['an extended PCR', { ...baseline, pcrUpdateCounter: 8 }],
  ])('[C-33] ends with %s, whatever its time', (_what, state) => {
    const lease = new Lease(baseline)
    lease.start(1000n, [])
    expect(lease.ended(state)?.code).toBe('GRANT_EXPIRED')
  })
})

describe('FaultPoints', () => {
  it('passes points that are not armed, and announces the one that is, once', async () => {
    const seen: string[] = []
    const points = new FaultPoints((point, action) => seen.push(`${point} ${action}`))
    await points.reached('copier.afterDecrypt')
    expect(seen).toEqual([])
    points.set('copier.afterDecrypt', 'pause')
    const paused = points.reached('copier.afterDecrypt')
    await points.reached('copier.afterDecrypt')
    expect(seen).toEqual(['copier.afterDecrypt pause'])
    await expect(Promise.race([paused, Promise.resolve('still there')])).resolves.toBe('still there')
  })

  it('can be disarmed', async () => {
    const seen: string[] = []
    const points = new FaultPoints((point) => seen.push(point))
    points.set('copier.beforeRead', 'pause')
    points.set('copier.beforeRead', undefined)
    await points.reached('copier.beforeRead')
    expect(seen).toEqual([])
  })

  it('knows its names', () => {
    expect(isFaultPoint('copier.afterStore')).toBe(true)
    expect(isFaultPoint('copier.elsewhere')).toBe(false)
  })
})
