// Really changed files, really booted and launched: firmware that was altered, that an unknown vendor signed, that is
// older than the policy allows; another hypervisor; another worker. All boots are of one platform, whose TPM and keys
// stay; the VMs keep the policies that they learnt from its first boot.
// Source: rows P-07 and P-09; threats.

import { appendFileSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { builtInFirmware } from '../../emulator/platform/firmware/index.ts'
import {
  defaultHypervisorImage,
  defaultWorkerImage,
  type TestbedOptions,
} from '../../emulator/testbed/index.ts'
import { parsePolicy, type Policy } from '../../sdk/attest/index.ts'
import { hex, IdentityKey, sha256 } from '../../sdk/crypto/index.ts'
import { parseEventLog, readBootProfile, signFirmwareManifest } from '../../sdk/evidence/index.ts'
import { type EvidenceDelivery, HostPortService } from '../../sdk/rpc/index.ts'
import { TPM_ALG } from '../../sdk/tpm2/index.ts'
import { evidence, Scene, type SceneOptions } from './scene.ts'

const folder = mkdtempSync(join(tmpdir(), 'palimpsest-images-'))
const file = (name: string) => join(folder, name)
const vendor = IdentityKey.generate()

/** Version 1 and 2 of the vendor's firmware; version 2 is current. */
const firmware = { old: file('firmware-1.fd'), current: file('firmware-2.fd') }
const images = { hypervisor: file('hypervisor.cjs'), worker: file('worker.cjs') }

const digestOf = (path: string) => hex(sha256(readFileSync(path)))

/** Copies a file with one byte changed, so far from its end. */
function altered(original: string, name: string, fromEnd: number): string {
  const bytes = readFileSync(original)
  const at = bytes.length - fromEnd
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0xff, at)
  writeFileSync(file(name), bytes)
  return file(name)
}

/** Copies an image with a harmless line more: it runs as before, and is another image. */
function longer(original: string, name: string): string {
  copyFileSync(original, file(name))
  appendFileSync(file(name), '\n// one more line\n')
  return file(name)
}

/** Signs the vendor's word for a firmware file and puts it beside the file, or elsewhere. */
function sign(image: string, svn: number, by: IdentityKey, to = `${image}.manifest`): string {
  const digest = sha256(readFileSync(image))
  writeFileSync(to, signFirmwareManifest({ digest, svn, description: `version ${String(svn)}` }, by))
  return to
}

const GOOD = {
  directory: file('host'),
  firmware: firmware.current,
  hypervisorImage: images.hypervisor,
  workerImage: images.worker,
}

let scene: Scene
/** What an honest host relayed to the source at the first boot. */
let honest: EvidenceDelivery

/** Boots the platform anew; whatever `change` does not name is as at the first boot. */
async function reboot(change: TestbedOptions & Pick<SceneOptions, 'honest'>): Promise<void> {
  const { policies } = scene
  await scene.close()
  scene = await Scene.set({ ...GOOD, policies, ...change })
}

/** The learnt policy, which also names the digest of the older firmware: it was good once. */
function withOldFirmware(policy: Policy): Policy {
  const old = { digest: digestOf(firmware.old) }
  return parsePolicy({
    ...policy,
    firmware: { ...policy.firmware, images: [...policy.firmware.images, old] },
  })
}

beforeAll(async () => {
  writeFileSync(firmware.current, builtInFirmware())
  altered(firmware.current, 'firmware-1.fd', 2)
  sign(firmware.current, 2, vendor)
  sign(firmware.old, 1, vendor)
  copyFileSync(defaultHypervisorImage(), images.hypervisor)
  copyFileSync(defaultWorkerImage(), images.worker)
  scene = await Scene.set({
    ...GOOD,
    policies: ({ source, destination }) => ({
      source: withOldFirmware(source),
      destination: withOldFirmware(destination),
    }),
  })
})
afterAll(async () => {
  await scene.close()
  rmSync(folder, { recursive: true, force: true })
})

/** A clone is refused, nothing changes, and the source gives no key. */
async function refused(code: string, lie?: Parameters<Scene['attempt']>[0]): Promise<void> {
  const before = await scene.state()
  expect(await scene.attempt(lie)).toBe(code)
  expect(await scene.state()).toEqual(before)
  expect(scene.keysSent('source')).toBe(0)
}

describe('the good files', () => {
  it('[P-07 control] [P-09 control] [A-04 control] [A-07 control] are measured as they are, and a clone is accepted', async () => {
    expect(await scene.attempt()).toBe('ok')
    honest = scene.last('evidence', 'source')
    const profile = readBootProfile(parseEventLog(honest.eventLog))
    expect(hex(profile.firmwareImageDigest)).toBe(digestOf(firmware.current))
    expect(hex(profile.hypervisorDigest)).toBe(digestOf(images.hypervisor))
  })
})

