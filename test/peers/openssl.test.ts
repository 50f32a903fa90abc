// OpenSSL verifies the platform's certificates under the exported root, each for what it is, and not under another root;
// and the EK certificates that a TPM holds in NV memory, as a client reads them.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it, type TestContext } from 'vitest'
import {
  type EkPlace,
  ECC_EK,
  provisionEkCertificates,
  RSA_EK,
} from '../../emulator/platform/ek-certificates.ts'
import { Manufacturer } from '../../emulator/platform/endorsement.ts'
import { PlatformTpm } from '../../emulator/platform/platform-tpm.ts'
import { MemoryTpmStore, Tpm } from '../../emulator/platform/tpm/index.ts'
import {
  baseCode,
  passwordSession,
  publicKeyOf,
  TPM2_Clear,
  TPM2_HierarchyChangeAuth,
  TPM2_NV_Read,
  TPM2_NV_ReadPublic,
  TPM2_NV_UndefineSpace,
  TPM2_NV_Write,
  TPM2_ReadPublic,
  TPM2_Startup,
  TPM_RC,
  TPM_RH,
  TPM_SU,
  TPMA_NV,
  TpmClient,
  TpmResponseError,
} from '../../sdk/tpm2/index.ts'
import { folderWith, type Outcome, removeFolders, requireFile, requireTool, run } from './tool.ts'

afterEach(removeFolders)

describe('openssl', () => {
  it('verifies EK, report key and port certificates under the exported root, and not under another', (context) => {
    const tool = requireTool(context, 'openssl', 'openssl')
    const folder = folderWith({})
    const device = PlatformTpm.powerOn()
    device.startup()
    const { endorsement } = Manufacturer.open(folder).endorse({ device, folder })
    const other = Manufacturer.open(folderWith({})).rootPath
    const certificates = folderWith({ 'ek.der': endorsement.ekCertificates[0] ?? '' })
    const verify = (root: string, ...args: string[]) =>
      run(folder, tool, 'verify', '-x509_strict', '-CAfile', root, ...args)
    for (const certificate of [join(certificates, 'ek.der'), 'report.pem', 'port.pem']) {
      expect(verify('root.pem', certificate)).toMatchObject({ code: 0, stdout: `${certificate}: OK\n` })
      expect(verify(other, certificate).code).not.toBe(0)
    }
    expect(
      verify('root.pem', '-purpose', 'sslserver', '-verify_hostname', 'localhost', 'port.pem').code,
    ).toBe(0)
    expect(verify('root.pem', '-purpose', 'sslserver', 'report.pem').code).not.toBe(0)
    const text = run(certificates, tool, 'x509', '-in', 'ek.der', '-noout', '-text').stdout
    expect(text).toMatch(/Extended Key Usage: *\n *(2\.23\.133\.8\.1|Endorsement Key Certificate)/)
    expect(text).toMatch(/Key Usage: critical\n *Key Agreement/)
  })
})

interface Provisioned {
  readonly tpm: Tpm
  readonly client: TpmClient
  readonly manufacturer: Manufacturer
}

async function started(tpm: Tpm): Promise<TpmClient> {
  tpm.powerOn()
  const client = new TpmClient({ send: (command) => tpm.execute(command) })
  await client.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
  return client
}

async function provisioned(): Promise<Provisioned> {
  const tpm = new Tpm()
  const client = await started(tpm)
  const manufacturer = Manufacturer.open(folderWith({}))
  provisionEkCertificates(tpm, manufacturer)
  return { tpm, client, manufacturer }
}

/** An NV index as any client reads it: by its own, empty, authorization. */
async function readNv(client: TpmClient, nvIndex: number): Promise<Uint8Array> {
  const { nvPublic } = await client.call(TPM2_NV_ReadPublic, { nvIndex })
  const parts: Uint8Array[] = []
  for (let offset = 0; offset < nvPublic.dataSize; offset += 512) {
    const size = Math.min(512, nvPublic.dataSize - offset)
    const request = { authHandle: nvIndex, nvIndex, size, offset }
    parts.push((await client.call(TPM2_NV_Read, request, { sessions: [passwordSession()] })).data)
  }
  return new Uint8Array(Buffer.concat(parts))
}

async function refusal(work: Promise<unknown>): Promise<number | undefined> {
  try {
    await work
    return undefined
  } catch (error) {
    if (error instanceof TpmResponseError) return baseCode(error.rc)
    throw error
  }
}

