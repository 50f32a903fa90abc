// A real boot on our TPM: Debian's OVMF under QEMU. PCRs and event log are, bit for bit, those of a boot of the same
// firmware with another software TPM (test/fixtures/ovmf).

import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it, type TestContext } from 'vitest'
import { parsePcrText } from '../../../emulator/cli/commands/eventlog-pcrs.ts'
import { uefiMeasurements } from '../../../emulator/platform/firmware/uefi/index.ts'
import { hex, sha256 } from '../../../sdk/crypto/index.ts'
import { EV, type EventLog, eventProblem, parseEventLog, replay } from '../../../sdk/evidence/index.ts'
import { TPM_ALG } from '../../../sdk/tpm2/index.ts'
import { folderWith, removeFolders, requireTool, run } from '../tool.ts'
import { Machine, type MachineOptions, STEP_LIMIT, stopMachines } from './machine.ts'
import { repacked } from './repacked.ts'

const PROMPT = 'Shell> '
const fixture = (name: string) => readFileSync(new URL(`../../fixtures/ovmf/${name}`, import.meta.url))
const realPcrs = fixture('pcrs.txt').toString()
const realLog = fixture('eventlog.bin')

afterEach(removeFolders)
afterAll(stopMachines)

async function booted(context: TestContext, options: MachineOptions): Promise<Machine> {
  const machine = await Machine.start(context, options)
  await machine.see(PROMPT)
  return machine
}

/** The first event of a log: for PCR 0, of type EV_NO_ACTION, with a SHA-1 digest of zeros and this name. */
const SPEC_ID = Buffer.concat([Buffer.from('0000000003000000', 'hex'), Buffer.alloc(20)])
const SPEC_ID_NAME = 'Spec ID Event03\0'
const PAGE = 4096

/**
 * The event log in a guest's RAM. OVMF keeps it in pages of its own, erased to 0xff; the area that QEMU's ACPI table TPM2
 * names (LASA) stays empty.
 */
function findLog(memory: Buffer): Buffer {
  const found: number[] = []
  for (let at = 0; at < memory.length; at += PAGE) {
    if (!memory.subarray(at, at + SPEC_ID.length).equals(SPEC_ID)) continue
    const name = at + SPEC_ID.length + 4
    if (memory.toString('latin1', name, name + SPEC_ID_NAME.length) === SPEC_ID_NAME) found.push(at)
  }
  expect(found).toHaveLength(1)
  const log = memory.subarray(found[0])
  return log.subarray(0, log.indexOf(Buffer.alloc(64, 0xff)))
}

/** "sha256 4" -> hex. */
function values(text: string): Record<string, string> {
  return Object.fromEntries(
    parsePcrText(text).map(({ bank, pcr, value }) => [`${String(bank)} ${String(pcr)}`, hex(value)]),
  )
}

function replayed(log: EventLog): Record<string, string> {
  return Object.fromEntries(
    log.algorithms.flatMap(({ algorithmId }) =>
      [...replay(log, algorithmId)].map(([pcr, value]) => [
        `${String(algorithmId)} ${String(pcr)}`,
        hex(value),
      ]),
    ),
  )
}

/** Digests of the firmware volumes, PEIFV and DXEFV. */
function volumes(log: EventLog): string[] {
  return log.events
    .filter(({ eventType }) => eventType === EV.EFI_PLATFORM_FIRMWARE_BLOB)
    .map(({ digests }) => hex(digests.get(TPM_ALG.SHA256) ?? new Uint8Array()))
}

describe('OVMF with tpm-tis', () => {
  let machine: Machine | undefined

  it(
    '[C-09] reaches its shell, and the PCRs of all banks are those of the real boot',
    async (context) => {
      machine = await booted(context, { device: 'tpm-tis' })
      expect(machine.pcrs(context)).toBe(realPcrs)
    },
    2 * STEP_LIMIT,
  )

  it(
    '[P-09] has them again after a reset, and not before',
    async (context) => {
      machine ??= await booted(context, { device: 'tpm-tis' })
      const extend = `0:sha256=${'11'.repeat(32)}`
      expect(machine.tool(context, 'tpm2_pcrextend', extend).code).toBe(0)
      const [changed, real] = [values(machine.pcrs(context)), values(realPcrs)]
      expect(Object.keys(real).filter((name) => changed[name] !== real[name])).toEqual(['11 0'])
      // TPM_RC_LOCALITY: only a reset of the machine undoes it.
      expect(machine.tool(context, 'tpm2_pcrreset', '0').stderr).toContain('0x00000907')
      await machine.command('system_reset')
      await machine.see(PROMPT)
      expect(machine.pcrs(context)).toBe(realPcrs)
    },
    2 * STEP_LIMIT,
  )

  it('ends the process with the TPM when QEMU ends', async (context) => {
    machine ??= await booted(context, { device: 'tpm-tis' })
    expect(await machine.quit()).toEqual([0, null])
  })
})

