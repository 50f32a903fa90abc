/** The small parts: names, logging, pacing, shutdown, and what is refused at set-up. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { enumValues, fieldName, methodName } from '../../../../sdk/rpc/codec/names.ts'
import {
  createLogger,
  createServer,
  implement,
  onShutdown,
  service,
  silentLogger,
} from '../../../../sdk/rpc/index.ts'
import { PacedSender } from '../../../../sdk/rpc/pacing.ts'
import { EchoService, registry } from '../../../vectors/rpc/contract/index.ts'

describe('names', () => {
  it('of fields and methods become lowerCamelCase', () => {
    expect(['vm', 'vm_id', 'sha256_digest', 'block_1', 'a_b_c'].map(fieldName)).toEqual([
      'vm',
      'vmId',
      'sha256Digest',
      'block1',
      'aBC',
    ])
    expect(methodName('CreateVm')).toBe('createVm')
  })

  it('of enum values lose their prefix when all have it', () => {
    const names = (name: string, values: Record<string, number>) =>
      enumValues(name, values).map((value) => value.name)
    expect(names('BlockKind', { BLOCK_KIND_UNSPECIFIED: 0, BLOCK_KIND_MEMORY_PAGE: 1 })).toEqual([
      'memory-page',
    ])
    expect(names('TPMState', { TPM_STATE_UNSPECIFIED: 0, TPM_STATE_ON: 1 })).toEqual(['on'])
    expect(names('Sha256Use', { SHA256_USE_A: 0 })).toEqual(['a'])
    expect(names('ServingStatus', { UNKNOWN: 0, SERVING: 1 })).toEqual(['unknown', 'serving'])
  })
})

describe('the logger', () => {
  it('writes lines with fields to a file and redacts secrets', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'log-'))
    onTestFinished(() => {
      rmSync(folder, { recursive: true })
    })
    const file = path.join(folder, 'sub', 'x.log')
    const log = createLogger({ name: 'worker', file }).child({ requestId: 'r-1' })
    log.info({ vm: 'vm-7', key: 'hunter2', options: { passphrase: 'hunter2' } }, 'registered')
    log.debug('not at this level')
    log.error({ err: new Error('outer', { cause: new Error('inner') }) }, 'failed')
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
    expect(lines).toHaveLength(2)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      name: 'worker',
      requestId: 'r-1',
      vm: 'vm-7',
      msg: 'registered',
    })
    expect(lines[0]).not.toContain('hunter2')
    expect(lines[1]).toContain('inner')
  })

  it('can be silent', () => {
    expect(silentLogger.child({ a: 1 })).toBe(silentLogger)
  })
})

describe('pacing', () => {
  it('waits while too many bytes are pending and goes on as they are taken', async () => {
    const taken: (() => void)[] = []
    const sender = new PacedSender((_bytes, done) => taken.push(done))
    expect(await sender.send(Buffer.alloc(1 << 20))).toBe(true)
    let sent = false
    const large = sender.send(Buffer.alloc(4 << 20)).then((result) => {
      sent = true
      return result
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(sent).toBe(false)
    taken[0]?.()
    expect(await large).toBe(true)
  })

  it('lets a waiting sender go when the call has ended', async () => {
    const sender = new PacedSender(() => undefined)
    const waiting = sender.send(Buffer.alloc(8 << 20))
    sender.stop()
    expect(await waiting).toBe(false)
    expect(await sender.send(Buffer.alloc(1))).toBe(false)
  })
})

describe('shutdown', () => {
  it('runs closers in order, once, and goes on after one that fails', async () => {
    const done: string[] = []
    const exits: number[] = []
    const shutdown = onShutdown(
      [
        { name: 'server', close: async () => void done.push(await Promise.resolve('server')) },
        { name: 'store', close: () => Promise.reject(new Error('disk')) },
        { name: 'log', close: () => void done.push('log') },
      ],
      { exit: (code) => exits.push(code) },
    )
    process.emit('SIGTERM', 'SIGTERM')
    await Promise.all([shutdown.now(0), shutdown.now(0)])
    expect(done).toEqual(['server', 'log'])
    expect(exits).toEqual([1])
    expect(process.listenerCount('SIGTERM')).toBe(0)
  })

  it('exits at once at the second signal and when it takes too long', async () => {
    const exits: number[] = []
    const stuck = { name: 'stuck', close: () => new Promise<void>(() => undefined) }
    const shutdown = onShutdown([stuck], { exit: (code) => exits.push(code), timeoutMs: 20 })
    process.emit('SIGINT', 'SIGINT')
    process.emit('SIGINT', 'SIGINT')
    expect(exits).toEqual([1])
    await expect.poll(() => exits).toEqual([1, 1])
    shutdown.cancel()
  })
})

describe('set-up', () => {
  it('refuses handlers of rpcs that do not exist', () => {
    const handlers = { ecko: () => ({ text: '' }) } as object
    expect(() => implement(EchoService, handlers)).toThrow(/expected an rpc of .*EchoService .*, found ecko/)
  })

  it('refuses a service twice', () => {
    const twice = [implement(EchoService, {}), implement(EchoService, {})]
    expect(() => createServer({ services: twice })).toThrow(/each service once/)
  })

  it('names a service that the contract does not have', () => {
    expect(() => service(registry, 'palimpsest.test.v1.NoService').schema).toThrow(/expected a service/)
    expect(() => registry.message('palimpsest.test.v1.NoMessage')).toThrow(/expected a message/)
  })

  it('lists the services of a contract', () => {
    expect(registry.services).toEqual([
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
      'palimpsest.test.v1.EchoService',
    ])
  })
})
