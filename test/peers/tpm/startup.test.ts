// tpm2-tools: startup and shutdown, self tests, capabilities.
// Source: TPM 2.0 Library, Part 3, clauses 9, 10 and 30, revision 1.59.

import { expect, it } from 'vitest'
import { onEachTpm, type Tools } from './tools.ts'

const ZEROS = `0x${'00'.repeat(32)}`

/** The names at the left margin of what tpm2_getcap prints. */
const names = (yaml: string): string[] => [...yaml.matchAll(/^([\w-]+):/gm)].map(([, name = '']) => name)
/** Each property and its raw value. */
const raw = (yaml: string): Map<string, number> =>
  new Map(
    [...yaml.matchAll(/^(TPM2_PT_\w+):\s+raw: (\w+)/gm)].map(([, name = '', value]): [string, number] => [
      name,
      Number(value),
    ]),
  )

/** In failure mode, and out of it. */
async function breakDown(t: Tools, fail: () => Promise<void>): Promise<void> {
  await fail()
  // What the tool does not know as a result it takes for an error.
  await t.refused('tpm2_gettestresult', /Unknown testing result/)
  await t.refused('tpm2_getrandom 8', 'TPM_RC_FAILURE')
  await t.refused('tpm2_startup -c', 'TPM_RC_FAILURE')
  await t.tpm.powerCycle()
  await t.ok('tpm2_startup -c')
}

