// What is remembered over a restart of the platform, and what is left when a program that started an emulator is killed.

import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished, describe, expect, it } from 'vitest'
import { nodeArguments, startTestbed, type Testbed } from '../../emulator/testbed/index.ts'
import { parsePolicy, type Policy } from '../../sdk/attest/index.ts'
import { memoryKeys, serve, defineSourcePlugin } from '../../sdk/plugin/index.ts'
import { Secret } from '../../sdk/crypto/index.ts'
import { silentLogger } from '../../sdk/rpc/index.ts'
import { codeOf, until } from './support/stage.ts'

const MEMORY = 16 << 10

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'palimpsest-restart-'))
  onTestFinished(() => {
    rmSync(directory, { recursive: true, force: true })
  })
  return directory
}

describe('a platform that was reset under a plugin that stays', () => {
  /** Two boots of one host; the source's plugin is served through both, and clones are tried in each. */
  async function twoBoots(limit: Pick<Policy, 'maximumResets'>): Promise<string[]> {
    const directory = scratch()
    const codes: string[] = []
    const root = Secret.random(32)
    let served: { close(): Promise<void> } | undefined
    for (const boot of [1, 2]) {
      const bed = await startTestbed({ directory })
      try {
        codes.push(await boots(bed, boot))
      } finally {
        if (boot === 2) await served?.close()
        await bed.close()
      }
    }
    return codes

    async function boots(bed: Testbed, boot: number): Promise<string> {
      const source = await bed.vm('source', { memoryBytes: MEMORY, root })
      const destination = await bed.vm('destination', { memoryBytes: MEMORY, unmapped: true })
      await destination.serveDestination({ peers: [source.identity] })
      served ??= await serve(
        defineSourcePlugin({
          name: 'stays',
          version: '1.0.0',
          policy: parsePolicy({ ...(await bed.policy([destination.identity])), ...limit }),
          keys: memoryKeys({ root, mode: 'location' }),
        }),
        {
          vm: 'source',
          hypervisor: bed.addresses.hypervisor,
          credentials: { identity: source.identity.key, tls: source.identity.tls },
          log: silentLogger,
        },
      )
      await until('the plugin is attached', async () => {
        const { vms } = await bed.hypervisor.listVms({})
        return vms.find(({ vm, plugins }) => vm === 'source' && plugins.includes('source'))
      })
      return codeOf(bed.cloneMemory(`boot-${String(boot)}`, source, destination))
    }
  }

  it('[P-09] is refused when the policy allows no resets', async () => {
    expect(await twoBoots({ maximumResets: 0 })).toEqual(['ok', 'REFUSED_RESET'])
  })

  it('[P-09 control] is accepted when the policy allows one', async () => {
    expect(await twoBoots({ maximumResets: 1 })).toEqual(['ok', 'ok'])
  })
})

describe('a program that is killed', () => {
  it('takes the emulator that it started with it', async () => {
    const directory = scratch()
    const program = `
      import { spawn } from 'node:child_process'
      const child = spawn(process.execPath, ${JSON.stringify([...nodeArguments(['cli', 'main']), 'emulator', '--json', '--until-input-ends', '--directory', directory])}, { stdio: ['pipe', 'pipe', 'inherit'] })
      child.stdout.once('data', (line) => console.log(String(line)))
    `
    const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const line = await new Promise<string>((resolve) => {
      parent.stdout.setEncoding('utf8').once('data', resolve)
    })
    const { pids } = JSON.parse(line) as { pids: { platform: number; hypervisor: number } }
    const alive = (pid: number) => existsSync(`/proc/${String(pid)}`)
    expect([pids.platform, pids.hypervisor].map(alive)).toEqual([true, true])
    parent.kill('SIGKILL')
    await until('both processes ended', () =>
      Promise.resolve(alive(pids.platform) || alive(pids.hypervisor) ? undefined : true),
    )
    expect(existsSync(join(directory, 'run', 'hypervisor.sock'))).toBe(false)
  })
})
