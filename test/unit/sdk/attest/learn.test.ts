// Learning a policy from a golden boot, and saying in words what it accepts.

import { beforeAll, describe, expect, it } from 'vitest'
import {
  appraise,
  explainPolicy,
  type GoldenBoot,
  learnPolicy,
  parsePolicy,
} from '../../../../sdk/attest/index.ts'
import { hex, sha256, utf8 } from '../../../../sdk/crypto/index.ts'
import { codeOf } from './refusals.ts'
import { boot, makeWorld, round, type World } from './world.ts'

let world: World
let golden: GoldenBoot
beforeAll(async () => {
  world = await makeWorld()
  golden = {
    trustAnchors: [world.manufacturer.certificate.pem],
    firmwareDigest: sha256(world.boot.firmware),
    firmwareManifest: world.boot.manifest ?? new Uint8Array(),
    eventLog: world.boot.eventLog,
    workerMeasurement: sha256(utf8('a worker image')),
    peers: [hex(world.identities.destination.publicKey.digest)],
  }
})

describe('a learnt policy', () => {
  it.each(['sha256', 'sha384'] as const)(
    '[P-09 control] accepts the machine that it was learnt from (%s)',
    (bank) => {
      const { policy } = learnPolicy({ ...golden, bank })
      expect(appraise(round(world, { policy })).steps.length).toBeGreaterThan(10)
    },
  )

  it('[P-09] refuses every other boot', () => {
    const { policy } = learnPolicy(golden)
    const codes = [
      { firmware: utf8('b') },
      { hypervisor: utf8('b') },
      { configuration: utf8('b') },
      { extended: [{ pcr: 0, data: utf8('b') }] },
    ].map((parts) => codeOf(() => appraise(round({ ...world, boot: boot(parts) }, { policy }))))
    expect(codes).toEqual([
      'REFUSED_MEASUREMENT',
      'REFUSED_HYPERVISOR',
      'REFUSED_MEASUREMENT',
      'REFUSED_EVENT_LOG',
    ])
  })

  it('is a policy file: JSON that reads back as itself', () => {
    const { policy } = learnPolicy({
      ...golden,
      workerMeasurement: [new Uint8Array(32), new Uint8Array(32).fill(1)],
    })
    expect(parsePolicy(JSON.parse(JSON.stringify(policy)))).toEqual(policy)
    expect(policy.workers).toHaveLength(2)
  })

  it('says that it trusts the machine, allows emulation and names no peer', () => {
    const { warnings } = learnPolicy({ ...golden, peers: [] })
    expect(warnings.join('\n')).toMatch(/trusts the machine.*emulated.*names no peer/su)
    expect(learnPolicy({ ...golden, allowEmulated: false }).warnings.join('\n')).not.toContain('emulated')
  })

  it('[C-32] allows keys of scope GROUP only when it is told to, and says so', () => {
    const told = learnPolicy({ ...golden, allowGroupScope: true })
    expect(told.policy.allowGroupScope).toBe(true)
    expect(told.warnings.join('\n')).toContain('scope GROUP')
    expect(explainPolicy(told.policy).join('\n')).toContain('Keys of scope GROUP are accepted')
    const { policy, warnings } = learnPolicy(golden)
    expect(policy).not.toHaveProperty('allowGroupScope')
    expect(warnings.join('\n')).not.toContain('GROUP')
    expect(explainPolicy(policy).join('\n')).toContain('Keys of scope GROUP are refused')
  })

  it('says that the log measured other firmware than the given one', () => {
    const { warnings } = learnPolicy({ ...golden, firmwareDigest: new Uint8Array(32) })
    expect(warnings.join('\n')).toContain(hex(sha256(world.boot.firmware)))
  })
})

describe('an explained policy', () => {
  it('names every value', () => {
    const { policy } = learnPolicy({
      ...golden,
      peers: [{ identity: 'ab'.repeat(32), description: 'the archive' }],
    })
    const text = explainPolicy(policy).join('\n')
    for (const { digest } of [...policy.firmware.images, ...policy.hypervisors, ...policy.workers]) {
      expect(text).toContain(digest)
    }
    expect(text).toContain('the archive')
    expect(text).toContain('CN=Manufacturer')
    expect(text).toContain('PCRs 0, 4, 7 of the sha256 bank')
    expect(text).toContain('no isolation')
  })

  it('says which digests are of launches', () => {
    const { policy } = learnPolicy(golden)
    const image = '12'.repeat(32)
    const launch = '34'.repeat(48)
    const lines = explainPolicy({ ...policy, workers: [{ digest: image }, { digest: launch }] })
    expect(lines).toContain(`  ${image}`)
    expect(lines).toContain(`  launch digest ${launch}`)
  })

  it('says that an empty list refuses', () => {
    const empty = {
      version: 1,
      trustAnchors: [],
      firmware: { images: [], signers: [], minimumSvn: 0 },
      hypervisors: [],
      workers: [],
      peers: [],
      pcrs: { bank: 'sha256', select: [0, 4, 7] },
      maximumResets: 2,
      platforms: [],
    }
    const lines = explainPolicy(parsePolicy(empty))
    expect(lines.filter((line) => line.includes('refused'))).toHaveLength(8)
    expect(lines.join('\n')).toContain('at most 2')
  })
})
