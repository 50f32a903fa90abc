// Firmware: the built-in volume's structure, loading of files, manifests, and the boot that measures all of it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import {
  builtInFirmware,
  FirmwareError,
  type FirmwareErrorCode,
  loadFirmware,
  measureBoot,
  measureEvent,
  signManifest,
} from '../../../../../emulator/platform/firmware/index.ts'
import { BANKS, PlatformTpm } from '../../../../../emulator/platform/platform-tpm.ts'
import { decodeCanonical, hex, IdentityKey, sha256, utf8 } from '../../../../../sdk/crypto/index.ts'
import {
  decodeFirmwareBlob,
  EV,
  parseEventLog,
  readBootProfile,
  replayBanks,
} from '../../../../../sdk/evidence/index.ts'
import { PCR_COUNT, selectPcrs, TPM_ALG, TpmResponseError } from '../../../../../sdk/tpm2/index.ts'

const vendor = IdentityKey.generate()
const statement = { svn: 4, description: 'built in' }
const hypervisorImage = utf8('hypervisor image')
const configuration = { cpus: 2n, memory: 1n << 30n }
const folders: string[] = []

function folderOf(files: Record<string, Uint8Array>): string {
  const folder = mkdtempSync(join(tmpdir(), 'firmware-'))
  folders.push(folder)
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes)
  return folder
}

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
})

const tpm = (): PlatformTpm => PlatformTpm.powerOn()

function codeOf(error: unknown): FirmwareErrorCode | undefined {
  if (error instanceof FirmwareError) return error.code
  throw error
}

/** Every PCR of every bank, to compare a TPM with a replay. */
function allPcrs(device: PlatformTpm) {
  const pcrs = Array.from({ length: PCR_COUNT }, (_, pcr) => pcr)
  return device.pcrRead(BANKS.map((bank) => selectPcrs(bank, pcrs))).values
}

describe('built-in image', () => {
  const image = builtInFirmware()
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength)

  it('is the same on every machine: its digest is a reference value', () => {
    expect(hex(sha256(image))).toBe('1935f19875f2e089696efea959173f5ee9ac87de13a07667cac7c7b9e80a732e')
    expect(builtInFirmware()).toEqual(image)
  })

  it('is a firmware volume: zero vector, FFS2, signature, whole length, header checksum', () => {
    expect(hex(image.subarray(0, 16))).toBe('00'.repeat(16))
    expect(hex(image.subarray(16, 32))).toBe('78e58c8c3d8a1c4f9935896185c32dd3')
    expect(view.getBigUint64(32, true)).toBe(BigInt(image.length))
    expect(new TextDecoder().decode(image.subarray(40, 44))).toBe('_FVH')
    let sum = 0
    for (let offset = 0; offset < view.getUint16(48, true); offset += 2) sum += view.getUint16(offset, true)
    expect(sum & 0xffff).toBe(0)
  })

  it('has files that fill it to the last byte, each with right checksums, the last one at the reset vector', () => {
    const types: number[] = []
    let offset = view.getUint16(48, true)
    while (offset < image.length) {
      const header = image.slice(offset, offset + 24)
      const size = (header[20] ?? 0) | ((header[21] ?? 0) << 8) | ((header[22] ?? 0) << 16)
      const data = image.subarray(offset + 24, offset + size)
      const dataSum = header[17] ?? 0
      const octetSum = (bytes: Uint8Array) => bytes.reduce((sum, octet) => sum + octet, 0) & 0xff
      if (((header[19] ?? 0) & 0x40) === 0) expect(dataSum).toBe(0xaa)
      else expect((octetSum(data) + dataSum) & 0xff).toBe(0)
      header[17] = 0
      header[23] = 0
      expect(octetSum(header)).toBe(0)
      types.push(header[18] ?? 0)
      offset = Math.ceil((offset + size) / 8) * 8
    }
    expect(offset).toBe(image.length)
    expect(types).toEqual([0x02, 0xf0, 0x01])
    expect(hex(image.subarray(-16, -13))).toBe('f4ebfd')
  })
})

describe('loading', () => {
  it('[C-09] takes any file; its digest is that of the whole file', async () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, index) => index)
    const path = join(folderOf({ 'any.fd': bytes }), 'any.fd')
    expect(await loadFirmware(path)).toEqual({
      image: bytes,
      digest: sha256(bytes),
      source: 'file',
      origin: 'any.fd',
      manifest: undefined,
    })
  })

  it('finds the manifest beside a file, and needs no file at all', async () => {
    const bytes = utf8('image')
    const manifest = signManifest({ digest: sha256(bytes) }, vendor, statement)
    const folder = folderOf({ fd: bytes, 'fd.manifest': manifest })
    expect((await loadFirmware(join(folder, 'fd'))).manifest).toEqual(manifest)
    expect(await loadFirmware()).toMatchObject({
      source: 'built-in',
      origin: 'built-in',
      manifest: undefined,
    })
  })

  it('says why a file is no image', async () => {
    const folder = folderOf({ empty: new Uint8Array(0) })
    await expect(loadFirmware(join(folder, 'empty'))).rejects.toMatchObject({ code: 'IMAGE_SIZE' })
    await expect(loadFirmware(join(folder, 'absent'))).rejects.toMatchObject({ code: 'IMAGE_UNREADABLE' })
    await expect(loadFirmware(folder)).rejects.toMatchObject({ code: 'IMAGE_UNREADABLE' })
  })
})