/** `openssl x509 -text` without what differs from certificate to certificate of a kind. */
function textOf(folder: string, tool: string, certificate: string): string {
  return run(folder, tool, 'x509', '-in', certificate, '-noout', '-text').stdout
}

/** Names of the extensions in a text, with "critical" where they are. */
function extensions(text: string): string[] {
  return [...text.matchAll(/^ {12}X509v3 ([^:]+): ?(critical)?/gm)].map(([, name = '', critical]) =>
    critical === undefined ? name : `${name}, critical`,
  )
}

const PLACES: readonly (readonly [string, EkPlace, string])[] = [
  ['RSA 2048', RSA_EK, 'Key Encipherment'],
  ['P-256', ECC_EK, 'Key Agreement'],
]

describe.for(PLACES)('EK certificate of %s in NV', ([, place, keyUse]) => {
  async function verified(
    context: TestContext,
    change: { readonly root?: 'other'; readonly at?: number } = {},
  ): Promise<Outcome> {
    const tool = requireTool(context, 'openssl', 'openssl')
    const { client, manufacturer } = await provisioned()
    const certificate = await readNv(client, place.nvIndex)
    const at = change.at === undefined ? undefined : (certificate.length + change.at) % certificate.length
    const folder = folderWith({
      'ek.der': certificate.map((octet, index) => (index === at ? octet ^ 1 : octet)),
    })
    const root = change.root === 'other' ? Manufacturer.open(folderWith({})).rootPath : manufacturer.rootPath
    return run(folder, tool, 'verify', '-x509_strict', '-CAfile', root, 'ek.der')
  }

  it('control: verifies under the root of the manufacturer', async (context) => {
    expect(await verified(context)).toMatchObject({ code: 0, stdout: 'ek.der: OK\n' })
  })

  it('does not verify under another root, nor with a changed name or signature', async (context) => {
    expect((await verified(context, { root: 'other' })).code).not.toBe(0)
    expect((await verified(context, { at: -1 })).code).not.toBe(0)
    expect((await verified(context, { at: 60 })).code).not.toBe(0)
  })

  it('is for the EK at its persistent handle, and says which TPM that is', async (context) => {
    const tool = requireTool(context, 'openssl', 'openssl')
    const { client } = await provisioned()
    const folder = folderWith({ 'ek.der': await readNv(client, place.nvIndex) })
    const { outPublic } = await client.call(TPM2_ReadPublic, { objectHandle: place.persistentHandle })
    const pem = publicKeyOf(outPublic).export({ format: 'pem', type: 'spki' })
    expect(run(folder, tool, 'x509', '-in', 'ek.der', '-noout', '-pubkey').stdout).toBe(pem)
    const text = textOf(folder, tool, 'ek.der')
    expect(text).toMatch(/Extended Key Usage: *\n *(2\.23\.133\.8\.1|Endorsement Key Certificate)/)
    expect(text).toContain(`Key Usage: critical\n                ${keyUse}\n`)
    expect(text).toContain('Basic Constraints: critical\n                CA:FALSE')
    const name =
      /DirName:\/2\.23\.133\.2\.1=id:504C4D50\/2\.23\.133\.2\.2=palimpsest\/2\.23\.133\.2\.3=id:[0-9A-F]{8}\n/
    expect(text).toMatch(name)
    const asn1 = run(folder, tool, 'asn1parse', '-in', 'ek.der', '-inform', 'DER').stdout
    // TPM Specification: family "2.0", level 0, revision 1.59.
    expect(asn1).toMatch(
      /Subject Directory Attributes\n.*:3019301706056781050210310E300C0C03322E300201000202009F\n/,
    )
  })

  it('is readable by everybody, written by nobody after its maker, and not by the owner deleted', async (context) => {
    requireTool(context, 'openssl', 'openssl')
    const { client } = await provisioned()
    const { nvIndex } = place
    const { attributes } = (await client.call(TPM2_NV_ReadPublic, { nvIndex })).nvPublic
    const expected = [
      'PLATFORMCREATE',
      'PPWRITE',
      'PPREAD',
      'OWNERREAD',
      'AUTHREAD',
      'NO_DA',
      'WRITEDEFINE',
      'WRITELOCKED',
      'WRITTEN',
    ] as const
    expect(attributes).toBe(expected.reduce((sum, name) => sum + (TPMA_NV[name] >>> 0), 0))
    const write = { authHandle: TPM_RH.PLATFORM, nvIndex, data: Uint8Array.of(0), offset: 0 }
    const sessions = [passwordSession()]
    expect(await refusal(client.call(TPM2_NV_Write, write, { sessions }))).toBe(TPM_RC.NV_LOCKED)
    const read = { authHandle: TPM_RH.OWNER, nvIndex, size: 4, offset: 0 }
    expect(await refusal(client.call(TPM2_NV_Read, read, { sessions }))).toBeUndefined()
    const undefine = { authHandle: TPM_RH.OWNER, nvIndex }
    expect(await refusal(client.call(TPM2_NV_UndefineSpace, undefine, { sessions }))).toBe(
      TPM_RC.NV_AUTHORIZATION,
    )
  })

  it('has the fields of the one that swtpm_setup makes', async (context) => {
    const tool = requireTool(context, 'openssl', 'openssl')
    const setup = requireTool(context, 'swtpm-tools', 'swtpm_setup')
    const folder = folderWith({})
    const config = swtpmConfig(folder, requireFile(context, 'swtpm-tools', '/usr/bin/swtpm_localca'))
    const options = ['--tpm2', '--tpmstate', folder, '--create-ek-cert', '--lock-nvram', '--overwrite']
    const made = run(folder, setup, ...options, '--write-ek-cert-files', folder, '--config', config)
    if (made.code !== 0) throw new Error(`swtpm_setup: ${made.stdout}${made.stderr}`)
    const theirs = textOf(folder, tool, place === RSA_EK ? 'ek-rsa2048.crt' : 'ek-secp384r1.crt')
    const { client } = await provisioned()
    const ours = textOf(folderWith({ 'ek.der': await readNv(client, place.nvIndex) }), tool, 'ek.der')
    const critical = (name: string): string => name.replace(/^(Subject Alternative Name), critical$/, '$1')
    // Beside theirs, ours name their key. Theirs is critical in its alternative name, which a subject makes unnecessary.
    expect(extensions(ours).sort()).toEqual(
      [...extensions(theirs).map(critical), 'Subject Key Identifier'].sort(),
    )
    for (const field of [/Key Usage: critical\n *(.*)/, /Extended Key Usage: *\n *(.*)/]) {
      expect(field.exec(ours)?.[1]).toBe(field.exec(theirs)?.[1])
    }
    const types = (text: string) => text.match(/2\.23\.133\.2\.\d+=/g)
    expect(types(ours)).toEqual(types(theirs))
  })
})

