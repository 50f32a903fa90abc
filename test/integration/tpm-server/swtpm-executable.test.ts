// The `swtpm` command as harnesses find it on PATH, with the TPM of this package behind it.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { nodeArguments } from '../../../emulator/testbed/index.ts'
import { bytes, type Client } from './client.ts'
import { afterwards, cleanUp, client, listens, temporaryFolder } from './setup.ts'
import { getRandom, startupClear } from './toy-tpm.ts'

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
  const settled = (): boolean => listens(control) || child.exitCode !== null
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

describe('what STORE_VOLATILE stores', () => {
  const states = (tpmState: string): unknown => {
    const words = ['socket', '--tpm2', '--tpmstate', tpmState, '--print-states']
    const { stdout } = spawnSync(process.execPath, [...nodeArguments(['cli', 'swtpm']), ...words])
    const { states: found } = JSON.parse(stdout.toString()) as { states: { name: string }[] }
    return found.map(({ name }) => name)
  }

  /** A swtpm with its two channels. */
  const begin = async (name: string, tpmState: string): Promise<{ control: Client; data: Client }> => {
    const data = join(folder, `${name}.data`)
    const begun = start(name, '--tpmstate', tpmState, '--server', `type=unixio,path=${data}`)
    await listening(begun)
    return {
      control: await client({ kind: 'unix', path: begun.control }),
      data: await client({ kind: 'unix', path: data }),
    }
  }

  for (const kind of ['dir=', 'backend-uri=file://']) {
    it(`is listed, and resumed by the INIT of another process, at ${kind}`, async () => {
      const tpmState = `${kind}${join(folder, 'tpm')}`
      const first = await begin('first', tpmState)
      expect(await first.control.ask(4, bytes(2, 0))).toBe('00000000')
      expect((await first.data.ask(10, getRandom)).slice(12)).toBe('00000100')
      expect((await first.data.ask(10, startupClear)).slice(12)).toBe('00000000')
      expect(states(tpmState)).toEqual(['permall'])
      expect(await first.control.ask(4, bytes(0xa))).toBe('00000000')
      expect(states(tpmState)).toEqual(['permall', 'volatilestate'])
      expect(await first.control.ask(4, bytes(3))).toBe('00000000')
      await first.control.untilEnd()
      const second = await begin('second', tpmState)
      // Started already; bit 0 of the flags forgets what was stored.
      expect(await second.control.ask(4, bytes(2, 1))).toBe('00000000')
      expect((await second.data.ask(20, getRandom)).slice(12, 20)).toBe('00000000')
      expect(states(tpmState)).toEqual(['permall'])
    })
  }
})
