/** What the host writes down: audit logs, hypercalls, receipts, transcripts; and how it reads its configuration. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { AuditStore } from '../../../../emulator/hypervisor/audit-store.ts'
import { readConfiguration } from '../../../../emulator/hypervisor/configuration.ts'
import { HypercallLog, ReceiptLog } from '../../../../emulator/hypervisor/logs.ts'
import { Transcript } from '../../../../emulator/hypervisor/transcript.ts'

const folder = mkdtempSync(join(tmpdir(), 'palimpsest-records-'))
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

describe('an audit log', () => {
  it('gives back what was appended, also after a restart', () => {
    const store = new AuditStore(join(folder, 'a'))
    store.append('worker-1', [Uint8Array.of(1), Uint8Array.of(2, 2)])
    store.append('worker-1', [Uint8Array.of(3)])
    store.append('worker-2', [Uint8Array.of(9)])
    expect(store.read('worker-1', 1n)).toEqual({ entries: [Uint8Array.of(2, 2), Uint8Array.of(3)], next: 3n })
    store.close()
    const again = new AuditStore(join(folder, 'a'))
    again.append('worker-1', [Uint8Array.of(4)])
    expect(again.read('worker-1', 0n).entries.map((entry) => entry[0])).toEqual([1, 2, 3, 4])
    expect(again.read('worker-1', 4n)).toEqual({ entries: [], next: 4n })
    expect(again.read('worker-7', 0n)).toEqual({ entries: [], next: 0n })
    again.close()
  })

  it('passes over an entry that a crash cut short', () => {
    const store = new AuditStore(join(folder, 'b'))
    store.append('worker-1', [Uint8Array.of(1)])
    store.close()
    appendFileSync(join(folder, 'b', 'worker-1.audit'), Uint8Array.of(0, 0, 0, 9, 1, 2))
    const again = new AuditStore(join(folder, 'b'))
    again.append('worker-1', [Uint8Array.of(5)])
    expect(again.read('worker-1', 0n).entries).toEqual([Uint8Array.of(1), Uint8Array.of(5)])
    again.close()
  })

  it('refuses an entry that is too long', () => {
    const store = new AuditStore(join(folder, 'c'))
    const append = (): void => {
      store.append('worker-1', [new Uint8Array((1 << 20) + 1)])
    }
    expect(append).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    expect(store.read('worker-1', 0n).entries).toEqual([])
  })
})

describe('the newest records', () => {
  it('[C-23] hypercalls name guest physical addresses and are numbered without gaps', () => {
    const log = new HypercallLog()
    log.note('vm-a', 'share', 'vm-a', [
      { index: 2n, pages: 3n },
      { index: 9n, pages: 1n },
    ])
    expect(log.since(2n)).toEqual([
      { sequence: 2n, caller: 'vm-a', call: 'share', vm: 'vm-a', gpa: 9n * 4096n, pages: 1n },
    ])
    for (let i = 0; i < 25_000; i++) log.note('worker-1', 'copied', 'vm-b', [{ index: 0n, pages: 1n }])
    const kept = log.since(0n)
    expect(kept).toHaveLength(10_000)
    expect(kept.at(-1)?.sequence).toBe(25_002n)
  })

  it('receipts are listed by clone', () => {
    const log = new ReceiptLog()
    log.note('a', Uint8Array.of(1))
    log.note('b', Uint8Array.of(2))
    expect(log.list('b')).toEqual([{ clone: 'b', receipt: Uint8Array.of(2) }])
    expect(log.list('')).toHaveLength(2)
  })
})

describe('a transcript', () => {
  it('[X-07] records what comes in, raw and decoded, and nothing that goes out', () => {
    const file = join(folder, 'transcript.jsonl')
    const transcript = new Transcript(file)
    const tap = transcript.tap('worker')
    const bytes = Uint8Array.of(1, 2)
    tap({ direction: 'out', method: '/a/B', bytes, decoded: {} })
    tap({ direction: 'in', method: '/a/B', bytes, decoded: { frame: 7n, data: Uint8Array.of(255) } })
    transcript.close()
    tap({ direction: 'in', method: '/a/B', bytes, decoded: {} })
    const lines = readFileSync(file, 'utf8').trim().split('\n')
    expect(lines).toHaveLength(1)
    const expected = { peer: 'worker', method: '/a/B', bytes: 'AQI=', decoded: { frame: '7', data: 'ff' } }
    expect(JSON.parse(lines[0] ?? '')).toMatchObject(expected)
  })
})

describe('a configuration', () => {
  const tls = { certificatePem: 'c', keyPem: 'secret-key', caPem: 'a' }
  const settings = {
    runDirectory: '/run',
    listen: ['unix:/run/h.sock'],
    platform: { address: 'unix:/run/p.sock' },
    tls,
    workerTls: tls,
    volumesDirectory: '/volumes',
  }

  it('has defaults', () => {
    expect(readConfiguration(settings)).toMatchObject({
      stallTimeoutMs: 30_000,
      poolFrames: 4096,
      faultPoints: false,
      logLevel: 'info',
    })
  })

  it.each([
    ['listen', { listen: [] }],
    ['tls.keyPem', { tls: { ...tls, keyPem: 5 } }],
    ['stallTimeoutMs', { stallTimeoutMs: 0 }],
    ['platform', { platform: 'unix:/run/p.sock' }],
    ['logLevel', { logLevel: 'loud' }],
  ])('names a wrong %s, and never a key', (name, change) => {
    const read = (): unknown => readConfiguration({ ...settings, ...change })
    expect(read).toThrow(name)
    expect(read).not.toThrow('secret-key')
  })
})
