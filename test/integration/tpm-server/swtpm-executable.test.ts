// The `swtpm` command as harnesses find it on PATH, with the TPM of this package behind it.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { nodeArguments } from '../../../emulator/testbed/index.ts'
import { bytes } from './client.ts'
import { afterwards, cleanUp, client, temporaryFolder } from './setup.ts'

let folder: string

beforeEach(() => {
  folder = temporaryFolder()
})
afterEach(cleanUp)

/** A running swtpm, and what it said. */
interface Running {
  readonly child: ChildProcess
  readonly control: string
  readonly said: () => string
}

function start(name: string, ...words: readonly string[]): Running {
  const control = join(folder, `${name}.control`)
  const options = ['--tpm2', '--ctrl', `type=unixio,path=${control}`, ...words]
  const child = spawn(process.execPath, [...nodeArguments(['cli', 'swtpm']), 'socket', ...options], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  afterwards(() => {
    child.kill('SIGKILL')
  })
  return { child, control, said: () => said }
}

async function listening({ child, control, said }: Running): Promise<void> {
  const settled = (): boolean => existsSync(control) || child.exitCode !== null
  await expect.poll(settled, { timeout: 30_000 }).toBe(true)
  expect([child.exitCode, said()]).toEqual([null, ''])
}

describe('a state that one swtpm works with', () => {
  for (const [kind, first, second] of [
    ['a folder', 'dir=PLACE', 'backend-uri=dir://PLACE'],
    ['a file', 'backend-uri=file://PLACE', 'backend-uri=file://PLACE'],
    ['a folder and its file', 'dir=PLACE', 'backend-uri=file://PLACE/tpm-state'],
  ] as const) {
    it(`is refused to another, ${kind}; another state is not, nor this one once the first was killed`, async () => {
      const at = (place: string, text: string): string[] => [
        '--tpmstate',
        text.replace('PLACE', join(folder, place)),
      ]
      const holder = start('holder', ...at('tpm', first))
      await listening(holder)
      const other = start('other', ...at('another', second))
      const refused = start('refused', ...at('tpm', second))
      await once(refused.child, 'close')
      expect([refused.child.exitCode, refused.said()]).toEqual([
        1,
        expect.stringContaining(`process ${String(holder.child.pid)} works with the TPM`) as string,
      ])
      await listening(other)
      holder.child.kill('SIGKILL')
      await once(holder.child, 'close')
      const next = start('next', ...at('tpm', second))
      await listening(next)
      expect(await (await client({ kind: 'unix', path: next.control })).ask(4, bytes(2, 0))).toBe('00000000')
    })
  }
})