describe('OVMF with tpm-crb', () => {
  let machine: Machine | undefined

  it(
    '[C-09] reaches its shell with the log of the real boot, which tpm2_eventlog and we replay to the PCRs',
    async (context) => {
      const tool = requireTool(context, 'tpm2-tools', 'tpm2_eventlog')
      machine = await booted(context, { device: 'tpm-crb' })
      expect(machine.pcrs(context)).toBe(realPcrs)
      const bytes = findLog(await machine.memory())
      expect(bytes.equals(realLog)).toBe(true)

      const printed = run(folderWith({ log: bytes }), tool, 'log')
      expect({ code: printed.code, stderr: printed.stderr }).toEqual({ code: 0, stderr: '' })
      const theirs = values(printed.stdout.slice(printed.stdout.lastIndexOf('\npcrs:')))
      expect(Object.keys(theirs)).toHaveLength(4 * 8)
      const log = parseEventLog(bytes)
      expect(
        log.events.map((event) => eventProblem(event)).filter((problem) => problem !== undefined),
      ).toEqual([])
      expect(values(realPcrs)).toMatchObject(theirs)
      expect(replayed(log)).toMatchObject(theirs)
    },
    2 * STEP_LIMIT,
  )

  it(
    'goes on elsewhere with its TPM: migrated to a file, and from it to a host with another TPM',
    async (context) => {
      machine ??= await booted(context, { device: 'tpm-crb' })
      const digest = '22'.repeat(32)
      expect(machine.tool(context, 'tpm2_pcrextend', `23:sha256=${digest}`).code).toBe(0)
      expect(machine.tool(context, 'tpm2_nvdefine', '-s', '4', '0x1500016').code).toBe(0)
      const before = machine.pcrs(context)
      await machine.command('migrate', { uri: 'exec:cat > moved' })
      await machine.event('STOP')
      await expect
        .poll(async () => machine?.command('query-migrate'), { timeout: STEP_LIMIT })
        .toMatchObject({
          status: 'completed',
        })
      const moved = folderWith({})
      copyFileSync(join(machine.folder, 'moved'), join(moved, 'moved'))
      expect(await machine.quit()).toEqual([0, null])

      const there = await Machine.start(context, {
        device: 'tpm-crb',
        more: ['-incoming', `exec:cat ${join(moved, 'moved')}`],
      })
      await there.event('RESUME')
      there.type('ver\r')
      await there.see('UEFI Interactive Shell')
      await there.see(PROMPT)
      expect(there.pcrs(context)).toBe(before)
      expect(there.tool(context, 'tpm2_nvreadpublic', '0x1500016').stdout).toContain('size: 4')
    },
    3 * STEP_LIMIT,
  )
})

describe('OVMF with one byte changed in what it measures', () => {
  it(
    '[C-09] has another PCR 0, as it is computed without a boot; the other PCRs stay',
    async (context) => {
      const { path, before, after } = repacked(context)
      const machine = await booted(context, { device: 'tpm-crb', code: path })
      const [pcrs, real] = [values(machine.pcrs(context)), values(realPcrs)]
      expect(Object.keys(real).filter((name) => pcrs[name] !== real[name])).toEqual([
        '4 0',
        '11 0',
        '12 0',
        '13 0',
      ])
      const log = parseEventLog(findLog(await machine.memory()))
      expect(replayed(log)).toMatchObject({ '11 0': pcrs['11 0'] })

      const [pei, dxe] = volumes(log)
      const [realPei, realDxe] = volumes(parseEventLog(realLog))
      expect(pei).toBe(realPei)
      expect(dxe).not.toBe(realDxe)
      const { measurements } = uefiMeasurements({
        flash: readFileSync(path),
        shape: { chipset: 'q35', memory: 256n << 20n, cpus: 1 },
      })
      expect(hex(sha256(measurements[2]?.measured ?? new Uint8Array()))).toBe(dxe)
      const size = measurements[2]?.measured.length ?? 0
      expect(hex(sha256(before.subarray(-size)))).toBe(realDxe)
      expect(hex(sha256(after.subarray(-size)))).toBe(dxe)
    },
    2 * STEP_LIMIT,
  )
})
