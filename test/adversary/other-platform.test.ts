// A host with two platforms of one manufacturer, both good, that mixes their evidence: a quote, a worker's report, a
// peer's report, an attestation key of the one in what is said of the other. {EK name, AK name} is one record, and every
// part must be of it.

import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { decodeOpen, Enroller } from '../../sdk/attest/index.ts'
import { expandRanges } from '../../sdk/block/index.ts'
import { type EvidenceDelivery, type OpenOffer, type Quote, WorkerService } from '../../sdk/rpc/index.ts'
import { TPM_ALG } from '../../sdk/tpm2/index.ts'
import { evidence, only, Scene } from './scene.ts'

const selection = { hash: TPM_ALG.SHA256, pcrs: [0, 4, 7] }
let folder: string
let scene: Scene
let other: Scene

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'palimpsest-two-'))
  scene = await Scene.set({ directory: join(folder, 'one') })
  const manufacturer = join('state', 'manufacturer')
  cpSync(join(folder, 'one', manufacturer), join(folder, 'other', manufacturer), { recursive: true })
  other = await Scene.set({ directory: join(folder, 'other') })
  expect(other.bed.trustAnchor).toBe(scene.bed.trustAnchor)
})
afterAll(async () => {
  await Promise.all([scene, other].map((one) => one.close()))
  rmSync(folder, { recursive: true, force: true })
})

/** A quote of either platform for the challenge that the source made last. */
async function quoteOf(platform: Scene): Promise<Quote> {
  const { qualifyingData } = scene.last('challenges', 'source')
  const { quote } = await platform.bed.hypervisor.getQuote({ selection, qualifyingData })
  if (quote === undefined) throw new Error('no quote')
  return quote
}

/** Has the worker of `platform` fix terms of its own for what is cloned here, from the launch reports of this platform. */
async function openAt(platform: Scene, { open, registration }: OpenOffer): Promise<OpenOffer & Answering> {
  const { pairs, memory } = decodeOpen(open)
  if (memory === null) throw new Error('expected terms of memory')
  const { vms } = await scene.bed.hypervisor.listVms({})
  const party = (name: string) => ({
    vm: name,
    launchReport: vms.find(({ vm }) => vm === name)?.launchReport ?? new Uint8Array(),
  })
  const connection = platform.asHost('worker-1')
  const worker = connection.client(WorkerService)
  const relayed = `${registration}-relayed`
  const answer = await worker.openRegistration({
    registration: relayed,
    source: party('source'),
    destination: party('destination'),
    pairs: [...pairs],
    storage: {
      case: 'memory',
      value: {
        sourceFrames: [...memory.frames],
        destinationPool: [...expandRanges(memory.destinationPool)],
        sourcePool: [...expandRanges(memory.sourcePool)],
      },
    },
  })
  return {
    registration,
    clone: '',
    open: answer.open,
    report: async (challenge) => {
      const { report } = await worker.answerChallenge({ registration: relayed, challenge })
      await worker.closeRegistration({ registration: relayed })
      connection.close()
      return report
    },
  }
}

interface Answering {
  /** The worker's report for a challenge of these terms. */
  readonly report: (challenge: Uint8Array) => Promise<Uint8Array>
}

/** The source is given the terms, the quote and the report of a genuine worker on `platform`, all of one round. */
function relayedTo(platform: Scene) {
  let fitting: Partial<EvidenceDelivery> = {}
  return only('source', {
    openOffer: async (_side, value, pass) => {
      const honest = await pass(value)
      const relayed = await openAt(platform, value)
      const { challenge, qualifyingData } = await pass({ ...value, open: relayed.open })
      const { quote } = await scene.bed.hypervisor.getQuote({ selection, qualifyingData })
      fitting = { quote, workerReport: await relayed.report(challenge) }
      return honest
    },
    evidence: (_side, value, pass) => pass({ ...value, ...fitting }),
  })
}

async function refused(lie: Parameters<Scene['attempt']>[0], code: string): Promise<void> {
  const before = await scene.state()
  expect(await scene.attempt(lie)).toBe(code)
  expect(await scene.state()).toEqual(before)
  expect(scene.keysSent('source')).toBe(0)
}

describe('evidence of two platforms', () => {
  it('[C-02] a quote of another platform is refused with REFUSED_PLATFORM_MIX', () =>
    refused(
      evidence('source', async (value) => ({ ...value, quote: await quoteOf(other) })),
      'REFUSED_PLATFORM_MIX',
    ))

  it('[C-02 control] a quote that the host got from the enrolled platform by itself is accepted', async () => {
    const lie = evidence('source', async (value) => ({ ...value, quote: await quoteOf(scene) }))
    expect(await scene.attempt(lie)).toBe('ok')
  })

  it('[C-29] a worker report of a registration on another platform is refused with REFUSED_PLATFORM_MIX', async () => {
    expect(await other.attempt()).toBe('ok')
    const { workerReport } = other.last('evidence', 'source')
    await refused(
      evidence('source', (value) => ({ ...value, workerReport })),
      'REFUSED_PLATFORM_MIX',
    )
  })

  it('[C-29] a registration relayed to a genuine worker of another platform is refused with REFUSED_PLATFORM_MIX', () =>
    refused(relayedTo(other), 'REFUSED_PLATFORM_MIX'))

  it("[C-29 control] the plugin accepts the same relay with the enrolled platform's worker, and that worker refuses the grants made for other terms", async () => {
    expect(await scene.attempt(relayedTo(scene))).toBe('GRANT_INVALID')
    expect(scene.keysSent('source')).toBe(1)
  })

  it("[A-31] the peer's launch report of another platform is refused with REFUSED_PLATFORM_MIX", async () => {
    const { vm } = await other.bed.hypervisor.createVm({
      vm: 'destination-elsewhere',
      ownerPublicKey: scene.destination.identity.key.publicKey.spki,
      memoryBytes: 4096n,
    })
    const peerReport = vm?.launchReport ?? new Uint8Array()
    await refused(
      only('source', { copyRequested: (_side, value, pass) => pass({ ...value, peerReport }) }),
      'REFUSED_PLATFORM_MIX',
    )
  })

  it('[A-31 control] the other platform is as good as this one to VMs that enrolled it', async () => {
    expect(await other.attempt()).toBe('ok')
    expect(await scene.attempt()).toBe('ok')
  })
})

describe('enrolment', () => {
  async function enrol(withKeyOf: Scene): Promise<string> {
    const { endorsement } = await scene.bed.hypervisor.getPlatform({})
    const { endorsement: keys } = await withKeyOf.bed.hypervisor.getPlatform({})
    if (endorsement === undefined || keys === undefined) throw new Error('no endorsement')
    const enroller = new Enroller({ trustAnchors: [scene.bed.trustAnchor] })
    try {
      await enroller.enrol({ ...endorsement, akPublic: keys.akPublic }, async (credential) => {
        return (await scene.bed.hypervisor.enrolPlatform(credential)).certInfo
      })
      return 'ok'
    } catch (error) {
      if (error instanceof Error && 'code' in error) return String(error.code)
      throw error
    }
  }

  it('[C-02] an attestation key of another platform is refused with REFUSED_ENROLMENT', async () => {
    expect(await enrol(other)).toBe('REFUSED_ENROLMENT')
  })

  it('[C-02 control] its own is enrolled', async () => {
    expect(await enrol(scene)).toBe('ok')
  })
})
