// The main job as a user runs it: `palimpsest demo` on a small file and with a firmware image of the user's own.

import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nodeArguments } from '../../emulator/testbed/index.ts'

/** What `demo --json` prints, as far as it is looked at. */
interface DemoResult {
  readonly verdict: string
  readonly measurement: string
  readonly checks: readonly { readonly what: string; readonly holds: boolean }[]
  readonly copied: readonly { readonly kind: string; readonly blocks: string }[]
  readonly refusals: readonly {
    readonly expected: string
    readonly found: string
    readonly control: string
  }[]
  readonly processes: readonly { readonly name: string; readonly pid: number }[]
}

const folder = mkdtempSync(join(tmpdir(), 'palimpsest-demo-'))
const firmware = randomBytes(64 << 10)
let code: number | null
let result: DemoResult

beforeAll(async () => {
  const data = join(folder, 'data')
  const image = join(folder, 'firmware.fd')
  writeFileSync(data, randomBytes(70_000))
  writeFileSync(image, firmware)
  const command = [...nodeArguments(['cli', 'main']), 'demo', '--json', '--data', data, '--firmware', image]
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  code = await new Promise((resolve) => {
    child.once('close', resolve)
  })
  result = JSON.parse(output) as DemoResult
}, 120_000)

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

describe('palimpsest demo', () => {
  it('[C-18] ends with the verdict ok', () => {
    expect(result.checks.filter(({ holds }) => !holds)).toEqual([])
    expect([code, result.verdict]).toEqual([0, 'ok'])
  })

  it('[C-09] measures the firmware file that it was given', () => {
    expect(result.measurement).toBe(createHash('sha256').update(firmware).digest('hex'))
  })

  it('copies every block of both kinds', () => {
    expect(result.copied.map(({ kind, blocks }) => [kind, blocks])).toEqual([
      ['memory pages', '18'],
      ['disk blocks', '18'],
    ])
  })

  it('[C-20] runs five processes', () => {
    const names = ['platform', 'hypervisor', 'worker', 'source plugin', 'destination plugin']
    const pids = names.map((name) => result.processes.find((one) => one.name === name)?.pid)
    expect(new Set(pids).size).toBe(5)
    expect(pids).not.toContain(undefined)
  })

  it('shows six refusals, each with its control', () => {
    expect(result.refusals.map(({ found, control }) => [found, control])).toEqual(
      [
        'REFUSED_WORKER',
        'REFUSED_PEER',
        'REFUSED_MEASUREMENT',
        'REFUSED_BINDING',
        'STALE_NONCE',
        'REFUSED_BINDING',
      ].map((expected) => [expected, 'ok']),
    )
  })
})
