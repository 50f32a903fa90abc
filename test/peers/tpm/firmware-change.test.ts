// tpm2-tools on the TPM of a booted platform: a secret sealed to the PCRs of its firmware opens before one byte of the
// firmware file changed and not after; tpm2_eventlog and tpm2_checkquote see both boots as we do.
// Source: TPM 2.0 Library, Part 3, clauses 12.7 (TPM2_Unseal), 18.4 (TPM2_Quote) and 23.7 (TPM2_PolicyPCR), revision 1.59.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { builtInFirmware } from '../../../emulator/platform/firmware/index.ts'
import { hex, sha256 } from '../../../sdk/crypto/index.ts'
import { ServedBoot } from '../../integration/support/served-boot.ts'
import { requireTool } from '../tool.ts'
import { targets } from './tpm-under-test.ts'
import { Tools } from './tools.ts'

const SECRET = 'a disk key'
const PCRS = 'sha256:0,4,7'
const NONCE = 'ab'.repeat(32)

let folder: string

beforeEach((context) => {
  requireTool(context, 'tpm2-tools', 'tpm2_unseal')
  folder = mkdtempSync(join(tmpdir(), 'peers-boot-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** Boots the platform with the file `firmware.fd`, lets `work` use its TPM, and takes its power away. */
async function booted(work: (t: Tools) => Promise<void>): Promise<void> {
  const boot = await ServedBoot.boot(folder, join(folder, 'firmware.fd'))
  const [target] = targets
  if (target === undefined) throw new Error('expected a TPM of ours')
  const { tcti } = boot
  const t = new Tools(
    target,
    {
      tcti,
      host: /host=([^,]+)/.exec(tcti)?.[1] ?? '',
      port: Number(/port=(\d+)/.exec(tcti)?.[1]),
      send: (command) => Promise.resolve(boot.device.execute(command)),
      powerCycle: () => Promise.reject(new Error('expected a boot of the platform instead')),
      stop: () => boot.end(),
    },
    folder,
  )
  t.write('log', boot.log)
  try {
    await work(t)
  } finally {
    await t.tpm.stop()
  }
}

async function load(t: Tools): Promise<void> {
  await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
  await t.ok('tpm2_load -Q -C p.ctx -u s.pub -r s.priv -c sealed.ctx')
}

/** The log is the one of this firmware, and tpm2_checkquote finds that it leads to what the TPM quotes. */
async function quoted(t: Tools, firmware: Uint8Array): Promise<void> {
  expect(await t.ok('tpm2_eventlog log')).toContain(hex(sha256(firmware)))
  await t.ok('tpm2_createek -c ek.ctx -G ecc')
  await t.ok('tpm2_createak -Q -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.pub')
  await t.ok(
    `tpm2_quote -Q -c ak.ctx -l ${PCRS} -q ${NONCE} -m quote -s signature -o pcrs -F values -g sha256`,
  )
  await t.ok(
    `tpm2_checkquote -Q -u ak.pub -m quote -s signature -q ${NONCE} -g sha256 -f pcrs -F values -l ${PCRS} -e log`,
  )
}

it('[C-09] [C-02] [C-02 control] tpm2_unseal: while the firmware file is as it was, and not with one byte changed', async () => {
  const image = builtInFirmware()
  const changed = image.map((octet, at) => (at === 100_000 ? octet ^ 1 : octet))
  const open = `tpm2_unseal -c sealed.ctx -p pcr:${PCRS}`
  const install = (firmware: Uint8Array) => {
    writeFileSync(join(folder, 'firmware.fd'), firmware)
  }
  install(image)
  await booted(async (t) => {
    t.write('secret', SECRET)
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.ok(`tpm2_createpolicy -Q --policy-pcr -l ${PCRS} -L policy`)
    await t.ok('tpm2_create -Q -C p.ctx -i secret -L policy -a fixedtpm|fixedparent -u s.pub -r s.priv')
    await load(t)
    expect(await t.ok(open)).toBe(SECRET)
    await quoted(t, image)
    install(changed)
  })
  await booted(async (t) => {
    await load(t)
    await t.refused(open, 'TPM_RC_POLICY_FAIL, session 1')
    await quoted(t, changed)
    install(image)
  })
  await booted(async (t) => {
    await load(t)
    expect(await t.ok(open)).toBe(SECRET)
  })
})