onEachTpm((on) => {
  it('tpm2_startup, tpm2_shutdown: a TPM answers only after Startup, and resumes only what was saved', async () => {
    const t = on()
    await t.tpm.powerCycle()
    await t.refused('tpm2_pcrread sha256:0', 'TPM_RC_INITIALIZE')
    for (const line of ['tpm2_selftest', 'tpm2_gettestresult', 'tpm2_shutdown']) {
      await t.refused(line, 'TPM_RC_INITIALIZE')
    }
    await t.ok('tpm2_startup -c')
    expect(await t.ok('tpm2_pcrread sha256:0')).toContain(ZEROS)
    await t.ok(`tpm2_pcrextend 0:sha256=${'11'.repeat(32)}`)
    const extended = await t.ok('tpm2_pcrread sha256:0')
    expect(extended).not.toContain(ZEROS)

    await t.ok('tpm2_shutdown')
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup')
    expect(await t.ok('tpm2_pcrread sha256:0')).toBe(extended)

    // TPM_SU_STATE without a shutdown before has nothing to resume.
    await t.tpm.powerCycle()
    await t.refused('tpm2_startup', 'TPM_RC_VALUE, parameter 1')
    await t.ok('tpm2_startup -c')
    expect(await t.ok('tpm2_pcrread sha256:0')).toContain(ZEROS)

    await t.ok('tpm2_shutdown -c')
    await t.tpm.powerCycle()
    await t.refused('tpm2_startup', 'TPM_RC_VALUE, parameter 1')
    await t.ok('tpm2_startup -c')
  })

  it('tpm2_selftest, tpm2_incrementalselftest, tpm2_gettestresult: all pass, and an algorithm that is none is refused', async () => {
    const t = on()
    await t.ok('tpm2_selftest -f')
    await t.ok('tpm2_selftest')
    expect(await t.ok('tpm2_gettestresult')).toMatch(/status: +success/)
    expect(await t.ok('tpm2_incrementalselftest rsa ecc aes sha256')).toMatch(/status: +(complete|success)/)
    await t.refused('tpm2_incrementalselftest none-such', /invalid or unsupported algorithm/i)
  })

  it('tpm2_gettestresult: of a TPM in failure mode, which does nothing else until its power is cycled', async () => {
    const t = on()
    // Without a request for failure mode a healthy TPM it is; mssim has one.
    if (t.tpm.fail !== undefined) await breakDown(t, t.tpm.fail)
    expect(await t.ok('tpm2_gettestresult')).toMatch(/status: +success/)
  })

  it('tpm2_getcap: algorithms, commands, curves and banks are there, each once', async () => {
    const t = on()
    const algorithms = names(await t.ok('tpm2_getcap algorithms'))
    expect(new Set(algorithms).size).toBe(algorithms.length)
    expect(algorithms).toEqual(
      expect.arrayContaining(
        ['rsa', 'ecc', 'aes', 'keyedhash', 'symcipher', 'hmac', 'xor', 'kdf1_sp800_108', 'mgf1'].concat(
          ['sha1', 'sha256', 'sha384', 'sha512', 'rsassa', 'rsapss', 'rsaes', 'oaep'],
          ['ecdsa', 'ecdh', 'ecdaa', 'ecschnorr', 'cfb', 'cbc', 'ctr', 'ofb', 'ecb'],
        ),
      ),
    )
    const commands = names(await t.ok('tpm2_getcap commands'))
    expect(new Set(commands).size).toBe(commands.length)
    expect(commands).toEqual(
      expect.arrayContaining(
        ['Startup', 'Quote', 'NV_Read', 'PolicyPCR', 'CreateLoaded', 'Duplicate', 'HMAC_Start', 'Commit'].map(
          (name) => `TPM2_CC_${name}`,
        ),
      ),
    )
    expect(names(await t.ok('tpm2_getcap ecc-curves'))).toEqual(
      expect.arrayContaining(['TPM2_ECC_NIST_P256', 'TPM2_ECC_NIST_P384', 'TPM2_ECC_NIST_P521']),
    )
    const pcrs = Array.from({ length: 24 }, (_, pcr) => pcr).join(', ')
    const banks = await t.ok('tpm2_getcap pcrs')
    for (const bank of ['sha1', 'sha256', 'sha384', 'sha512'])
      expect(banks).toContain(`- ${bank}: [ ${pcrs} ]`)
    await t.refused('tpm2_getcap none-such', /invalid capability string/)
  })

  it('tpm2_getcap: properties say TPM 2.0 and what state the TPM is in', async () => {
    const t = on()
    const fixed = raw(await t.ok('tpm2_getcap properties-fixed'))
    expect(fixed.get('TPM2_PT_FAMILY_INDICATOR')).toBe(0x322e3000)
    expect(fixed.get('TPM2_PT_PCR_COUNT')).toBe(24)
    expect(fixed.get('TPM2_PT_MAX_DIGEST')).toBe(64)
    // The least that the PC Client profile allows.
    expect(fixed.get('TPM2_PT_HR_TRANSIENT_MIN')).toBeGreaterThanOrEqual(3)
    const variable = async (): Promise<string> => t.ok('tpm2_getcap properties-variable')
    expect(await variable()).toMatch(/ownerAuthSet: +0\b[^]*inLockout: +0\b[^]*shEnable: +1\b/)
    await t.ok('tpm2_changeauth -c owner secret')
    expect(await variable()).toMatch(/ownerAuthSet: +1\b/)
  })

  it('tpm2_getcap: handles come and go with what they stand for', async () => {
    const t = on()
    const handles = async (kind: string): Promise<string[]> =>
      (await t.ok(`tpm2_getcap handles-${kind}`))
        .split(/\s*- +/)
        .filter((handle) => handle !== '')
        .map((handle) => handle.trim())
    expect(await handles('permanent')).toEqual(
      expect.arrayContaining([
        '0x40000001',
        '0x40000007',
        '0x40000009',
        '0x4000000A',
        '0x4000000B',
        '0x4000000C',
      ]),
    )
    expect(await handles('pcr')).toHaveLength(24)
    for (const kind of ['transient', 'persistent', 'nv-index', 'loaded-session', 'saved-session']) {
      expect({ kind, handles: await handles(kind) }).toEqual({ kind, handles: [] })
    }
    await t.ok('tpm2_createprimary -C o -G ecc -c p.ctx')
    if (!t.isReference) expect(await handles('transient')).toEqual(['0x80000000'])
    await t.ok('tpm2_evictcontrol -C o -c p.ctx 0x81000001')
    expect(await handles('persistent')).toEqual(['0x81000001'])
    await t.ok('tpm2_nvdefine 0x1500001 -C o -s 8')
    expect(await handles('nv-index')).toEqual(['0x1500001'])
    await t.ok('tpm2_startauthsession -S s.ctx --policy-session')
    // Whatever its kind: a TPM does not remember that of a saved session.
    expect(await handles('saved-session')).toEqual(['0x2000000'])
    await t.refused('tpm2_getcap handles-none-such', /invalid capability string/)
  })

  it('tpm2_testparms: parameters that the TPM has, and one that it has not', async () => {
    const t = on()
    const supported = [
      'rsa2048',
      'rsa3072',
      'ecc256',
      'ecc384',
      'ecc521',
      'aes128cfb',
      'aes256cfb',
      'aes128ctr',
      'keyedhash',
    ]
    for (const parameters of [...supported, 'rsa2048:rsapss-sha256', 'ecc256:ecdsa-sha256']) {
      await t.ok(`tpm2_testparms ${parameters}`)
    }
    // Neither has all that the Library defines.
    const refused = t.isReference ? 'rsa4096' : 'ecc224'
    await t.refused(
      `tpm2_testparms ${refused}`,
      /Unsupported algorithm specification|elliptic curve is unsupported/,
    )
    await t.refused('tpm2_testparms ecc256:rsapss', /Unsupported|Could not|invalid/i)
  })

  it('tpm2_send: raw commands, and the response code of one that does not exist', async () => {
    const t = on()
    const response = Buffer.from(
      await t.ok('tpm2_send', Buffer.from('80010000000c0000017b0008', 'hex')),
      'latin1',
    )
    expect(response.subarray(0, 12).toString('hex')).toBe('800100000014000000000008')
    t.write('unknown', Buffer.from('80010000000a000001ff', 'hex'))
    const refusal = Buffer.from(await t.ok('tpm2_send unknown'), 'latin1')
    expect(refusal.toString('hex')).toBe('80010000000a00000143')
  })
})
