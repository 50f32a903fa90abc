// What the `palimpsest` command writes and prints, checked by programs of others: tpm2_checkquote, sha256sum.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nodeArguments, packageRoot } from '../../emulator/testbed/index.ts'
import { PalimpsestCommand, type Started } from '../integration/support/command.ts'
import { requireFile, requireTool, run } from './tool.ts'

const folder = mkdtempSync(join(tmpdir(), 'peers-command-'))
const home = join(folder, 'emulator')
let command: PalimpsestCommand
let up: Started

beforeAll(async () => {
  command = await PalimpsestCommand.bundle()
  up = await command.start('up', '--directory', home, '--memory', '16MiB', '--json')
})
afterAll(async () => {
  up.process.kill('SIGTERM')
  await up.ended
  command.remove()
  rmSync(folder, { recursive: true, force: true })
})

describe('palimpsest quote --out', () => {
  const nonce = '5a'.repeat(32)

  /** Checks the quote, and the event log that `palimpsest eventlog --out` wrote, as a verifier with a TPM tool would. */
  function check(tool: string, qualification: string): number | null {
    const evidence = ['-u', 'ak.public', '-m', 'quote.attest', '-s', 'quote.signature']
    const state = ['-g', 'sha256', '-l', 'sha256:0,4,7', '-F', 'values', '-f', 'pcrs', '-e', 'log']
    return run(join(folder, 'quote'), tool, ...evidence, '-q', qualification, ...state).code
  }

  it('[C-02 control] [C-09] [P-09] is accepted by tpm2_checkquote with PCRs and log; for another nonce it is not', async (context) => {
    const tool = requireTool(context, 'tpm2-tools', 'tpm2_checkquote')
    const out = join(folder, 'quote')
    const at = ['--directory', home]
    expect(await command.run('quote', '--nonce', nonce, '--out', out, ...at)).toMatchObject({ code: 0 })
    expect(await command.run('eventlog', '--out', join(out, 'log'), ...at)).toMatchObject({ code: 0 })
    const { stdout } = await command.run('pcr', '--json', ...at)
    const { values } = JSON.parse(stdout) as { values: { value: string }[] }
    writeFileSync(join(out, 'pcrs'), Buffer.from(values.map(({ value }) => value).join(''), 'hex'))
    expect(check(tool, nonce)).toBe(0)
    expect(check(tool, '5b'.repeat(32))).not.toBe(0)
  })
})

describe('palimpsest demo --firmware', () => {
  it('[C-09] boots OVMF and prints the measurement that sha256sum prints for the file', (context) => {
    const firmware = requireFile(context, 'ovmf', '/usr/share/OVMF/OVMF_CODE_4M.fd')
    const [sum] = run(folder, requireTool(context, 'coreutils', 'sha256sum'), firmware).stdout.split(' ')
    const data = join(folder, 'data')
    writeFileSync(data, new Uint8Array(100_000).fill(7))
    const demo = ['demo', '--firmware', firmware, '--data', data, '--no-refusals', '--json']
    const { code, stdout, stderr } = run(
      packageRoot,
      process.execPath,
      ...nodeArguments(['cli', 'main']),
      ...demo,
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const printed = JSON.parse(stdout) as Record<string, unknown>
    expect(printed).toMatchObject({ verdict: 'ok', measurement: sum })
  })
})