describe('the worker image', () => {
  const start = (imagePath: string) =>
    scene.bed.hypervisor.startWorker({ imagePath, faultPoints: false }, { deadlineMs: 60_000 })

  it('[C-29] [A-09] a changed file is launched and refused with REFUSED_WORKER', async () => {
    const changed = longer(images.worker, 'worker-changed.cjs')
    expect(hex((await start(changed)).measurement)).toBe(digestOf(changed))
    await refused('REFUSED_WORKER')
  })

  it('[C-29 control] [A-09 control] the good file, launched after it, is accepted', async () => {
    await start(images.worker)
    expect(await scene.attempt()).toBe('ok')
  })
})

/** PCR 4 as the TPM says. */
async function pcr4(): Promise<string> {
  const { values } = await scene.bed.hypervisor.getPcrs({ selection: { hash: TPM_ALG.SHA256, pcrs: [4] } })
  return hex(values[0]?.value ?? new Uint8Array())
}

/** Extends PCR 4 as a host may: with the event of the good hypervisor, which is what an evil one would like to show. */
async function extendPcr4(): Promise<void> {
  const good = parseEventLog(honest.eventLog).events.find(({ pcrIndex }) => pcrIndex === 4)
  if (good === undefined) throw new Error('the log of the good boot has no event of PCR 4')
  const connection = scene.asHost('host')
  const { eventType, data: event } = good
  await connection.client(HostPortService).extendPcr({ pcr: 4, eventType, event })
  connection.close()
}

describe('the boot record', () => {
  it('[P-09] [A-23] a PCR extended after the boot is refused, and the log from before does not hide it', async () => {
    const before = await pcr4()
    await extendPcr4()
    expect(await pcr4()).not.toBe(before)
    await refused('REFUSED_EVENT_LOG')
    const { eventLog } = honest
    await refused(
      'REFUSED_EVENT_LOG',
      evidence('source', (value) => ({ ...value, eventLog })),
    )
  })

  it('[P-09] the host port has no rpc that sets or resets a PCR', () => {
    const names = [...HostPortService.schema.methods.keys()]
    expect(names.filter((name) => /pcr/i.test(name))).toEqual(['readPcrs', 'extendPcr'])
    expect(names.filter((name) => /reset|clear|boot/i.test(name))).toEqual([])
  })

  it('[P-09] [A-23] of a changed hypervisor file is refused, whatever the host extends or leaves out', async () => {
    await reboot({ hypervisorImage: longer(images.hypervisor, 'hypervisor-changed.cjs') })
    await refused('REFUSED_HYPERVISOR')
    const { eventLog } = honest
    await refused(
      'REFUSED_EVENT_LOG',
      evidence('source', (value) => ({ ...value, eventLog })),
    )
    await extendPcr4()
    await refused('REFUSED_EVENT_LOG')
    await refused(
      'REFUSED_EVENT_LOG',
      evidence('source', (value) => ({ ...value, eventLog })),
    )
  })

  it('[P-09] a changed hypervisor file that the platform itself has started is refused with REFUSED_HYPERVISOR', async () => {
    await reboot({ honest: true, hypervisorImage: file('hypervisor-changed.cjs') })
    expect(scene.bed.addresses.pids.hypervisor).not.toBe(process.pid)
    await refused('REFUSED_HYPERVISOR')
  })
})

describe('firmware', () => {
  it('[P-07] an altered file is measured and refused with REFUSED_MEASUREMENT', async () => {
    const evil = altered(firmware.current, 'firmware-evil.fd', 1)
    await reboot({ firmware: evil })
    expect(scene.bed.addresses.measurement).toBe(digestOf(evil))
    await refused('REFUSED_MEASUREMENT')
  })

  it('[P-07] [A-04] what the good boot said, recorded and relayed for the altered file, is refused', async () => {
    const { measurement, eventLog, firmwareManifest, quote, workerReport } = honest
    const lie = (recorded: Partial<EvidenceDelivery>) =>
      evidence('source', (value) => ({ ...value, ...recorded }))
    await refused('REFUSED_MEASUREMENT', lie({ measurement }))
    await refused('REFUSED_EVENT_LOG', lie({ measurement, eventLog, firmwareManifest }))
    await refused('REFUSED_BINDING', lie({ measurement, eventLog, firmwareManifest, quote, workerReport }))
  })

  it('[P-07] the good file, signed by somebody whom the policy does not name, is refused with REFUSED_SIGNER', async () => {
    const firmwareManifest = sign(firmware.current, 2, IdentityKey.generate(), file('unknown.manifest'))
    await reboot({ firmwareManifest })
    expect(scene.bed.addresses.measurement).toBe(digestOf(firmware.current))
    await refused('REFUSED_SIGNER')
  })

  it('[P-07] [A-07] an older version by the same vendor is refused with REFUSED_SVN', async () => {
    await reboot({ firmware: firmware.old })
    await refused('REFUSED_SVN')
  })

  it('[P-07 control] [P-09 control] the good files, booted after all of these, are accepted again', async () => {
    await reboot({})
    expect(await scene.attempt()).toBe('ok')
  })
})
