/** How `palimpsest tpm …` reaches a TPM, what it says when there is none, and what it lets nobody see on the way. */
import { existsSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { EXIT, extended, type TpmTool, Workshop, ZEROS } from './support/tpm-tool.ts'

let workshop: Workshop

beforeAll(async () => {
  workshop = await Workshop.open()
})
afterEach(() => {
  vi.unstubAllEnvs()
})
afterAll(async () => {
  await workshop.close()
})

describe('the way to a TPM', () => {
  it('goes over UNIX sockets too', async () => {
    for (const protocol of ['swtpm', 'mssim'] as const) {
      const tcti = await workshop.served(protocol, '--unix', workshop.place(protocol))
      expect(tcti).toMatch(`${protocol}:path=`)
      const tpm = workshop.tpm('--tcti', tcti)
      expect(await tpm.json('startup')).toEqual({ started: true })
      expect(await tpm.json('startup')).toEqual({ started: false })
      expect((await tpm.json('pcr', 'read', 'sha256:0'))['values']).toHaveLength(1)
    }
  })

  it('says what to do when nothing listens, or the other protocol is spoken', async () => {
    const none = workshop.tpm('--tcti', `swtpm:path=${workshop.place('none')}`)
    const complaint = await none.fails(EXIT.unavailable, 'info')
    expect(complaint).toMatch(/no TPM answers at swtpm:path=.*start one with "palimpsest tpm serve"/)
    const [swtpm, mssim] = [await workshop.served('swtpm'), await workshop.served('mssim')]
    for (const tcti of [swtpm.replace('swtpm', 'mssim'), mssim.replace('mssim', 'swtpm')]) {
      const confused = await workshop.tpm('--tcti', tcti).fails(EXIT.unavailable, 'random', '4')
      expect(confused).toMatch(/speaks the other protocol/)
    }
    for (const tcti of ['tabrmd', 'swtpm:port=x', 'swtpm:path=/a,port=1', 'mssim:host=']) {
      expect(await workshop.tpm('--tcti', tcti).fails(EXIT.usage, 'info')).toMatch(/expected swtpm:host=/)
    }
  })

  it('is named by the environment where no option does', async () => {
    vi.stubEnv('TPM2TOOLS_TCTI', undefined)
    vi.stubEnv('TCTI', await workshop.served('swtpm'))
    expect(await workshop.tpm().json('startup')).toEqual({ started: true })
    vi.stubEnv('TPM2TOOLS_TCTI', await workshop.served('mssim'))
    expect(await workshop.tpm().json('startup')).toEqual({ started: true })
    vi.stubEnv('TPM2TOOLS_TCTI', 'device:/dev/tpm0')
    expect(await workshop.tpm().fails(EXIT.usage, 'info')).toMatch(/TPM2TOOLS_TCTI: expected .* or --tpm/)
  })

  it('says that a TPM waits for TPM2_Startup; shutdown puts it in order', async () => {
    const tpm = workshop.tpm('--tcti', await workshop.served('swtpm'))
    expect(await tpm.fails(EXIT.refused, 'pcr', 'read')).toMatch(/TPM_RC_INITIALIZE.*palimpsest tpm startup/)
    await tpm.says('startup')
    expect(await tpm.json('shutdown')).toEqual({ shutdown: true })
    expect(await workshop.tpm('--tpm', workshop.place('tpm')).fails(EXIT.usage, 'shutdown')).toMatch(
      /at the end of every command/,
    )
  })

  it('keeps PCRs of a TPM in a folder from command to command, until it is started anew', async () => {
    const tpm = workshop.tpm('--tpm', workshop.place('tpm'))
    await tpm.says('pcr', 'extend', '5', `sha256=${ZEROS}`)
    expect(await tpm.pcr(5)).toBe(extended(new Uint8Array(32)))
    await tpm.says('startup')
    expect(await tpm.pcr(5)).toBe(ZEROS)
  })

  it('lets one process at a time work with a folder, and takes over from one that has gone', async () => {
    const at = workshop.place('tpm')
    const server = await workshop.command.start('tpm', 'serve', '--port', '0', '--state', at, '--json')
    const tpm = workshop.tpm('--tpm', at)
    const complaint = await tpm.fails(EXIT.unavailable, 'info')
    expect(complaint).toContain(`process ${String(server.process.pid)} works with the TPM in ${at}`)
    const { code, stderr } = await workshop.command.run('tpm', 'serve', '--port', '0', '--state', at)
    expect([code, stderr]).toEqual([
      EXIT.unavailable,
      expect.stringContaining('works with the TPM') as string,
    ])
    server.process.kill('SIGKILL')
    await server.ended
    expect(existsSync(path.join(at, 'tpm-state.lock'))).toBe(true)
    const answers = await Promise.all(
      ['1', '2', '3'].map((pcr) => tpm.says('pcr', 'extend', pcr, `sha256=${ZEROS}`)),
    )
    expect(answers).toHaveLength(3)
    const { values } = await tpm.json('pcr', 'read', 'sha256:1,2,3')
    for (const one of values as object[]) expect(one).toMatchObject({ value: extended(new Uint8Array(32)) })
    expect(existsSync(path.join(at, 'tpm-state.lock'))).toBe(false)
  })

  it('says which folder holds no TPM', async () => {
    const at = workshop.place('tpm')
    const tpm = workshop.tpm('--tpm', at)
    await tpm.says('selftest')
    writeFileSync(path.join(at, 'tpm-state'), 'something else')
    expect(await tpm.fails(EXIT.failed, 'selftest')).toContain(at)
  })
})

describe('what goes over the socket', () => {
  const wire: Buffer[] = []
  let tap: Server
  let tpm: TpmTool
  const seen = (text: string): boolean => wire.some((bytes) => bytes.includes(text))

  beforeAll(async () => {
    const port = Number(/port=(\d+)$/.exec(await workshop.served('swtpm', '--port', '0', '--startup'))?.[1])
    tap = createServer((client) => {
      const server = connect({ port, host: '127.0.0.1' })
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        from.on('data', (bytes) => {
          wire.push(bytes)
          to.write(bytes)
        })
        from.on('close', () => to.destroy())
        from.on('error', () => to.destroy())
      }
    })
    const at = path.join(workshop.folder, 'tap')
    await new Promise<void>((resolve) => tap.listen(at, resolve))
    tpm = workshop.tpm('--tcti', `swtpm:path=${at}`)
  })
  afterAll(() => {
    tap.close()
  })

  it('is neither a sealed secret nor an authorization value', async () => {
    const out = workshop.place('sealed')
    await tpm.says(
      'seal',
      'str:the sealed secret',
      '--pcrs',
      'sha256:7',
      '--auth',
      'the password',
      '--out',
      out,
    )
    expect(await tpm.says('unseal', out, '--auth', 'the password')).toBe('the sealed secret')
    expect([seen('the sealed secret'), seen('the password')]).toEqual([false, false])
    expect(wire.length).toBeGreaterThan(20)
  })

  it('is the data of an NV index that is protected by an authorization value, encrypted; else in plain sight', async () => {
    await tpm.says('nv', 'define', '2', '--size', '14', '--auth', 'index password')
    await tpm.says('nv', 'write', '2', 'str:protected data', '--auth', 'index password')
    await tpm.says('nv', 'read', '2', '--auth', 'index password')
    await tpm.says('nv', 'define', '3', '--size', '9')
    await tpm.says('nv', 'write', '3', 'str:open data')
    expect([seen('protected data'), seen('index password'), seen('open data')]).toEqual([false, false, true])
  })
})
