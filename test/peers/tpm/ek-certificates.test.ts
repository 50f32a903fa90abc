// EK certificates as tools find them: in NV memory at TCG's indices, verified by openssl, and of the key that the TPM has.
// Source: TCG EK Credential Profile, version 2.5 (NV indices, templates L-1 and L-2).

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { requireTool } from '../tool.ts'
import { targets, type TpmUnderTest } from './tpm-under-test.ts'
import { Tools } from './tools.ts'

const folder = mkdtempSync(join(tmpdir(), 'peers-ek-'))
let tpm: TpmUnderTest | undefined

afterAll(async () => {
  await tpm?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const keys = [
  { name: 'RSA 2048', algorithm: 'rsa', index: '0x01c00002' },
  { name: 'P-256', algorithm: 'ecc', index: '0x01c0000a' },
]

it('a served TPM has certificates of both its EKs, which openssl verifies by their manufacturer alone', async (context) => {
  requireTool(context, 'tpm2-tools', 'tpm2_startup')
  requireTool(context, 'openssl', 'openssl')
  const [target] = targets
  if (target === undefined) throw new Error('expected a TPM of ours')
  tpm = await target.start({ ekCertificates: join(folder, 'manufacturer') })
  const t = new Tools(target, tpm, folder)
  await t.ok('tpm2_startup -c')
  await t.ok(
    'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -out other.pem -subj /CN=other',
  )
  for (const { name, algorithm, index } of keys) {
    await t.ok(`tpm2_nvread ${index} -C o -o ${algorithm}.der`)
    await t.ok(`openssl x509 -inform der -in ${algorithm}.der -out ${algorithm}.pem`)
    expect(
      await t.ok(`openssl verify -x509_strict -CAfile manufacturer/root.pem ${algorithm}.pem`),
      name,
    ).toMatch(/OK/)
    expect((await t.run(`openssl verify -CAfile other.pem ${algorithm}.pem`)).code, name).not.toBe(0)

    await t.ok(`tpm2_createek -Q -c ${algorithm}.ctx -G ${algorithm} -f pem -u ${algorithm}.ek`)
    const certified = await t.ok(`openssl x509 -in ${algorithm}.pem -noout -pubkey`)
    expect(certified, name).toBe(await t.ok(`cat ${algorithm}.ek`))

    t.write('four', 'abcd')
    await t.refused(`tpm2_nvwrite ${index} -C p -i four`, 'TPM_RC_NV_LOCKED')
    await t.refused(`tpm2_nvundefine ${index} -C o`, 'TPM_RC_NV_AUTHORIZATION')
  }
})
