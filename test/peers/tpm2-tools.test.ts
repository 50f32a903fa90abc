// Debian's tpm2-tools, offline, on what the platform makes: event log, quote, public areas, credentials.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it, type TestContext } from 'vitest'
import { loadFirmware, measureBoot, signManifest } from '../../emulator/platform/firmware/index.ts'
import { PlatformTpm } from '../../emulator/platform/platform-tpm.ts'
import { AK_HANDLE, EK_HANDLE } from '../../emulator/platform/templates.ts'
import { hex, IdentityKey, utf8 } from '../../sdk/crypto/index.ts'
import { digestsOf } from '../../sdk/evidence/index.ts'
import {
  selectPcrs,
  struct,
  TPM2B_ENCRYPTED_SECRET,
  TPM2B_ID_OBJECT,
  TPM_ALG,
  UINT32,
  unmarshal,
} from '../../sdk/tpm2/index.ts'
import { folderWith, type Outcome, removeFolders, requireTool, run } from './tool.ts'

const PACKAGE = 'tpm2-tools'
const nonce = new Uint8Array(32).fill(0xab)
const pcrs = [0, 4, 7]

afterEach(removeFolders)

async function booted(): Promise<{ device: PlatformTpm; log: Uint8Array }> {
  const device = PlatformTpm.powerOn()
  const firmware = await loadFirmware()
  const manifest = signManifest(firmware, IdentityKey.generate(), { svn: 1, description: 'peer test' })
  const { log } = measureBoot({
    device,
    firmware,
    manifest,
    hypervisorImage: utf8('hypervisor'),
    configuration: { cpus: 2n },
  })
  return { device, log: log.bytes() }
}

/** TPM2B_PUBLIC, the form in which tpm2-tools keep public areas. */
function tpm2bPublic(device: PlatformTpm, handle: number): Uint8Array {
  const { outPublic } = device.readPublic(handle)
  return Uint8Array.from([outPublic.length >> 8, outPublic.length & 0xff, ...outPublic])
}

/** PCRs as tpm2_eventlog prints them: "sha256 4" -> hex. */
function printedPcrs(yaml: string): Map<string, string> {
  const values = new Map<string, string>()
  let bank = ''
  for (const line of yaml.slice(yaml.lastIndexOf('\npcrs:')).split('\n')) {
    bank = /^ {2}(sha\d+):$/.exec(line)?.[1] ?? bank
    const [, pcr, value] = /^ {4}(\d+)\s*: 0x([0-9a-f]+)$/.exec(line) ?? []
    if (pcr !== undefined && value !== undefined) values.set(`${bank} ${pcr}`, value)
  }
  return values
}

describe('tpm2_eventlog', () => {
  it('[C-09] reads a log of profile image without a warning and replays it to the PCRs of the TPM, both banks', async (context) => {
    const tool = requireTool(context, PACKAGE, 'tpm2_eventlog')
    const { device, log } = await booted()
    const { code, stdout, stderr } = run(folderWith({ log }), tool, 'log')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const banks = [
      { name: 'sha256', hash: TPM_ALG.SHA256 },
      { name: 'sha384', hash: TPM_ALG.SHA384 },
    ]
    const expected = banks.flatMap(({ name, hash }) => {
      const values =
        device.pcrRead([selectPcrs(hash, pcrs)]).values.get(hash) ?? new Map<number, Uint8Array>()
      return [...values].map(([pcr, value]): [string, string] => [`${name} ${String(pcr)}`, hex(value)])
    })
    expect(printedPcrs(stdout)).toEqual(new Map(expected))
    expect(stdout).toContain('BlobLength: 0x40000')
  })

  it('refuses the log when it is cut', async (context) => {
    const tool = requireTool(context, PACKAGE, 'tpm2_eventlog')
    const { log } = await booted()
    expect(run(folderWith({ log: log.slice(0, -1) }), tool, 'log').code).not.toBe(0)
  })
})

