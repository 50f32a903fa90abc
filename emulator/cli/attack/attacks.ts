// Six attacks of a malicious host, shown live, each with its control: the same thing without the attack, accepted.
// Changed firmware and workers are really changed files, booted and launched; the relayed lies are told by a
// hypervisor that runs in this process on a platform of its own.
// Source: the project's threat model, A-04, A-08, A-09, A-10, A-31 and the stale nonce of A-04.

import { appendFileSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeOpen, encodeOpen } from '../../../sdk/attest/index.ts'
import { generateHpkeKeyPair } from '../../../sdk/crypto/index.ts'
import type { EvidenceDelivery } from '../../../sdk/rpc/index.ts'
import type { RelayTampering } from '../../hypervisor/index.ts'
import { loadFirmware } from '../../platform/index.ts'
import { defaultWorkerImage } from '../../testbed/index.ts'
import type { Output } from '../output.ts'
import { Stage } from './stage.ts'

/** How an attack went. */
export interface AttackResult {
  readonly attack: string
  /** Code that must be given. */
  readonly expected: string
  readonly found: string
  /** What the same attempt without the attack gave; must be "ok". */
  readonly control: string
  readonly ok: boolean
}

/** Runs the six attacks, prints each, and returns how they went. */
export async function runAttacks(
  out: Output,
  options: { readonly firmware?: string } = {},
): Promise<AttackResult[]> {
  const folder = mkdtempSync(join(tmpdir(), 'palimpsest-attacks-'))
  const results: AttackResult[] = []
  const report = (attack: string, expected: string, found: string, control: string) => {
    const ok = found === expected && control === 'ok'
    results.push({ attack, expected, found, control, ok })
    const mark = ok ? out.good('refused') : out.bad('NOT AS EXPECTED')
    out.line(`  ${mark}  ${attack.padEnd(42)} ${found.padEnd(20)} without it: ${control}`)
  }
  out.line()
  out.line(out.strong('A malicious host tries six things'))
  try {
    await changedFiles(folder, options.firmware, report)
    await relayedLies(folder, report)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return results
}

type Report = (attack: string, expected: string, found: string, control: string) => void

/** Changed worker, own destination plugin, changed firmware: on an honest hypervisor. */
async function changedFiles(folder: string, firmware: string | undefined, report: Report): Promise<void> {
  const directory = join(folder, 'host')
  const good = firmware ?? (await builtInFirmware(folder))
  const stage = await Stage.set({ directory, firmware: good })
  let honest: string
  try {
    honest = await stage.clone()
    const worker = join(folder, 'worker.cjs')
    copyFileSync(defaultWorkerImage(), worker)
    appendFileSync(worker, '\n// one more line\n')
    await stage.bed.hypervisor.startWorker({ imagePath: worker, faultPoints: false }, { deadlineMs: 30_000 })
    const changed = await stage.clone()
    const imagePath = defaultWorkerImage()
    await stage.bed.hypervisor.startWorker({ imagePath, faultPoints: false }, { deadlineMs: 30_000 })
    report('a changed worker file is launched', 'REFUSED_WORKER', changed, await stage.clone())

    const own = await stage.bed.vm('of-the-host', { memoryBytes: 64 << 10, unmapped: true })
    await own.serveDestination({ policy: stage.policies.destination })
    const disclosed = await stage.clone(own)
    report("the host's own destination plugin", 'REFUSED_PEER', disclosed, await stage.clone())
  } finally {
    await stage.bed.close()
  }
  const evil = join(folder, 'firmware.changed')

  flipLastByte(evil, good)
  const changed = await Stage.set({ directory, firmware: evil }, stage.policies)
  try {
    report('a changed firmware file is booted', 'REFUSED_MEASUREMENT', await changed.clone(), honest)
  } finally {
    await changed.bed.close()
  }
}

async function builtInFirmware(folder: string): Promise<string> {
  const path = join(folder, 'firmware.fd')
  writeFileSync(path, (await loadFirmware()).image)
  return path
}

function flipLastByte(target: string, original: string): void {
  const image = readFileSync(original)
  const last = image.length - 1
  image.writeUInt8(image.readUInt8(last) ^ 0xff, last)
  writeFileSync(target, image)
}

/** Swapped worker key, stale nonce, changed block id: told by the host while it relays to the source's plugin. */
async function relayedLies(folder: string, report: Report): Promise<void> {
  let lie: RelayTampering = {}
  const tampering: RelayTampering = {
    openOffer: (side, value, pass) =>
      side.role === 'source' && lie.openOffer ? lie.openOffer(side, value, pass) : pass(value),
    evidence: (side, value, pass) =>
      side.role === 'source' && lie.evidence ? lie.evidence(side, value, pass) : pass(value),
  }
  const stage = await Stage.set({ directory: join(folder, 'liar'), tampering })
  try {
    for (const { attack, expected, how } of lies()) {
      lie = how
      const found = await stage.clone()
      lie = {}
      report(attack, expected, found, await stage.clone())
    }
  } finally {
    await stage.bed.close()
  }
}

function lies(): { attack: string; expected: string; how: RelayTampering }[] {
  return [
    {
      attack: "the worker's key is swapped for the host's",
      expected: 'REFUSED_BINDING',
      how: { openOffer: swapWorkerKey },
    },
    {
      attack: 'evidence is delivered a second time',
      expected: 'STALE_NONCE',
      how: {
        evidence: async (_side, value, pass) => {
          await pass(value)
          return pass(value)
        },
      },
    },
    {
      attack: 'another second block is named',
      expected: 'REFUSED_BINDING',
      how: { evidence: (_side, value, pass) => pass(otherSecondBlock(value)) },
    },
  ]
}

/** The worker answers a challenge for the true terms; the plugin is left with terms that hold the host's key. */
const swapWorkerKey: NonNullable<RelayTampering['openOffer']> = async (_side, value, pass) => {
  const honest = await pass(value)
  const { publicKey } = await generateHpkeKeyPair()
  await pass({ ...value, open: encodeOpen({ ...decodeOpen(value.open), workerKey: publicKey }) })
  return honest
}

function otherSecondBlock(value: EvidenceDelivery): EvidenceDelivery {
  const { secondBlock } = value
  return secondBlock === undefined
    ? value
    : { ...value, secondBlock: { ...secondBlock, index: secondBlock.index + 1n } }
}
