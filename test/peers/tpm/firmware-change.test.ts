// tpm2-tools on the TPM of a booted platform: a secret sealed to the PCRs of its firmware opens before one byte of the
// firmware file changed and not after, in both boot profiles; tpm2_eventlog and tpm2_checkquote see all boots as we do.
// Source: TPM 2.0 Library, Part 3, clauses 12.7 (TPM2_Unseal), 18.4 (TPM2_Quote) and 23.7 (TPM2_PolicyPCR), revision 1.59.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { builtInFirmware, type UefiMachine } from '../../../emulator/platform/firmware/index.ts'
import { parsePcrText } from '../../../emulator/cli/commands/eventlog-pcrs.ts'
import { hex, sha256 } from '../../../sdk/crypto/index.ts'
import { ServedBoot } from '../../integration/support/served-boot.ts'
import { requireFile, requireTool } from '../tool.ts'
import { targets } from './tpm-under-test.ts'
import { Tools } from './tools.ts'

const SECRET = 'a disk key'
const NONCE = 'ab'.repeat(32)
/** In the volume of the reset vector, which the firmware does not measure itself. */
const RESET_VECTOR_FROM_END = 0x40

let folder: string

beforeEach((context) => {
  requireTool(context, 'tpm2-tools', 'tpm2_unseal')
  folder = mkdtempSync(join(tmpdir(), 'peers-boot-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** A firmware file, the same with one byte changed, and what the boots of both are. */
interface Subject {
  readonly image: Uint8Array
  readonly changed: Uint8Array
  /** boot with profile `uefi` on this machine; default profile `image` */
  readonly uefi?: UefiMachine
  /** what is sealed to and quoted */
  readonly pcrs: string
  /** what the change changes of all PCRs */
  readonly differing: readonly number[]
}

/** Boots the platform with a firmware file, lets `work` use its TPM, and takes its power away. */
async function booted(
  firmware: Uint8Array,
  uefi: UefiMachine | undefined,
  work: (t: Tools) => Promise<void>,
): Promise<void> {
  const file = join(folder, 'firmware.fd')
  writeFileSync(file, firmware)
  const boot = await ServedBoot.boot(folder, file, uefi)
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
async function quoted(t: Tools, firmware: Uint8Array, pcrs: string): Promise<void> {
  expect(await t.ok('tpm2_eventlog log')).toContain(hex(sha256(firmware)))
  await t.ok('tpm2_createek -c ek.ctx -G ecc')
  await t.ok('tpm2_createak -Q -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.pub')
  await t.ok(
    `tpm2_quote -Q -c ak.ctx -l ${pcrs} -q ${NONCE} -m quote -s signature -o pcrs -F values -g sha256`,
  )
  await t.ok(
    `tpm2_checkquote -Q -u ak.pub -m quote -s signature -q ${NONCE} -g sha256 -f pcrs -F values -l ${pcrs} -e log`,
  )
}

/** The PCRs of the SHA-256 bank as hex, by number. */
async function read(t: Tools): Promise<string[]> {
  return parsePcrText(await t.ok('tpm2_pcrread sha256:all')).map(({ value }) => hex(value))
}

/** Seals in the first boot, and opens then and in later boots of the same file only. */
async function opensOnlyUnchanged({ image, changed, uefi, pcrs, differing }: Subject): Promise<void> {
  let before: string[] = []
  const open = `tpm2_unseal -c sealed.ctx -p pcr:${pcrs}`
  await booted(image, uefi, async (t) => {
    t.write('secret', SECRET)
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.ok(`tpm2_createpolicy -Q --policy-pcr -l ${pcrs} -L policy`)
    await t.ok('tpm2_create -Q -C p.ctx -i secret -L policy -a fixedtpm|fixedparent -u s.pub -r s.priv')
    await load(t)
    expect(await t.ok(open)).toBe(SECRET)
    await quoted(t, image, pcrs)
    before = await read(t)
  })
  await booted(changed, uefi, async (t) => {
    await load(t)
    await t.refused(open, 'TPM_RC_POLICY_FAIL, session 1')
    await quoted(t, changed, pcrs)
    const after = await read(t)
    expect(after).toHaveLength(24)
    expect([...after.keys()].filter((pcr) => after[pcr] !== before[pcr])).toEqual(differing)
  })
  await booted(image, uefi, async (t) => {
    await load(t)
    expect(await t.ok(open)).toBe(SECRET)
  })
}

function withFlippedBit(image: Uint8Array, at: number): Uint8Array {
  return image.map((octet, index) => (index === at ? octet ^ 1 : octet))
}

it('[C-09] [C-02] [C-02 control] tpm2_unseal: while the firmware file is as it was, and not with one byte changed', async () => {
  const image = builtInFirmware()
  await opensOnlyUnchanged({
    image,
    changed: withFlippedBit(image, 100_000),
    pcrs: 'sha256:0,4,7',
    differing: [0],
  })
})

it("[C-09] [C-02] [C-02 control] tpm2_unseal: the same with profile uefi and OVMF's reset vector, which only PCR 6 covers", async (context) => {
  const flash = (name: string) =>
    new Uint8Array(readFileSync(requireFile(context, 'ovmf', `/usr/share/OVMF/${name}`)))
  const image = flash('OVMF_CODE_4M.fd')
  const variables = flash('OVMF_VARS_4M.fd')
  await opensOnlyUnchanged({
    image,
    changed: withFlippedBit(image, image.length - RESET_VECTOR_FROM_END),
    uefi: { variables, shape: { chipset: 'q35', memory: 256n << 20n, cpus: 1 } },
    pcrs: 'sha256:0,4,6,7',
    differing: [6],
  })
})
