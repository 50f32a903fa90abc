/** Every `palimpsest` command against a running `palimpsest up`: output for people and for programs, and exit codes. */
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Command } from 'commander'
import { program } from '../../emulator/cli/program.ts'
import { readIdentity } from '../../emulator/testbed/index.ts'
import { policyFile } from '../../sdk/attest/index.ts'
import { Secret } from '../../sdk/crypto/index.ts'
import {
  defineDestinationPlugin,
  defineSourcePlugin,
  EncryptedDisk,
  Guest,
  keysByKind,
  memoryKeys,
  serve,
  type ServedPlugin,
  volumeKey,
} from '../../sdk/plugin/index.ts'
import { silentLogger } from '../../sdk/rpc/index.ts'
import { COMPLETE, firmwareImage } from '../unit/sdk/evidence/snp-images.ts'
import { PalimpsestCommand, type Ended, type Started } from './support/command.ts'

/** As `palimpsest --help` lists them. */
const EXIT = { ok: 0, failed: 1, usage: 2, unavailable: 3, refused: 4 }

const folder = mkdtempSync(path.join(tmpdir(), 'palimpsest-cli-'))
const home = path.join(folder, 'emulator')
const plugins: ServedPlugin[] = []
let command: PalimpsestCommand
let up: Started

/** Runs a command on the emulator of this test. */
const on = (...args: readonly string[]): Promise<Ended> => command.run(...args, '--directory', home)

/** Runs a command that has to succeed; its output for people. */
async function says(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await on(...args)
  expect({ args, code, stderr }).toEqual({ args, code: EXIT.ok, stderr: '' })
  return stdout
}

/** Runs a command that has to succeed, with --json; its one document. */
async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const stdout = await says(...args, '--json')
  expect(stdout.trim().split('\n')).toHaveLength(1)
  return JSON.parse(stdout) as Record<string, unknown>
}

/** Runs a command that must not succeed: exit code and complaint. */
async function fails(...args: readonly string[]): Promise<[number | null, string]> {
  const { code, stdout, stderr } = await on(...args)
  expect(stdout).toBe('')
  return [code, stderr]
}

/** Runs a command that needs no emulator, with --json; its document. */
async function printed(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await command.run(...args, '--json')
  expect({ args, code, stderr }).toEqual({ args, code: EXIT.ok, stderr: '' })
  return JSON.parse(stdout) as Record<string, unknown>
}

/** A file of the test. */
function inFolder(name: string, bytes: Uint8Array): string {
  writeFileSync(path.join(folder, name), bytes)
  return path.join(folder, name)
}

async function startUp(): Promise<void> {
  up = await command.start('up', '--directory', home, '--memory', '64MiB', '--json')
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Stops `up` with a signal: it must end in order and leave neither a process nor a socket. */
async function stop(signal: 'SIGINT' | 'SIGTERM'): Promise<void> {
  const { pids } = JSON.parse(up.firstLine) as { pids: { platform: number; hypervisor: number } }
  const worker = Number((await json('worker', 'show'))['pid'])
  up.process.kill(signal)
  expect(await up.ended).toEqual({ code: EXIT.ok, stdout: `${up.firstLine}\n`, stderr: '' })
  expect([pids.platform, pids.hypervisor, worker].filter(isAlive)).toEqual([])
  expect(readdirSync(path.join(home, 'run')).filter((name) => name.endsWith('.sock'))).toEqual([])
  expect(existsSync(path.join(home, 'connection.json'))).toBe(false)
}

beforeAll(async () => {
  command = await PalimpsestCommand.bundle()
  await startUp()
})
afterAll(async () => {
  for (const plugin of plugins) await plugin.close()
  up.process.kill('SIGKILL')
  command.remove()
  rmSync(folder, { recursive: true, force: true })
})

/** Every command with its help, the ones inside others too. */
function commandsOf(parent: Command, before = ''): { words: string; help: string }[] {
  return parent.commands.flatMap((inner) => {
    const words = `${before}${inner.name()}`
    return [{ words, help: inner.helpInformation() }, ...commandsOf(inner, `${words} `)]
  })
}

/** Runs commands, a few at a time. */
async function several<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const answers: R[] = []
  for (let at = 0; at < items.length; at += 4)
    answers.push(...(await Promise.all(items.slice(at, at + 4).map(run))))
  return answers
}

