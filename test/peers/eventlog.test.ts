// Debian's tpm2_eventlog beside `palimpsest eventlog`: the same PCRs from the same logs.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { concatBytes, hex, utf8 } from '../../sdk/crypto/index.ts'
import { bankName, EV, readFirmwareLog, replay } from '../../sdk/evidence/index.ts'
import { agileLog, image, le, ovmfLog, separators, sha1Log, type Step } from '../unit/sdk/evidence/logs.ts'
import { folderWith, removeFolders, requireTool, run } from './tool.ts'

afterEach(removeFolders)

const locality: Step = { pcr: 0, type: EV.NO_ACTION, data: concatBytes(utf8('StartupLocality\0'), le(1, 3)) }
const steps: readonly Step[] = [
  { pcr: 0, type: EV.S_CRTM_VERSION, data: new Uint8Array(2) },
  { pcr: 4, type: EV.EFI_ACTION, data: utf8('Calling EFI Application from Boot Option') },
  ...separators,
  { pcr: 4, type: EV.EFI_BOOT_SERVICES_APPLICATION, data: image(new Uint8Array()), measured: utf8('loader') },
  { pcr: 8, type: EV.IPL, data: utf8('grub_cmd: set a=b\0'), measured: utf8('set a=b') },
]

/** PCRs as tpm2_eventlog prints them: "sha256 4" -> hex. */
function theirs(stdout: string): Record<string, string> {
  const values: Record<string, string> = {}
  let bank = ''
  for (const line of stdout.slice(stdout.indexOf('\npcrs:')).split('\n')) {
    bank = /^ *(sha\d+):$/.exec(line)?.[1] ?? bank
    const [, pcr, value] = /^ *(\d+) *: 0x([0-9a-f]+)$/.exec(line) ?? []
    if (pcr !== undefined && value !== undefined) values[`${bank} ${pcr}`] = value
  }
  return values
}

function ours(bytes: Uint8Array): Record<string, string> {
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

describe('tpm2_eventlog', () => {
  it.for([
    { what: 'a real boot of OVMF', log: ovmfLog, pcrs: 32 },
    { what: 'a crypto-agile log', log: agileLog(...steps), pcrs: 18 },
    { what: 'a TCG 1.2 log', log: sha1Log(...steps), pcrs: 9 },
  ])('replays $what to the PCRs that we do', ({ log, pcrs }, context) => {
    const tool = requireTool(context, 'tpm2-tools', 'tpm2_eventlog')
    const { code, stdout } = run(folderWith({ log }), tool, 'log')
    expect(code).toBe(0)
    expect(Object.keys(theirs(stdout))).toHaveLength(pcrs)
    expect(ours(log)).toEqual(theirs(stdout))
  })

  it('gives the PCRs that the TPM of that boot held, read back by our reader of its output', (context) => {
    const tool = requireTool(context, 'tpm2-tools', 'tpm2_eventlog')
    const { stdout } = run(folderWith({ log: ovmfLog }), tool, 'log')
    const held = readFileSync(join(import.meta.dirname, '../fixtures/ovmf/pcrs.txt'), 'utf8').toLowerCase()
    for (const value of Object.values(theirs(stdout))) expect(held).toContain(value)
  })

  it('leads to our PCRs but 0 when the TPM was started from locality 3, which it (5.4) passes over', (context) => {
    const tool = requireTool(context, 'tpm2-tools', 'tpm2_eventlog')
    const log = agileLog(locality, ...steps)
    const { stdout } = run(folderWith({ log }), tool, 'log')
    const different = Object.entries(ours(log)).filter(([pcr, value]) => theirs(stdout)[pcr] !== value)
    expect(different.filter(([pcr]) => !pcr.endsWith(' 0'))).toEqual([])
  })
})
