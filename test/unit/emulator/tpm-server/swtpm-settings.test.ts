// What a command line of "swtpm socket" becomes. What it is refused for is compared with swtpm in test/peers.

import { describe, expect, it } from 'vitest'
import { readSettings } from '../../../../emulator/tpm-server/swtpm-settings.ts'

const words = (line: string): string[] => line.split(' ')

describe('readSettings', () => {
  it('reads the command line that harnesses use', () => {
    const line =
      '--tpm2 --server port=2321 --ctrl type=tcp,port=2322 --flags not-need-init --tpmstate dir=/s,mode=0600,lock'
    expect(readSettings(words(line), {})).toMatchObject({
      action: 'serve',
      data: { kind: 'tcp', host: '127.0.0.1', port: 2321 },
      control: { kind: 'tcp', host: '127.0.0.1', port: 2322 },
      needInit: false,
      startup: 'none',
      state: { kind: 'folder', path: '/s', mode: 0o600 },
      daemon: false,
      terminate: false,
      rules: { rejectLocality4: false, allowSetLocality: false, disconnect: false },
    })
  })

  it('reads UNIX sockets with rights and owners', () => {
    const line = '--tpm2 --server type=unixio,path=/d,mode=0600 --ctrl type=unixio,path=/c,uid=root,gid=5 -dt'
    expect(readSettings(words(line), {})).toMatchObject({
      data: { kind: 'unix', path: '/d', mode: 0o600 },
      control: { kind: 'unix', path: '/c', mode: 0o770, uid: 0, gid: 5 },
      daemon: true,
      terminate: true,
      needInit: true,
    })
  })

  it('reads the locality rules, logging, pid file and addresses', () => {
    const line =
      '--tpm2 -p 77 --locality reject-locality-4,allow-set-locality --log file=-,level=5,prefix=x --pid file=/p'
    expect(readSettings(words(line), {})).toMatchObject({
      data: { kind: 'tcp', host: '127.0.0.1', port: 77 },
      rules: { rejectLocality4: true, allowSetLocality: true, disconnect: true },
      log: { file: null, level: 5, prefix: 'x' },
      pid: { file: '/p' },
    })
    expect(
      readSettings(words('--tpm2 --server type=tcp,port=1,bindaddr=fe80::1,ifname=lo,disconnect'), {}),
    ).toMatchObject({ data: { host: 'fe80::1%lo' }, rules: { disconnect: true } })
  })

  it('takes the port and the folder from the environment', () => {
    expect(readSettings(words('--tpm2 --server type=tcp'), { TPM_PORT: '99', TPM_PATH: '/e' })).toMatchObject(
      {
        data: { port: 99 },
        state: { kind: 'folder', path: '/e', mode: 0o600 },
      },
    )
  })

  it('knows which flags imply that no INIT is needed', () => {
    const settings = (flags: string): unknown => {
      const { needInit, startup } = readSettings(['--tpm2', '--flags', flags], {})
      return [needInit, startup]
    }
    expect(settings('startup-clear')).toEqual([false, 'clear'])
    expect(settings('startup-state,not-need-init')).toEqual([false, 'state'])
    expect(settings('startup-none')).toEqual([true, 'none'])
    expect(settings('not-need-init,startup-none')).toEqual([false, 'none'])
  })

  it('reads where state is kept as a URI, and refuses a backend it does not know', () => {
    const state = (uri: string): unknown =>
      readSettings(['--tpm2', '--tpmstate', `backend-uri=${uri}`], {}).state
    expect(state('dir:///var/x')).toEqual({ kind: 'folder', path: '/var/x', mode: 0o600 })
    expect(state('dir://x')).toEqual({ kind: 'folder', path: 'x', mode: 0o600 })
    expect(state('file:///x')).toEqual({ kind: 'file', path: '/x', mode: 0o600 })
    expect(() => state('iscsi://x')).toThrow('Unsupported backend')
  })

  it('tells what has no effect and refuses what would be missed', () => {
    const settings = (line: string): ReturnType<typeof readSettings> => readSettings(words(line), {})
    expect(settings('--tpm2 --seccomp action=kill').notes).toEqual([expect.stringContaining('no effect')])
    expect(settings('--tpm2 --seccomp action=none').notes).toEqual([])
    expect(() => settings('--tpm2 --key file=/k')).toThrow('--key is not supported')
    expect(() => settings('--tpm2 --migration-key file=/k')).toThrow('--migration-key is not supported')
    expect(() => settings('--tpm2 --runas nobody')).toThrow('--runas is not supported')
    expect(() => settings('--server port=1')).toThrow('without --tpm2 it is 1.2')
  })

  it('is not led astray by names that every object has', () => {
    expect(() => readSettings(['--tpm2', '--flags', 'constructor'], {})).toThrow(
      "Unknown option 'constructor'",
    )
  })
})
