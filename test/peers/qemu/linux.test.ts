// Debian's cloud kernel on our TPM, started by OVMF: its drivers find the TPM, it reads the PCRs that the TPM has, and
// hands on the firmware's log, which replays to them.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it, type TestContext } from 'vitest'
import { parsePcrText } from '../../../emulator/cli/commands/eventlog-pcrs.ts'
import { hex } from '../../../sdk/crypto/index.ts'
import { bankName, EV, readFirmwareLog, replay } from '../../../sdk/evidence/index.ts'
import { folderWith, removeFolders, requireFile, requireTool, run } from '../tool.ts'
import { initrd } from './initrd.ts'
import { Machine, type MachineOptions, STEP_LIMIT, stopMachines } from './machine.ts'

afterEach(removeFolders)
afterAll(stopMachines)

/** What the guest does: it says what it found, between words to be found by, and then nothing more. */
const SCRIPT = [
  'mount -t devtmpfs none /dev',
  'mount -t sysfs none /sys',
  'mount -t securityfs none /sys/kernel/security',
  'echo "report:"',
  'ls -1 /dev/tpm0 /dev/tpmrm0',
  'cd /sys/class/tpm/tpm0',
  'echo "version $(cat tpm_version_major)"',
  'echo "pcrs:"',
  'for bank in sha1 sha256 sha384 sha512; do',
  '  echo "  $bank:"',
  '  for pcr in pcr-$bank/*; do echo "${pcr#*/} : 0x$(cat $pcr)"; done',
  'done',
  'echo "log:"',
  'base64 /sys/kernel/security/tpm0/binary_bios_measurements',
  'echo "done."',
  'sleep 1000',
]

/** Debian's kernel for virtual machines; the name of a kernel has its version. */
function kernel(context: TestContext): string {
  const files = existsSync('/boot') ? readdirSync('/boot') : []
  const name = files.find((file) => /^vmlinuz-.*-cloud-amd64$/.test(file))
  return requireFile(context, 'linux-image-cloud-amd64', join('/boot', name ?? 'vmlinuz-VERSION-cloud-amd64'))
}

/** A busybox that needs no libraries: the package busybox has another at the same path. */
function staticBusybox(context: TestContext): string {
  const path = requireFile(context, 'busybox-static', '/bin/busybox')
  const loaded = readFileSync(path).includes('/ld-linux')
  return loaded ? requireFile(context, 'busybox-static', '/bin/busybox without libraries') : path
}

interface Report {
  readonly machine: Machine
  readonly found: string
  /** as tpm2_pcrread prints them, but for spaces and order */
  readonly pcrs: string
  readonly log: Uint8Array
}

async function report(context: TestContext, options: MachineOptions): Promise<Report> {
  const image = kernel(context)
  const archive = join(folderWith({ initrd: initrd(staticBusybox(context), SCRIPT) }), 'initrd')
  const more = ['-kernel', image, '-initrd', archive, '-append', 'console=ttyS0 loglevel=1']
  const machine = await Machine.start(context, { ...options, more })
  await machine.see('report:\r\n')
  const found = await machine.see('pcrs:\r\n')
  const pcrs = await machine.see('log:\r\n')
  const log = Buffer.from(await machine.see('done.'), 'base64')
  return { machine, found, pcrs, log }
}

/** "sha256 4" -> hex. */
function values(text: string): Record<string, string> {
  return Object.fromEntries(
    parsePcrText(text).map(({ bank, pcr, value }) => [`${bankName(bank)} ${String(pcr)}`, hex(value)]),
  )
}

function replayed(bytes: Uint8Array): Record<string, string> {
  const log = readFirmwareLog(bytes)
  const measured = new Set(
    log.events.filter(({ eventType }) => eventType !== EV.NO_ACTION).map(({ pcrIndex }) => pcrIndex),
  )
  return Object.fromEntries(
    log.algorithms.flatMap(({ algorithmId }) =>
      [...replay(log, algorithmId)]
        .filter(([pcr]) => measured.has(pcr))
        .map(([pcr, value]) => [`${bankName(algorithmId)} ${String(pcr)}`, hex(value)]),
    ),
  )
}

/** PCRs that do not depend on what is booted: those of the fixture, which booted a shell. */
const FIRMWARE_PCRS = [0, 2, 3, 6, 7]

describe("Debian's cloud kernel", () => {
  it.for([
    { device: 'tpm-tis', server: 'palimpsest tpm serve' },
    { device: 'tpm-crb', server: 'swtpm' },
  ] as const)(
    '[C-09] finds $device at $server, and its PCRs are those that the log replays to',
    { timeout: 2 * STEP_LIMIT },
    async (options, context) => {
      const tool = requireTool(context, 'tpm2-tools', 'tpm2_eventlog')
      const { machine, found, pcrs, log } = await report(context, options)
      expect(found.split('\r\n')).toEqual(['/dev/tpm0', '/dev/tpmrm0', 'version 2', ''])
      const read = values(pcrs)
      expect(Object.keys(read)).toHaveLength(4 * 24)
      if (options.server === 'palimpsest tpm serve') expect(read).toEqual(values(machine.pcrs(context)))

      const real = values(readFileSync(new URL('../../fixtures/ovmf/pcrs.txt', import.meta.url), 'utf8'))
      for (const pcr of FIRMWARE_PCRS)
        expect(read[`sha256 ${String(pcr)}`]).toBe(real[`sha256 ${String(pcr)}`])

      const expected = replayed(log)
      // The firmware measures into PCRs 0 to 7, the kernel's EFI stub its own words and the RAM disk into PCR 9.
      expect(Object.keys(expected)).toHaveLength(4 * 9)
      expect(read).toMatchObject(expected)
      const printed = run(folderWith({ log }), tool, 'log')
      expect({ code: printed.code, stderr: printed.stderr }).toEqual({ code: 0, stderr: '' })
      expect(values(printed.stdout.slice(printed.stdout.lastIndexOf('\npcrs:')))).toEqual(expected)
      expect(await machine.quit()).toEqual([0, null])
    },
  )
})