describe('palimpsest', () => {
  it('teaches with --help, and says its version', async () => {
    const { code, stdout } = await command.run('--help')
    expect(code).toBe(EXIT.ok)
    for (const text of ['Start here:', 'palimpsest up', 'Exit codes: 0 done', '3 something needed'])
      expect(stdout).toContain(text)
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    expect(await command.run('--version')).toMatchObject({ code: EXIT.ok, stdout: `${version}\n` })
  })

  it('has help for every command, and follows its own examples', async () => {
    const all = commandsOf(program())
    expect(all.length).toBeGreaterThan(35)
    for (const { words, help } of all) {
      expect(help).toContain(`Usage: palimpsest ${words}`)
      // Default values of options are shown as somebody would write them.
      expect([words, help]).not.toEqual([words, expect.stringMatching(/default: [{[]|default: \d{5}/)])
    }
    const { stdout } = await command.run('--help')
    const examples = [...stdout.matchAll(/^ {2}palimpsest ([a-z]+(?: [a-z]+)?) ([^\n]*)$/gm)]
    expect(examples.length).toBeGreaterThan(5)
    for (const [, words = '', rest = ''] of examples) {
      const found =
        all.find((one) => one.words === words) ?? all.find((one) => one.words === words.split(' ')[0])
      expect([words, found]).not.toEqual([words, undefined])
      for (const [option] of rest.matchAll(/--[a-z-]+/g)) expect(found?.help).toContain(option)
    }
  })

  it('says with exit code 2 what is wrong with a command line or a file', async () => {
    const wrong: [string[], RegExp][] = [
      [['frobnicate'], /unknown command/],
      [['vm', 'frobnicate'], /unknown command/],
      [['vm', 'create'], /missing required argument/],
      [['vm', 'create', 'x', '--memory', '5'], /expected a size like 4096/],
      [['vm', 'list', '--bogus'], /unknown option/],
      [['clone', 'create', 'c'], /required option '--source/],
      [['clone', 'create', 'c', '--source', 'a', '--destination', 'b'], /give --pages/],
      [['pcr', '--pcrs', 'md5:0'], /expected a bank and PCRs/],
      [['quote', '--nonce', 'xyz'], /hexadecimal/],
      [['identity', 'create', '../operator'], /expected 1 to 64 letters/],
      [['identity', 'create', 'operator', '--role', 'vm'], /exists as operator/],
      [['identity', 'create', 'x', '--role', 'king'], /Allowed choices/],
      [['up', '--log-level', 'loud'], /Allowed choices/],
      [['identity', 'show', 'nobody'], /no identity "nobody"/],
      [['identity', 'rotate', 'nobody'], /palimpsest identity create nobody/],

      [['policy', 'learn', '--peer', 'nobody'], /no identity "nobody"/],
      [['worker', 'start', '--image', '/nothing'], /expected a readable single-file image/],
    ]
    const answers = await several(wrong, ([args]) => fails(...args))
    for (const [at, [code, stderr]] of answers.entries()) {
      const [args, complaint] = wrong[at] ?? [[], /^$/]
      expect([args, code, stderr]).toEqual([args, EXIT.usage, expect.stringMatching(complaint)])
    }
    const unreadable = await command.run('policy', 'explain', '/nothing')
    expect(unreadable).toEqual({
      code: EXIT.usage,
      stdout: '',
      stderr: expect.stringMatching(/no such file/) as string,
    })
  })

  it('says with exit code 3 that no emulator runs, or does not answer', async () => {
    const none = await command.run('vm', 'list', '--directory', path.join(folder, 'none'))
    expect(none).toMatchObject({ code: EXIT.unavailable, stdout: '' })
    expect(none.stderr).toMatch(/start one with "palimpsest up --directory/)
    const dead = await on('vm', 'list', '--hypervisor', `unix:${folder}/dead.sock`)
    expect(dead).toMatchObject({ code: EXIT.unavailable, stdout: '' })
  })
})

describe('up', () => {
  it('prints one JSON line when it is ready', () => {
    expect(JSON.parse(up.firstLine)).toEqual({
      ready: true,
      hypervisor: `unix:${home}/run/hypervisor.sock`,
      guestPort: `unix:${home}/run/guest.sock`,
      operatorIdentity: `${home}/identities/operator`,
      authority: `${home}/identities`,
      trustAnchor: `${home}/state/manufacturer/root.pem`,
      measurement: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      pids: { platform: up.process.pid, hypervisor: expect.any(Number) as number },
    })
  })

  it.each(['up', 'emulator', 'platform'])(
    'does not start a second time in the same folder: %s',
    async (name) => {
      const [code, stderr] = await fails(name)
      expect([code, stderr]).toEqual([EXIT.refused, expect.stringContaining('runs in') as string])
      expect((await json('doctor'))['ok']).toBe(true)
    },
  )
})

describe('doctor', () => {
  it('finds the emulator', async () => {
    expect(await says('doctor')).toMatch(/ok {2}emulator +runs at unix:.* with \d+ VMs/)
    expect(await json('doctor')).toMatchObject({ ok: true })
  })

  it('says with exit code 1 that an emulator does not answer', async () => {
    const dead = path.join(folder, 'dead')
    mkdirSync(dead)
    const connection = { ...(JSON.parse(up.firstLine) as object), hypervisor: `unix:${dead}/x.sock` }
    writeFileSync(path.join(dead, 'connection.json'), JSON.stringify(connection))
    const { code, stdout } = await command.run('doctor', '--directory', dead)
    expect([code, stdout]).toEqual([EXIT.failed, expect.stringContaining('does not answer') as string])
  })
})

describe('identity', () => {
  it('creates, shows and rotates; the key stays', async () => {
    const made = await json('identity', 'create', 'somebody')
    expect(made).toMatchObject({
      name: 'somebody',
      role: 'vm',
      digest: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    })
    expect(await json('identity', 'create', 'somebody')).toEqual(made)
    expect(await json('identity', 'show', 'somebody')).toEqual(made)
    const certificate = () =>
      readFileSync(path.join(home, 'identities', 'somebody', 'certificate.pem'), 'utf8')
    const before = certificate()
    expect(await json('identity', 'rotate', 'somebody')).toEqual(made)
    expect(certificate()).not.toBe(before)
    expect(await says('identity', 'show', 'somebody')).toContain(`digest  ${String(made['digest'])}`)
  })
})

describe('measurements', () => {
  const measured = () => (JSON.parse(up.firstLine) as { measurement: string }).measurement

  it('pcr reads PCRs as the event log replays to them', async () => {
    const { values } = (await json('pcr')) as { values: { pcr: number; value: string }[] }
    expect(values.map(({ pcr }) => pcr)).toEqual([0, 4, 7])
    const { pcrs, events } = (await json('eventlog')) as {
      pcrs: { pcr: number; value: string }[]
      events: { pcr: number; digest: string }[]
    }
    expect(pcrs).toEqual(expect.arrayContaining(values))
    expect(events).toContainEqual(expect.objectContaining({ pcr: 0, digest: measured() }))
    expect(await says('pcr', '--pcrs', 'sha384:0')).toMatch(/^PCR {2}0 {2}[0-9a-f]{96}\n$/)
    expect(await says('eventlog')).toContain(measured())
  })

  it('quote writes what it has verified', async () => {
    const out = path.join(folder, 'quote')
    expect(await says('quote', '--nonce', 'ab'.repeat(32), '--out', out)).toMatch(
      /signature is by the attestation key/,
    )
    expect(readdirSync(out).sort()).toEqual(['ak.public', 'quote.attest', 'quote.signature'])
    const { attest } = await json('quote', '--nonce', 'ab'.repeat(32))
    expect(String(attest)).toContain('ab'.repeat(32))
    const [code] = await fails('quote', '--nonce', 'ab'.repeat(35))
    expect(code).toBe(EXIT.usage)
  })
})

describe('launch digests', () => {
  it('worker measure prints what a policy can name the running worker by', async () => {
    const measured = await printed('worker', 'measure')
    expect(measured).toMatchObject({ measurement: (await json('worker', 'show'))['measurement'] })
    const { stdout } = await command.run('worker', 'measure')
    expect(stdout).toBe(
      `measurement    ${String(measured['measurement'])}\nlaunch digest  ${String(measured['launchDigest'])}\n`,
    )
  })

  it('snp-digest prints that of a guest with a firmware file, and of what it boots directly', async () => {
    const firmware = inFolder('complete.fd', firmwareImage(COMPLETE))
    const kernel = inFolder('kernel', Buffer.from('a kernel'))
    const initrd = inFolder('initrd', Buffer.from('an initial RAM disk'))
    const { sections, ...plain } = await printed('snp-digest', firmware)
    expect(sections).toHaveLength(6)
    expect(plain).toEqual({
      launchDigest:
        '62e4c482edcc286247b21795ffd200c359a053d8da4d46f5aa16d79b7009acdb938b48b417da6417d794cb587d2ff16f',
      firmwareDigest:
        '59352bb722e8736c93255333e545b23d409b34147f5461fc45f018521104edec1483ef7c4d59024b459c245d6470f195',
      sha256: createHash('sha256').update(readFileSync(firmware)).digest('hex'),
      vcpus: 1,
      cpuSignature: 0x800f12,
      guestFeatures: '1',
      bootsAsSnp: true,
    })
    const direct = ['--kernel', kernel, '--initrd', initrd, '--append', 'ro quiet']
    expect(
      await printed('snp-digest', firmware, '--vcpus', '2', '--cpu', 'EPYC-Genoa', ...direct),
    ).toMatchObject({
      launchDigest:
        '082134691d6873503d5911cf965568b3c0ae3180eaf1dfb9a35e9dc463ac1fc211ddf1a288809c42edf629622bddc52f',
    })
    const bySignature = ['--vcpus', '3', '--cpu', '0xa00f11', '--guest-features', '0x21']
    const { code, stdout } = await command.run('snp-digest', firmware, ...bySignature)
    expect(code).toBe(EXIT.ok)
    expect(stdout).toContain(
      'launch digest   40ebf783856ea0b9b8cdc3dcc2c25902c848ed9f25f8e24f106119bf2516658aadc3676893bb8ccc9a7e10fb65ed22b9\n',
    )
    expect(stdout).toMatch(/KERNEL_HASHES +0x810000 +0x1000\n/)
  })

  it('snp-digest refuses firmware that is none for SEV-SNP, and computes it when asked to', async () => {
    const bare = inFolder('bare.fd', new Uint8Array(4096).fill(1))
    const refused = await command.run('snp-digest', bare)
    expect(refused).toMatchObject({ code: EXIT.usage, stdout: '' })
    expect(refused.stderr).toMatch(
      /bare\.fd: expected firmware with SEV metadata, found none.*--without-metadata/,
    )
    const { code, stdout } = await command.run('snp-digest', bare, '--without-metadata')
    expect(code).toBe(EXIT.ok)
    expect(stdout).toMatch(/^launch digest {3}[0-9a-f]{96}\n.*would not boot as an SEV-SNP guest\.\n$/s)
    expect(await printed('snp-digest', bare, '--without-metadata')).toMatchObject({
      bootsAsSnp: false,
      sections: [],
    })
  })

  it('snp-digest says with exit code 2 what does not fit', async () => {
    const firmware = inFolder('complete.fd', firmwareImage(COMPLETE))
    const odd = inFolder('odd.fd', new Uint8Array(5000))
    const wrong: [reason: RegExp, ...args: string[]][] = [
      [/argument 'Skylake' is invalid.*EPYC-Milan/, firmware, '--cpu', 'Skylake'],
      [/"vcpus" expected 1 to 4096, got 0/, firmware, '--vcpus', '0'],
      [/name the kernel/, firmware, '--append', 'ro'],
      [/no such file/, firmware, '--kernel', '/nothing'],
      [/odd\.fd: expected 1 to 16384 whole pages/, odd],
    ]
    for (const [reason, ...args] of wrong) {
      const { code, stdout, stderr } = await command.run('snp-digest', ...args)
      expect([code, stdout]).toEqual([EXIT.usage, ''])
      expect(stderr).toMatch(reason)
    }
  })
})

describe('vms, volumes, policies and clones', () => {
  const keys = { source: owner(), destination: owner() }
  const policies = {
    source: path.join(folder, 'source.json'),
    destination: path.join(folder, 'destination.json'),
  }

  function owner() {
    return { root: Secret.random(32), volume: Secret.random(64) }
  }

  function access(vm: 'source' | 'destination') {
    const { tls, key: identity } = readIdentity(path.join(home, 'identities', vm))
    const credentials = { identity, tls }
    const addresses = JSON.parse(up.firstLine) as {
      guestPort: string
      trustAnchor: string
      hypervisor: string
    }
    const trustAnchors = [readFileSync(addresses.trustAnchor, 'utf8')]
    return { credentials, trustAnchors, ...addresses }
  }

  async function servePlugin(vm: 'source' | 'destination'): Promise<void> {
    const define = vm === 'source' ? defineSourcePlugin : defineDestinationPlugin
    const { root, volume } = keys[vm]
    const plugin = define({
      name: vm,
      version: '1.0.0',
      policy: policyFile(policies[vm]),
      keys: keysByKind({ memory: memoryKeys({ root, mode: 'location' }), disk: volumeKey(volume) }),
    })
    const { credentials, hypervisor } = access(vm)
    plugins.push(await serve(plugin, { vm, hypervisor, credentials, log: silentLogger }))
  }

  it('vm creates, lists and shows', async () => {
    const made = await json('vm', 'create', 'source', '--memory', '64KiB')
    const { digest } = await json('identity', 'show', 'source')
    expect(made).toEqual({ vm: 'source', owner: digest, identity: path.join(home, 'identities', 'source') })
    expect(await says('vm', 'create', 'destination', '--memory', '64KiB', '--unmapped')).toMatch(
      /created destination/,
    )
    const { vms } = (await json('vm', 'list')) as { vms: { vm: string; memoryBytes: string }[] }
    expect(vms).toMatchObject([{ vm: 'destination', memoryBytes: '65536' }, { vm: 'source' }])
    // Nobody has touched its memory yet.
    expect(await says('vm', 'show', 'source')).toMatch(/^0 pages mapped, 0 of them read-only/m)
    expect(await says('vm', 'show', 'destination')).toMatch(/0 pages mapped/)
    expect(await fails('vm', 'show', 'nobody')).toEqual([
      EXIT.refused,
      expect.stringMatching(/UNKNOWN_VM.*\n +Create/) as string,
    ])
    expect((await fails('vm', 'create', 'source'))[0]).toBe(EXIT.refused)
  })

  it('volume creates and lists', async () => {
    expect(await json('volume', 'create', 'disk', '--vm', 'source', '--size', '64KiB')).toEqual({
      volume: 'disk',
      size: 65536,
    })
    expect(await says('volume', 'list')).toMatch(/disk +source +64.0 KiB/)
    expect((await fails('volume', 'create', 'disk', '--vm', 'source', '--size', '64KiB'))[0]).toBe(
      EXIT.refused,
    )
  })

  it('policy learns from the emulator, and explains', async () => {
    for (const [vm, peer] of [
      ['source', 'destination'],
      ['destination', 'source'],
    ] as const) {
      const { code, stdout, stderr } = await on('policy', 'learn', '--peer', peer)
      expect([code, stderr]).toEqual([
        EXIT.ok,
        expect.stringContaining('trusts the machine that it was learnt from') as string,
      ])
      writeFileSync(policies[vm], stdout)
    }
    const { digest } = await json('identity', 'show', 'destination')
    const explained = await command.run('policy', 'explain', policies.source)
    expect(explained).toMatchObject({
      code: EXIT.ok,
      stdout: expect.stringContaining(String(digest)) as string,
    })
    writeFileSync(path.join(folder, 'broken.json'), '{"version": 2}')
    const broken = await command.run('policy', 'explain', path.join(folder, 'broken.json'))
    expect([broken.code, broken.stderr]).toEqual([EXIT.usage, expect.stringContaining('version') as string])
  })

  it('clone says with exit code 3 that a plugin is not there', async () => {
    const args = [
      'clone',
      'create',
      'memory',
      '--source',
      'source',
      '--destination',
      'destination',
      '--pages',
      '16',
    ]
    expect(await fails(...args)).toEqual([
      EXIT.unavailable,
      expect.stringContaining('PLUGIN_UNAVAILABLE') as string,
    ])
  })

  it('clone makes, lists and finishes clones of memory and of a volume', async () => {
    for (const vm of ['source', 'destination'] as const) {
      const { credentials, guestPort, trustAnchors } = access(vm)
      const guest = new Guest({ address: guestPort, credentials, trustAnchors })
      await guest.installKeys({ root: keys[vm].root, mode: 'location' })
      if (vm === 'source') await guest.store(0n, new Uint8Array(65536).fill(7))
      guest.close()
      await servePlugin(vm)
    }
    const { credentials, hypervisor } = access('source')
    const disk = new EncryptedDisk({ hypervisor, credentials, volume: 'disk', key: keys.source.volume })
    await disk.write(0n, new Uint8Array(65536).fill(9))
    disk.close()
    const ends = ['--source', 'source', '--destination', 'destination']
    expect(await json('clone', 'create', 'memory', ...ends, '--pages', '16')).toMatchObject({
      state: 'live',
      blocks: '16',
    })
    expect(await says('clone', 'create', 'copy', ...ends, '--volume', 'disk')).toMatch(
      /copy is live: 16 blocks, registration copy-1/,
    )
    expect(await says('clone', 'list')).toMatch(/memory +memory-page +source +destination +live +0\/16/)
    expect((await fails('clone', 'create', 'memory', ...ends, '--pages', '16'))[0]).toBe(EXIT.refused)
    expect((await fails('vm', 'delete', 'source'))[0]).toBe(EXIT.refused)
    expect(await json('clone', 'finish', 'copy')).toMatchObject({ clone: 'copy', copied: '16' })
    expect((await json('clone', 'list'))['clones']).toMatchObject([
      { clone: 'copy', state: 'finished' },
      { clone: 'memory', state: 'live' },
    ])
    expect((await fails('clone', 'finish', 'nothing'))[0]).toBe(EXIT.refused)
  })

  it('registration lists, renews and revokes', async () => {
    const { registrations } = (await json('registration', 'list')) as {
      registrations: { registration: string; state: string }[]
    }
    expect(registrations).toContainEqual(
      expect.objectContaining({
        registration: 'memory-1',
        state: 'live',
        keys: expect.any(Number) as number,
      }),
    )
    expect(await json('registration', 'renew', 'memory')).toEqual({
      clone: 'memory',
      registration: 'memory-2',
    })
    expect(await says('registration', 'list')).toMatch(/memory-2 +live +source +destination +0 +\d+ +BLOCK/)
    expect((await fails('registration', 'show', 'nothing'))[0]).toBe(EXIT.refused)
    expect(await says('registration', 'revoke', 'memory')).toMatch(/memory has no registration/)
    expect(await says('clone', 'list')).toMatch(/memory .* stalled/)
    expect(await says('registration', 'renew', 'memory')).toMatch(/registered as memory-3/)
    expect(await says('clone', 'finish', 'memory')).toMatch(/memory: 16 blocks done/)
    expect((await fails('registration', 'renew', 'nothing'))[0]).toBe(EXIT.refused)
  })

  it('clone, volume and vm delete', async () => {
    expect(await json('clone', 'delete', 'copy')).toEqual({ deleted: 'copy' })
    expect(await says('volume', 'delete', 'copy')).toBe('deleted copy\n')
    expect(await says('vm', 'delete', 'destination')).toBe('deleted destination\n')
    expect((await fails('vm', 'delete', 'destination'))[0]).toBe(EXIT.refused)
  })
})

describe('worker and audit', () => {
  it('show and verify agree on the head', async () => {
    const { auditHead, auditSequence } = await json('worker', 'show')
    expect(await says('worker', 'show')).toContain(`head ${String(auditHead)}`)
    expect(await json('audit', 'verify')).toMatchObject({ ok: true, entries: auditSequence, head: auditHead })
    expect(await says('audit', 'verify', '--head', String(auditHead))).toMatch(/unbroken/)
    expect(await says('audit', 'show')).toMatch(/ granted .*scope=BLOCK/)
  })

  it('audit verify finds a log that was cut, and one that never was, with exit code 1', async () => {
    const other = await on('audit', 'verify', '--head', '00'.repeat(31) + '01')
    expect([other.code, other.stdout]).toEqual([
      EXIT.failed,
      expect.stringContaining('broken at entry') as string,
    ])
  })

  it('worker start replaces the worker, under a new name and a log of its own', async () => {
    const { measurement } = await json('worker', 'show')
    const { worker, ...started } = await json('worker', 'start')
    expect(started).toMatchObject({ measurement })
    expect(worker).not.toBe('worker-1')
    expect(await json('worker', 'show')).toMatchObject({ vm: worker, auditSequence: '0' })
    expect((await json('audit', 'verify', '--worker', 'worker-1'))['ok']).toBe(true)
  })
})

describe('SIGINT and SIGTERM', () => {
  let head: string

  it('end up, with its processes and sockets', async () => {
    head = String((await json('audit', 'verify', '--worker', 'worker-1'))['head'])
    for (const plugin of plugins.splice(0)) await plugin.close()
    await stop('SIGINT')
    expect((await on('vm', 'list')).code).toBe(EXIT.unavailable)
  })

  it('and a start after it has the volumes and audit logs of before; a log that was cut meanwhile is found', async () => {
    await startUp()
    expect(await says('volume', 'list')).toMatch(/disk +source/)
    expect(await says('audit', 'verify', '--worker', 'worker-1', '--head', head)).toMatch(/unbroken/)
    await stop('SIGTERM')
    const log = path.join(home, 'run', 'audit', 'worker-1.audit')
    truncateSync(log, readFileSync(log).length - 1)
    await startUp()
    const cut = await on('audit', 'verify', '--worker', 'worker-1', '--head', head, '--json')
    expect([cut.code, JSON.parse(cut.stdout)]).toEqual([
      EXIT.failed,
      expect.objectContaining({ ok: false }) as object,
    ])
    expect((await json('audit', 'verify', '--worker', 'worker-1'))['ok']).toBe(true)
  })
})