describe('measured boot', () => {
  it('[C-09] [P-09 control] the log replays to the PCRs in both banks, PCR 0 being the image alone', async () => {
    const device = tpm()
    const firmware = await loadFirmware()
    const manifest = signManifest(firmware, vendor, statement)
    const boot = measureBoot({ device, firmware, manifest, hypervisorImage, configuration })
    const log = parseEventLog(boot.log.bytes())
    expect(replayBanks(log, BANKS)).toEqual(allPcrs(device))
    const pcr0 = sha256(new Uint8Array(32), sha256(firmware.image))
    expect(allPcrs(device).get(TPM_ALG.SHA256)?.get(0)).toEqual(pcr0)
    expect(decodeFirmwareBlob(log.events[0]?.data ?? new Uint8Array())).toEqual({
      base: 0x1_0000_0000n - BigInt(firmware.image.length),
      length: BigInt(firmware.image.length),
    })
    const profile = readBootProfile(log)
    expect(profile.firmwareImageDigest).toEqual(firmware.digest)
    expect(profile.hypervisorDigest).toEqual(sha256(hypervisorImage))
    expect(profile.firmwareManifest).toEqual(manifest)
    expect(decodeCanonical(profile.configuration)).toEqual(configuration)
    expect(boot.manifest).toMatchObject({ svn: 4, signer: vendor.publicKey.digest })
  })

  it('[C-09] one changed octet of firmware, hypervisor or configuration changes its PCR and no other', async () => {
    const firmware = await loadFirmware()
    const pcrsOf = (change: object) => {
      const device = tpm()
      measureBoot({ device, firmware, hypervisorImage, configuration, ...change })
      return allPcrs(device).get(TPM_ALG.SHA256)
    }
    const original = pcrsOf({})
    const changedPcrs = (change: object) => {
      const changed = pcrsOf(change)
      return [...(original ?? [])]
        .filter(([pcr, value]) => hex(value) !== hex(changed?.get(pcr) ?? value))
        .map(([pcr]) => pcr)
    }
    const image = firmware.image.map((octet, index) => (index === 5000 ? octet ^ 1 : octet))
    expect(changedPcrs({})).toEqual([])
    expect(changedPcrs({ firmware: { ...firmware, image, digest: sha256(image) } })).toEqual([0])
    expect(changedPcrs({ hypervisorImage: utf8('hypervisor image.') })).toEqual([4])
    expect(changedPcrs({ configuration: { ...configuration, cpus: 3n } })).toEqual([7])
    expect(changedPcrs({ manifest: signManifest(firmware, vendor, statement) })).toEqual([7])
  })

  it('does not boot with a manifest of another image, nor with one that is not signed', async () => {
    const firmware = await loadFirmware()
    const other = signManifest({ digest: sha256(utf8('other')) }, vendor, statement)
    const attempt = (manifest: Uint8Array) => {
      const device = tpm()
      try {
        measureBoot({ device, firmware, manifest, hypervisorImage, configuration })
        return undefined
      } catch (error) {
        expect(() => device.readClock()).toThrow(TpmResponseError)
        return codeOf(error)
      }
    }
    const good = signManifest(firmware, vendor, statement)
    expect(attempt(good)).toBeUndefined()
    expect(attempt(other)).toBe('MANIFEST_MISMATCH')
    expect(attempt(good.map((octet, index) => (index === good.length - 1 ? octet ^ 1 : octet)))).toBe(
      'MANIFEST_INVALID',
    )
    expect(attempt(utf8('no manifest'))).toBe('MANIFEST_INVALID')
  })

  it('[P-09] a later event changes the PCR and the log together, and is no part of the profile', async () => {
    const device = tpm()
    const firmware = await loadFirmware()
    const { log } = measureBoot({ device, firmware, hypervisorImage, configuration })
    measureEvent(device, log, { pcr: 9, eventType: EV.EVENT_TAG, data: utf8('later') })
    expect(replayBanks(parseEventLog(log.bytes()), BANKS)).toEqual(allPcrs(device))
    expect(readBootProfile(parseEventLog(log.bytes())).firmwareImageDigest).toEqual(firmware.digest)
    const before = log.bytes()
    expect(() => {
      measureEvent(device, log, { pcr: 17, eventType: EV.EVENT_TAG, data: utf8('refused') })
    }).toThrow(TpmResponseError)
    expect(log.bytes()).toEqual(before)
    measureEvent(device, log, { pcr: 4, eventType: EV.EVENT_TAG, data: utf8('hidden') })
    expect(() => readBootProfile(parseEventLog(log.bytes()))).toThrow(
      /expected no more events in PCR 4, found another/,
    )
  })
})
