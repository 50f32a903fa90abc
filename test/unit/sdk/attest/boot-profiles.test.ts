// Appraisal of both boot profiles: what a policy must know of PCRs, and that one profile can not pass for the other.

import { describe, expect, it } from 'vitest'
import { appraise, learnPolicy, PolicyError } from '../../../../sdk/attest/index.ts'
import { hex, sha256, utf8 } from '../../../../sdk/crypto/index.ts'
import {
  digestsOf,
  encodeTaggedEvent,
  EV,
  EVENT_TAG,
  EventLogWriter,
  parseEventLog,
  replay,
} from '../../../../sdk/evidence/index.ts'
import { TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import { codeOf, refusalOf } from './refusals.ts'
import { type Boot, boot, makeWorld, policyOf, round, type World } from './world.ts'

const BANKS = [TPM_ALG.SHA256, TPM_ALG.SHA384]
const SEPARATOR = new Uint8Array(4)

/** The same parts as in `image`, booted as UEFI firmware measures itself. `code` stands for the firmware's volumes. */
function uefiBoot(code = utf8('a firmware volume'), optionRom?: Uint8Array): Boot {
  const parts = boot()
  const log = new EventLogWriter(BANKS)
  const measure = (pcrIndex: number, eventType: number, measured: Uint8Array, data = measured): void => {
    log.append({ pcrIndex, eventType, digests: digestsOf(BANKS, measured), data })
  }
  measure(0, EV.S_CRTM_VERSION, utf8('1'))
  measure(0, EV.EFI_PLATFORM_FIRMWARE_BLOB, code, new Uint8Array(16))
  if (optionRom !== undefined) measure(2, EV.EFI_BOOT_SERVICES_DRIVER, optionRom)
  const tags: [number, Uint8Array | undefined][] = [
    [EVENT_TAG.FIRMWARE_IMAGE, sha256(parts.firmware)],
    [EVENT_TAG.CONFIGURATION, parts.configuration],
    [EVENT_TAG.FIRMWARE_MANIFEST, parts.manifest],
  ]
  for (const [taggedEventID, taggedEventData = new Uint8Array()] of tags) {
    measure(6, EV.EVENT_TAG, encodeTaggedEvent({ taggedEventID, taggedEventData }))
  }
  for (const pcr of [0, 1, 2, 3, 4, 5, 6, 7]) measure(pcr, EV.SEPARATOR, SEPARATOR)
  measure(4, EV.EFI_BOOT_SERVICES_APPLICATION, parts.hypervisor, new Uint8Array(32))
  return { ...parts, eventLog: log.bytes() }
}

const valueOf = (booted: Boot, pcr: number, bank: number = TPM_ALG.SHA256): string =>
  hex(replay(parseEventLog(booted.eventLog), bank).get(pcr) ?? new Uint8Array())

const uefi = uefiBoot()
const uefiWorld = await makeWorld({ boot: uefi })
const imageWorld = await makeWorld()
const known = {
  bank: 'sha256',
  select: [0, 2, 4, 6, 7],
  values: [0, 2].map((pcr) => ({ pcr, digests: [{ digest: valueOf(uefi, pcr) }] })),
}

const judged = (world: World, pcrs: object) => round(world, { policy: policyOf(world, 'source', { pcrs }) })

describe('boot profile uefi', () => {
  it('[C-02 control] [C-09] [P-07 control] is accepted with the value of PCR 0 that the policy knows', () => {
    const { steps, firmware } = appraise(judged(uefiWorld, known))
    expect(firmware).toEqual(sha256(uefi.firmware))
    const found = new Map(steps.map(({ name, finding }) => [name, finding]))
    expect(found.get('boot')).toBe('boot profile uefi')
    expect(found.get('pcr-values')).toBe('PCRs 0, 2 as known')
  })

  it('[C-09] names the image by SHA-256 in the SHA-384 bank too', () => {
    const values = [0, 2].map((pcr) => ({ pcr, digests: [{ digest: valueOf(uefi, pcr, TPM_ALG.SHA384) }] }))
    expect(appraise(judged(uefiWorld, { ...known, bank: 'sha384', values })).firmware).toEqual(
      sha256(uefi.firmware),
    )
  })

  it('[C-02] [P-07] is refused when PCR 0 has another value, no known one, or PCR 6 is not quoted', async () => {
    const { code, message } = refusalOf(() => appraise(judged(uefiWorld, { ...known, values: [] })))
    expect(code).toBe('REFUSED_MEASUREMENT')
    expect(message).toContain('PCR 0 in pcrs.values')
    const unseen = refusalOf(() => appraise(judged(uefiWorld, { ...known, select: [0, 2, 4, 7] })))
    expect(unseen.code).toBe('REFUSED_MEASUREMENT')
    expect(unseen.message).toContain('PCR 6 in pcrs.select')
    const other = await makeWorld({ boot: uefiBoot(utf8('a changed firmware volume')) })
    expect(codeOf(() => appraise(judged(other, known)))).toBe('REFUSED_MEASUREMENT')
  })

  it('[C-02] is refused when other code ran before the separators: PCR 2 has another value', async () => {
    const world = await makeWorld({ boot: uefiBoot(undefined, utf8('a foreign option ROM')) })
    expect(codeOf(() => appraise(judged(world, known)))).toBe('REFUSED_MEASUREMENT')
    const { message } = refusalOf(() =>
      appraise(judged(uefiWorld, { ...known, values: known.values.slice(0, 1) })),
    )
    expect(message).toContain('PCR 2 in pcrs.values')
  })

  it('[C-02] a reference value of a PCR can expire', () => {
    const notAfter = '2001-01-01T00:00:00Z'
    const values = [0, 2].map((pcr) => ({ pcr, digests: [{ digest: valueOf(uefi, pcr), notAfter }] }))
    expect(codeOf(() => appraise(judged(uefiWorld, { ...known, values })))).toBe('REFUSED_EXPIRED_REFERENCE')
  })

  it('is learnt with its PCRs and their values', () => {
    const { policy } = learnPolicy({
      trustAnchors: [uefiWorld.manufacturer.certificate.pem],
      firmwareDigest: sha256(uefi.firmware),
      firmwareManifest: uefi.manifest ?? new Uint8Array(),
      eventLog: uefi.eventLog,
      workerMeasurement: sha256(utf8('a worker image')),
      peers: [hex(uefiWorld.identities.destination.publicKey.digest)],
    })
    expect(policy.pcrs).toEqual({
      bank: 'sha256',
      select: [0, 2, 4, 6, 7],
      values: [0, 2, 7].map((pcr) => ({ pcr, digests: [{ digest: valueOf(uefi, pcr) }] })),
    })
    expect(appraise(round(uefiWorld, { policy })).steps.at(-1)?.name).toBe('emulated')
  })
})

describe('boot profile image', () => {
  it('[C-02 control] may have known values too', () => {
    const values = [{ pcr: 4, digests: [{ digest: valueOf(imageWorld.boot, 4) }] }]
    const pcrs = { bank: 'sha256', select: [0, 4, 7], values }
    expect(appraise(judged(imageWorld, pcrs)).steps.at(-1)?.name).toBe('emulated')
  })

  it('[C-02] does not pass for uefi, whatever the log says of its event types', async () => {
    const log = parseEventLog(imageWorld.boot.eventLog)
    const writer = new EventLogWriter(BANKS)
    for (const { pcrIndex, digests, data, eventType } of log.events) {
      writer.append({ pcrIndex, digests, data, eventType: pcrIndex === 0 ? EV.S_CRTM_VERSION : eventType })
    }
    const image = encodeTaggedEvent({
      taggedEventID: EVENT_TAG.FIRMWARE_IMAGE,
      taggedEventData: sha256(imageWorld.boot.firmware),
    })
    writer.append({ pcrIndex: 6, eventType: EV.EVENT_TAG, digests: digestsOf(BANKS, image), data: image })
    const world = await makeWorld({ boot: { ...imageWorld.boot, eventLog: writer.bytes() } })
    expect(codeOf(() => appraise(judged(world, known)))).toBe('REFUSED_EVENT_LOG')
  })
})

describe('known values of PCRs in a policy', () => {
  it.each([
    [
      'of a PCR that is not selected',
      [{ pcr: 6, digests: [] }],
      'pcrs.values[0].pcr: expected a PCR of pcrs.select',
    ],
    [
      'of a PCR twice',
      [
        { pcr: 0, digests: [] },
        { pcr: 0, digests: [] },
      ],
      'pcrs.values[1].pcr: expected each PCR once',
    ],
    [
      'of another bank',
      [{ pcr: 0, digests: [{ digest: 'ab'.repeat(48) }] }],
      'pcrs.values[0].digests[0].digest: expected a digest of bank sha256',
    ],
  ])('are refused %s', (_, values, text) => {
    const write = (pcrs: object) => policyOf(imageWorld, 'source', { pcrs })
    expect(() => write({ bank: 'sha256', select: [0, 4, 7], values })).toThrow(PolicyError)
    expect(() => write({ bank: 'sha256', select: [0, 4, 7], values })).toThrow(text)
    expect(write({ bank: 'sha256', select: [0, 4, 7], values: [] }).pcrs.values).toEqual([])
  })
})