describe('tpm2_checkquote', () => {
  async function check(
    context: TestContext,
    change: { nonce?: Uint8Array; flip?: 'quote' | 'signature'; later?: boolean } = {},
  ): Promise<Outcome> {
    const tool = requireTool(context, PACKAGE, 'tpm2_checkquote')
    const { device, log } = await booted()
    const pcrSelect = [selectPcrs(TPM_ALG.SHA256, pcrs)]
    const { quoted, signature } = device.quote({ signHandle: AK_HANDLE, qualifyingData: nonce, pcrSelect })
    if (change.later === true) device.pcrExtend(4, digestsOf([TPM_ALG.SHA256], utf8('later')))
    const values = device.pcrRead(pcrSelect).values.get(TPM_ALG.SHA256) ?? new Map<number, Uint8Array>()
    const flipped = (bytes: Uint8Array) =>
      bytes.map((octet, at) => (at === bytes.length - 1 ? octet ^ 1 : octet))
    const folder = folderWith({
      log,
      quote: change.flip === 'quote' ? flipped(quoted) : quoted,
      signature: change.flip === 'signature' ? flipped(signature) : signature,
      'ak.pub': tpm2bPublic(device, AK_HANDLE),
      pcrs: Buffer.concat([...values.values()]),
    })
    const evidence = ['-u', 'ak.pub', '-m', 'quote', '-s', 'signature', '-q', hex(change.nonce ?? nonce)]
    const state = [
      '-g',
      'sha256',
      '-F',
      'values',
      '-f',
      'pcrs',
      '-l',
      `sha256:${pcrs.join(',')}`,
      '-e',
      'log',
    ]
    return run(folder, tool, ...evidence, ...state)
  }

  it('[C-02 control] accepts our quote with nonce, PCR values and event log', async (context) => {
    expect(await check(context)).toMatchObject({ code: 0 })
  })

  it('[C-02] refuses another nonce, a changed quote, a changed signature and other PCR values', async (context) => {
    expect((await check(context, { nonce: nonce.map((octet) => octet ^ 1) })).code).not.toBe(0)
    expect((await check(context, { flip: 'quote' })).code).not.toBe(0)
    expect((await check(context, { flip: 'signature' })).code).not.toBe(0)
    expect((await check(context, { later: true })).code).not.toBe(0)
  })
})

describe('tpm2_print', () => {
  it('reads the EK as TCG template L-2, the AK as a restricted signing key, and the attestation', async (context) => {
    const tool = requireTool(context, PACKAGE, 'tpm2_print')
    const { device } = await booted()
    const pcrSelect = [selectPcrs(TPM_ALG.SHA384, pcrs)]
    const { quoted } = device.quote({ signHandle: AK_HANDLE, qualifyingData: nonce, pcrSelect })
    const folder = folderWith({
      'ek.pub': tpm2bPublic(device, EK_HANDLE),
      'ak.pub': tpm2bPublic(device, AK_HANDLE),
      quoted,
    })
    const print = (type: string, file: string) => run(folder, tool, '-t', type, file).stdout
    const base = 'fixedtpm|fixedparent|sensitivedataorigin'
    expect(print('TPM2B_PUBLIC', 'ek.pub')).toContain(`value: ${base}|adminwithpolicy|restricted|decrypt`)
    expect(print('TPM2B_PUBLIC', 'ak.pub')).toContain(`value: ${base}|userwithauth|restricted|sign`)
    const attest = print('TPMS_ATTEST', 'quoted')
    expect(attest).toContain(`qualifiedSigner: ${hex(device.readPublic(AK_HANDLE).qualifiedName)}`)
    expect(attest).toContain(`extraData: ${hex(nonce)}`)
    expect(attest).toContain('hash: 12 (sha384)')
  })
})

describe('tpm2_makecredential', () => {
  /** The file it writes: magic number, version, and the two parts (lib/files.c of tpm2-tools calls it a credential). */
  const CredentialFile = struct<{
    magic: number
    version: number
    credentialBlob: Uint8Array
    secret: Uint8Array
  }>('credential file', {
    magic: UINT32,
    version: UINT32,
    credentialBlob: TPM2B_ID_OBJECT,
    secret: TPM2B_ENCRYPTED_SECRET,
  })
  const secret = '0123456789abcdef0123456789abcdef'

  it('makes, without a TPM, a credential that the device opens, and only for the named key', async (context) => {
    const tool = requireTool(context, PACKAGE, 'tpm2_makecredential')
    const { device } = await booted()
    const make = (name: Uint8Array) => {
      const folder = folderWith({ 'ek.pub': tpm2bPublic(device, EK_HANDLE), secret })
      const args = ['-T', 'none', '-u', 'ek.pub', '-s', 'secret', '-n', hex(name), '-o', 'credential']
      expect(run(folder, tool, ...args).code).toBe(0)
      return unmarshal(CredentialFile, new Uint8Array(readFileSync(join(folder, 'credential'))))
    }
    const open = (name: Uint8Array) =>
      device.activateCredential({ activateHandle: AK_HANDLE, keyHandle: EK_HANDLE, ...make(name) })
    expect(new TextDecoder().decode(open(device.readPublic(AK_HANDLE).name))).toBe(secret)
    expect(() => open(device.readPublic(EK_HANDLE).name)).toThrow(/TPM_RC_INTEGRITY/)
  })
})
