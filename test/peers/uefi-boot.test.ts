// A platform that boots Debian's OVMF with profile uefi: its PCRs are those of a real machine that booted the same flash
// file, a clone on it is accepted, and one changed byte of the file is refused and named.

import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it, type TestContext } from 'vitest'
import { hex, sha256 } from '../../sdk/crypto/index.ts'
import { parseEventLog, readBootProfile, replay } from '../../sdk/evidence/index.ts'
import { TPM_ALG } from '../../sdk/tpm2/index.ts'
import { Scene, type SceneOptions } from '../adversary/scene.ts'
import { parsePcrText } from '../../emulator/cli/commands/eventlog-pcrs.ts'
import { PalimpsestCommand } from '../integration/support/command.ts'
import { requireFile, requireTool, run } from './tool.ts'

const folder = mkdtempSync(join(tmpdir(), 'peers-uefi-'))
const code = join(folder, 'OVMF_CODE_4M.fd')
/** What the real boot of the fixture was: 256 MiB, one processor. */
const MEMORY = 256 << 20
/** In the volume of the reset vector. */
const FROM_END = 0x40

let scene: Scene | undefined

afterEach(async () => {
  await scene?.close()
  scene = undefined
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** A host that boots a copy of Debian's flash files; `change` may be another file or machine. */
async function host(
  context: TestContext,
  change: { readonly firmware?: string; readonly memoryBytes?: number } & SceneOptions = {},
): Promise<Scene> {
  const variablesPath = requireFile(context, 'ovmf', '/usr/share/OVMF/OVMF_VARS_4M.fd')
  copyFileSync(requireFile(context, 'ovmf', '/usr/share/OVMF/OVMF_CODE_4M.fd'), code)
  const directory = join(folder, 'host')
  scene = await Scene.set({
    directory,
    firmware: code,
    memoryBytes: MEMORY,
    uefi: { variablesPath },
    ...change,
  })
  return scene
}

/** A copy of the flash file with one byte changed in the code that runs first, which the firmware does not measure. */
function changedFile(): string {
  const bytes = readFileSync(code)
  const at = bytes.length - FROM_END
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x01, at)
  const path = join(folder, 'changed.fd')
  writeFileSync(path, bytes)
  return path
}

async function logOf({ bed }: Scene): Promise<Uint8Array> {
  return (await bed.hypervisor.getEventLog({})).log
}

describe('a platform that boots OVMF with profile uefi', () => {
  it('[C-09] [C-02 control] [P-09 control] has the PCRs of the real boot, and the whole file by its SHA-256', async (context) => {
    const here = await host(context)
    expect(await here.attempt()).toBe('ok')
    const log = parseEventLog(await logOf(here))
    const replayed = replay(log, TPM_ALG.SHA256)
    const text = readFileSync(new URL('../fixtures/ovmf/pcrs.txt', import.meta.url), 'utf8')
    const real = parsePcrText(text).filter(({ bank }) => bank === TPM_ALG.SHA256)
    for (const pcr of [0, 2, 3, 5, 7]) {
      expect(hex(replayed.get(pcr) ?? new Uint8Array())).toBe(
        hex(real.find((one) => one.pcr === pcr)?.value ?? new Uint8Array()),
      )
    }
    const profile = readBootProfile(log)
    expect(profile.name).toBe('uefi')
    expect(profile.firmwareImageDigest).toEqual(sha256(readFileSync(code)))
    const { values } = await here.bed.hypervisor.getPcrs({
      selection: { hash: TPM_ALG.SHA256, pcrs: [0, 4, 6, 7] },
    })
    for (const { pcr, value } of values) expect(value).toEqual(replayed.get(pcr))
  })

  it('[C-09] writes a log that tpm2_eventlog reads without a warning and replays to its PCRs', async (context) => {
    const tool = requireTool(context, 'tpm2-tools', 'tpm2_eventlog')
    const log = await logOf(await host(context))
    writeFileSync(join(folder, 'log'), log)
    const printed = run(folder, tool, 'log')
    expect({ code: printed.code, stderr: printed.stderr }).toEqual({ code: 0, stderr: '' })
    const pcrs = parsePcrText(printed.stdout.slice(printed.stdout.lastIndexOf('\npcrs:')))
    const parsed = parseEventLog(log)
    for (const { bank, pcr, value } of pcrs) expect(value).toEqual(replay(parsed, bank).get(pcr))
    expect(pcrs).toHaveLength(16)
  })

  it('[C-02] [P-07] [P-09] is refused when one byte of the file changed, and the event that differs is named', async (context) => {
    const good = await host(context)
    const { policies } = good
    writeFileSync(join(folder, 'good.log'), await logOf(good))
    await good.close()
    const changed = await host(context, { firmware: changedFile(), policies })
    writeFileSync(join(folder, 'changed.log'), await logOf(changed))
    expect(await changed.attempt()).toBe('REFUSED_MEASUREMENT')
    const command = await PalimpsestCommand.bundle()
    try {
      const logs = ['good.log', 'changed.log'].map((name) => join(folder, name))
      const { code: exit, stdout } = await command.run('eventlog', 'diff', ...logs)
      expect(exit).toBe(1)
      expect(stdout).toContain('PCR 6')
      expect(stdout).toContain('The firmware image is another one')
      expect(stdout).toContain('PCRs that differ: 6;')
    } finally {
      command.remove()
    }
  })

  it('[C-02] [P-07] is refused on a machine of another shape, where PCR 0 has another value', async (context) => {
    const good = await host(context)
    const { policies } = good
    await good.close()
    const other = await host(context, { memoryBytes: 2 * MEMORY, policies })
    expect(await other.attempt()).toBe('REFUSED_MEASUREMENT')
  })
})
