// systemd-creds: credentials of services, sealed to the TPM and to PCRs (systemd.io/CREDENTIALS).

import { expect, it } from 'vitest'
import { requireTool } from '../tool.ts'
import { onEachTpm } from './tools.ts'

const SECRET = 'the password of a service'

onEachTpm((on) => {
  it('systemd-creds encrypt, decrypt: opens while PCR 7 is as it was, also after a reset; then it refuses', async (context) => {
    const tool = requireTool(context, 'systemd', 'systemd-creds')
    const t = on()
    const device = `--tpm2-device=${t.tpm.tcti}`
    t.write('secret', SECRET)
    await t.ok(`${tool} encrypt --with-key=tpm2 ${device} --tpm2-pcrs=7 --name=service secret sealed`)
    expect(Buffer.from(t.read('sealed')).toString()).not.toContain(SECRET)
    const open = `${tool} decrypt ${device} --name=service sealed -`
    expect(await t.ok(open)).toBe(SECRET)
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    expect(await t.ok(open)).toBe(SECRET)
    await t.ok(`tpm2_pcrextend 7:sha256=${'11'.repeat(32)}`)
    await t.refused(open, /policy digest does not match/)
    // Another owner, another storage root key.
    await t.fresh()
    await t.refused(open, 'TPM_RC_INTEGRITY, parameter 1')
  })
})
