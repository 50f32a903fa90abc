// Appraisal: the honest round passes on both sides, and one wrong thing at a time is refused with its own reason.

import { describe, expect, it } from 'vitest'
import {
  appraise,
  type AppraisalInput,
  type AppraisalStepName,
  appraisePeer,
  encodeOpen,
  type Open,
  parsePolicy,
  Refusal,
  type RefusalCode,
  roles,
  transcriptOf,
} from '../../../../sdk/attest/index.ts'
import { runSteps, steps } from '../../../../sdk/attest/appraise.ts'
import { generateHpkeKeyPair, hex, sha256, sha384 } from '../../../../sdk/crypto/index.ts'
import { workerLaunchDigest } from '../../../../sdk/evidence/index.ts'
import { errorTable } from '../../../../sdk/rpc/errors.ts'
import { codeOf, refusalOf } from './refusals.ts'
import { makePlatform, policyOf, round, WORKER } from './world.ts'
import {
  boots,
  deliver,
  namingLaunch,
  other,
  platforms,
  policyWith,
  quotes,
  sizes,
  terms,
  vms,
  world,
} from './wrong-rounds.ts'

describe('an honest round', () => {
  it.each(roles)(
    '[C-01 control] [C-02 control] [C-29 control] [C-30 control] [A-04 control, A-05 control, A-06 control, A-07 control, A-09 control, A-10 control, A-11 control, A-23 control, A-31 control] passes every step for the %s',
    (role) => {
      const appraisal = appraise(round(world, { role }))
      expect(appraisal.steps.map(({ name }) => name)).toEqual(steps.map(({ name }) => name))
      expect(appraisal.steps.every(({ ms, finding }) => ms >= 0 && finding.length > 0)).toBe(true)
      expect(appraisal.firmware).toEqual(sha256(world.boot.firmware))
      expect(appraisal.platform).toEqual(world.platform.ekName)
      expect(appraisal.manifest.svn).toBe(3)
      expect(appraisal.clock).toMatchObject({ firstResetCount: 3, last: { resetCount: 3 } })
    },
  )

  it('[C-30] the destination needs evidence for its own nonce: the source’s is refused', () => {
    const forSource = round(world, { role: 'source' })
    const forDestination = round(world, { role: 'destination' })
    expect(codeOf(() => appraise(deliver(forDestination, forSource.delivery)))).toBe('REFUSED_BINDING')
  })

  it('passes with the SHA-384 bank', () => {
    const policy = policyOf(world, 'source', { pcrs: { bank: 'sha384', select: [0, 4, 7] } })
    const { hypervisor } = appraise(round(world, { policy }))
    expect(hypervisor).toEqual(sha384(world.boot.hypervisor))
  })

  it('passes when the terms name fewer blocks than were approved', () => {
    const pairs = [{ first: 16n, second: 32n, count: 2n }]
    const memory = { ...memoryOf(world.open), frames: [{ index: 16n, frame: 1000n, count: 2n }] }
    expect(appraise(round(world, { open: { ...world.open, pairs, memory } })).steps).toHaveLength(
      steps.length,
    )
  })

  it('[C-29 control] passes with a worker that the policy names by its launch digest, as with its SHA-256', () => {
    const finding = (input: AppraisalInput) =>
      appraise(input).steps.find(({ name }) => name === 'worker')?.finding
    expect(finding(round(world))).toBe(hex(sha256(WORKER)))
    const policy = namingLaunch({})
    expect(policy.workers).toHaveLength(1)
    expect(finding(round(world, { policy }))).toBe(hex(workerLaunchDigest(WORKER)))
  })

  it('passes with several reference values, one of them expired', () => {
    const digest = hex(sha256(world.boot.hypervisor))
    const hypervisors = [{ digest, notAfter: '2001-01-01T00:00:00Z' }, { digest }]
    expect(
      appraise(round(world, { policy: policyOf(world, 'source', { hypervisors }) })).hypervisor,
    ).toBeDefined()
  })
})

function memoryOf({ memory }: Open): NonNullable<Open['memory']> {
  if (memory === null) throw new TypeError('expected terms of memory')
  return memory
}

/** Every wrong round, made once for the tests that try them all. */
const made = once(() => wrongs.map(([title, , make]) => ({ title, input: make() })))

function once<T>(make: () => T): () => T {
  let value: { readonly made: T } | undefined
  return () => (value ??= { made: make() }).made
}

const wrongs = [...sizes, ...platforms, ...quotes, ...terms, ...boots, ...vms]

describe('one wrong thing at a time', () => {
  it.each([...sizes, ...platforms])('[C-02] refuses %s: %s', (_title, code, make) => {
    expect(codeOf(() => appraise(make()))).toBe(code)
  })

  it.each(quotes)('[C-02] [C-29] refuses %s: %s', (_title, code, make) => {
    expect(codeOf(() => appraise(make()))).toBe(code)
  })

  it.each(terms)('[C-01] [C-30] refuses %s: %s', (_title, code, make) => {
    expect(codeOf(() => appraise(make()))).toBe(code)
  })

  it.each(boots)('[P-07] [P-09] [C-02] refuses %s: %s', (_title, code, make) => {
    expect(codeOf(() => appraise(make()))).toBe(code)
  })

  it.each(vms)('[C-29] [C-30] refuses %s: %s', (_title, code, make) => {
    expect(codeOf(() => appraise(make()))).toBe(code)
  })

  it('[X-08] every refusal says what was expected and found, and has a row in the table of codes', () => {
    for (const { input } of made()) {
      const refusal = refusalOf(() => appraise(input))
      expect(refusal.message).toContain('expected ')
      expect(refusal.message).toContain(', found ')
      expect(Object.keys(errorTable)).toContain(refusal.code)
    }
  })

  it('[X-08] [P-07 control] [P-09 control] the same inputs pass again afterwards: a refusal changed nothing', () => {
    const input = round(world)
    const before = structuredClone({ delivery: input.delivery, policy: input.policy, open: input.open })
    expect(codeOf(() => appraise(deliver(input, { measurement: new Uint8Array(32) })))).toBe(
      'REFUSED_MEASUREMENT',
    )
    expect(appraise(input).steps).toHaveLength(steps.length)
    expect({ delivery: input.delivery, policy: input.policy, open: input.open }).toEqual(before)
  })
})