/** swtpm_setup's configuration with a CA in `folder`, so that nothing outside it is written. */
function swtpmConfig(folder: string, localcaTool: string): string {
  const ca = folderWith({})
  const localca = folderWith({
    'localca.conf': `statedir = ${ca}\nsigningkey = ${ca}/key.pem\nissuercert = ${ca}/ca.pem\ncertserial = ${ca}/serial\n`,
    'localca.options': '--platform-manufacturer Test\n--platform-version 1\n--platform-model Test\n',
  })
  const lines = [
    `create_certs_tool = ${localcaTool}`,
    `create_certs_tool_config = ${localca}/localca.conf`,
    `create_certs_tool_options = ${localca}/localca.options`,
  ]
  writeFileSync(join(folder, 'setup.conf'), `${lines.join('\n')}\n`)
  return join(folder, 'setup.conf')
}

describe('provisioning of EK certificates', () => {
  it('keeps good ones over restarts and over TPM2_Clear, and asks for no authorization then', async () => {
    const store = new MemoryTpmStore()
    const tpm = new Tpm({ store })
    const client = await started(tpm)
    const manufacturer = Manufacturer.open(folderWith({}))
    const first = provisionEkCertificates(tpm, manufacturer)
    expect(provisionEkCertificates(tpm, manufacturer)).toEqual(first)
    const sessions = [passwordSession()]
    await client.call(TPM2_Clear, { authHandle: TPM_RH.LOCKOUT }, { sessions })
    for (const authHandle of [TPM_RH.OWNER, TPM_RH.ENDORSEMENT]) {
      await client.call(TPM2_HierarchyChangeAuth, { authHandle, newAuth: Uint8Array.of(1) }, { sessions })
    }
    const again = new Tpm({ store })
    await started(again)
    expect(provisionEkCertificates(again, manufacturer)).toEqual(first)
  })

  it('takes the place of one by another manufacturer', async () => {
    const { tpm, client } = await provisioned()
    const before = await readNv(client, ECC_EK.nvIndex)
    const [, after] = provisionEkCertificates(tpm, Manufacturer.open(folderWith({})))
    expect(after).not.toEqual(before)
    expect(await readNv(client, ECC_EK.nvIndex)).toEqual(after)
  })
})