describe('the order', () => {
  // The other steps establish what later ones need, so that they cannot be left out at all.
  const judging: AppraisalStepName[] = ['enrolment', 'platform', 'worker-binding', 'terms', 'firmware']
  judging.push('security-version', 'configuration', 'hypervisor', 'worker', 'peer', 'emulated')

  it.each(judging)('[C-02] has no idle step: without "%s" some wrong thing passes', (left) => {
    const weakened = steps.filter(({ name }) => name !== left)
    const passes = made().filter(({ input }) => {
      try {
        return runSteps(weakened, input).steps.length === steps.length - 1
      } catch (error) {
        if (error instanceof Refusal) return false
        throw error
      }
    })
    expect(passes.map(({ title }) => title)).not.toEqual([])
  })

  it('names the first reason when much is wrong', () => {
    const policy = policyOf(world, 'source', {
      peers: [],
      workers: [],
      hypervisors: [],
      allowEmulated: false,
    })
    const reasons = steps.map(({ name }) => name)
    expect(reasons.indexOf('signatures')).toBeLessThan(reasons.indexOf('firmware'))
    expect(codeOf(() => appraise(round(world, { policy })))).toBe('REFUSED_HYPERVISOR')
  })

  it('a step that runs before what it needs is a fault of the program, never a pass', () => {
    const late = steps.filter(({ name }) => name !== 'signatures')
    expect(() => runSteps(late, round(world))).toThrow(TypeError)
  })
})

describe('why the worker’s report must carry the binding (systems 2.10)', () => {
  /** The host puts its own key into the terms; quotes it can have as it likes, the worker's report it can not. */
  async function swapped(): Promise<AppraisalInput> {
    const host = await generateHpkeKeyPair()
    const open = { ...world.open, workerKey: host.publicKey }
    const honest = round(world)
    const input = round(world, { open })
    return deliver(input, { workerReport: honest.delivery.workerReport })
  }

  it('[C-29] a swapped worker key is refused [A-08]', async () => {
    const input = await swapped()
    expect(refusalOf(() => appraise(input))).toMatchObject({ code: 'REFUSED_BINDING' })
    expect(input.transcript).toEqual(transcriptOf(encodeOpen(input.open)))
  })

  it('[C-29 control] [A-08 control] without the binding in the worker’s report every other check lets the swap through', async () => {
    const weakened = steps.filter(({ name }) => name !== 'worker-binding')
    const appraisal = runSteps(weakened, await swapped())
    expect(appraisal.steps).toHaveLength(steps.length - 1)
  })
})

describe('judging a peer alone', () => {
  const options = () => ({
    policy: policyOf(world, 'source'),
    enrolment: world.enrolment,
    report: world.reports.destination,
    vm: 'destination-vm',
  })

  it('[C-30] accepts the peer that the policy names', () => {
    expect(appraisePeer(options()).ownerIdKeyDigest).toEqual(world.identities.destination.publicKey.digest)
  })

  it.each<[string, RefusalCode, () => Partial<ReturnType<typeof options>>]>([
    ['another peer [A-31]', 'REFUSED_PEER', () => ({ report: world.reports.source, vm: 'source-vm' })],
    ['another name', 'REFUSED_PEER', () => ({ vm: 'vm-9' })],
    ['another platform', 'REFUSED_PLATFORM_MIX', () => ({ report: other.reports.destination })],
    ['a platform that is not pinned', 'REFUSED_PLATFORM_MIX', () => ({ policy: pinned() })],
    ['a long report', 'REFUSED_SIZE', () => ({ report: new Uint8Array(5000) })],
    [
      'an emulated platform',
      'REFUSED_EMULATED',
      () => ({ policy: policyOf(world, 'source', { allowEmulated: false }) }),
    ],
    [
      'a policy of another manufacturer',
      'REFUSED_ENROLMENT',
      () => ({ policy: policyOf(world, 'source', { trustAnchors: [] }) }),
    ],
  ])('[C-30] refuses %s: %s', (_title, code, change) => {
    expect(codeOf(() => appraisePeer({ ...options(), ...change() }))).toBe(code)
  })

  const pinned = () =>
    policyOf(world, 'source', { platforms: [hex(makePlatform(world.manufacturer).ekName)] })
})

it('[C-02] a Refusal is an Error with a code, and a policy is data', () => {
  const refusal = refusalOf(() => appraise(policyWith({ workers: [] })))
  expect(refusal).toBeInstanceOf(Refusal)
  expect(refusal.name).toBe('Refusal')
  expect(parsePolicy(JSON.parse(JSON.stringify(policyOf(world, 'source'))))).toEqual(
    policyOf(world, 'source'),
  )
})
