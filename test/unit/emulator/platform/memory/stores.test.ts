// The data structures under memory: sparse index, DRAM, write log, sharer lists, bindings, frame records.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Bindings } from '../../../../../emulator/platform/memory/bindings.ts'
import { Dram } from '../../../../../emulator/platform/memory/dram.ts'
import { FrameRecords } from '../../../../../emulator/platform/memory/frame-records.ts'
import { NestedMap } from '../../../../../emulator/platform/memory/nested.ts'
import { SharerLists } from '../../../../../emulator/platform/memory/sharers.ts'
import { SparseIndex } from '../../../../../emulator/platform/memory/sparse.ts'
import { WriteLog } from '../../../../../emulator/platform/memory/write-log.ts'

const positions = fc.oneof(fc.nat(2000), fc.integer({ min: 2 ** 32 - 600, max: 2 ** 32 - 1 }))

describe('sparse index', () => {
  it('agrees with a Map', () => {
    const changes = fc.array(
      fc.tuple(positions, fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2 ** 32 - 1 }))),
    )
    fc.assert(
      fc.property(changes, (list) => {
        const index = new SparseIndex()
        const model = new Map<number, number>()
        for (const [position, value] of list) {
          index.set(position, value)
          if (value === 0) model.delete(position)
          else model.set(position, value)
          expect(index.get(position)).toBe(value)
        }
        expect(new Map(index.entries())).toEqual(model)
      }),
    )
  })
})

describe('nested map', () => {
  it('keeps the largest frame with and without the write bit', () => {
    const nested = new NestedMap()
    nested.set(0, 0, false)
    nested.set(2 ** 32 - 1, 2 ** 31 - 3, true)
    expect(nested.get(0)).toEqual({ frame: 0, writable: false })
    expect(nested.get(2 ** 32 - 1)).toEqual({ frame: 2 ** 31 - 3, writable: true })
    expect(nested.get(1)).toBeUndefined()
    expect(nested.frame(1)).toBe(-1)
    nested.remove(0)
    expect(nested.get(0)).toBeUndefined()
  })
})

describe('DRAM', () => {
  it('costs nothing for frames that nobody wrote, and gives scrubbed slabs back', () => {
    const dram = new Dram(2 ** 36)
    expect(dram.frames).toBe(2 ** 24)
    expect(dram.view(2 ** 24 - 1)).toEqual(new Uint8Array(4096))
    dram.write(12345678, new Uint8Array(4096).fill(1))
    expect(dram.writtenFrames).toBe(1)
    expect(dram.view(12345678)[4095]).toBe(1)
    expect(dram.scrub(12345678)).toBe(true)
    expect(dram.scrub(12345678)).toBe(false)
    expect(dram.view(12345678)).toEqual(new Uint8Array(4096))
    expect(dram.writtenFrames).toBe(0)
  })

  it('agrees with a Map, whichever slots scrubbed frames leave', () => {
    const frames = fc.oneof(fc.nat(20), fc.integer({ min: 2 ** 24 - 20, max: 2 ** 24 - 1 }))
    fc.assert(
      fc.property(fc.array(fc.tuple(frames, fc.nat(3))), (changes) => {
        const dram = new Dram(2 ** 36)
        const model = new Map<number, number>()
        for (const [frame, value] of changes) {
          if (value === 0) expect(dram.scrub(frame)).toBe(model.delete(frame))
          else {
            dram.write(frame, new Uint8Array(4096).fill(value))
            model.set(frame, value)
          }
        }
        expect(dram.writtenFrames).toBe(model.size)
        for (const [frame] of changes) {
          const view = dram.view(frame)
          expect([view[0], view[4095]]).toEqual([model.get(frame) ?? 0, model.get(frame) ?? 0])
        }
      }),
    )
  })

  it('refuses sizes, frames and contents that do not fit', () => {
    for (const bytes of [0, 4095, -4096, Number.NaN, 2 ** 43])
      expect(() => new Dram(bytes)).toThrow(RangeError)
    const dram = new Dram(8192)
    for (const frame of [2, -1, 0.5]) expect(() => dram.view(frame)).toThrow(RangeError)
    expect(() => {
      dram.write(0, new Uint8Array(4095))
    }).toThrow(RangeError)
  })
})

describe('write log', () => {
  it('keeps the newest entries in order, and forgets writers with their last entry', () => {
    const log = new WriteLog(4)
    for (let i = 1; i <= 6; i++) log.append(i, `vm-${i % 2}`, 'store', 2 ** 32 + i)
    log.append(9, 'late', 'copy', 1)
    expect(log.last).toBe(7)
    const { entries, next } = log.read({ since: 0, limit: 10 })
    expect(
      entries.map(({ sequence, frame, writer, generation }) => [sequence, frame, writer, generation]),
    ).toEqual([
      [4, 4, 'vm-0', 2 ** 32 + 4],
      [5, 5, 'vm-1', 2 ** 32 + 5],
      [6, 6, 'vm-0', 2 ** 32 + 6],
      [7, 9, 'late', 1],
    ])
    expect(next).toBe(8)
    expect(log.read({ since: 9, limit: 10 })).toEqual({ entries: [], next: 9 })
    expect(log.read({ since: 5, limit: 2 }).next).toBe(7)
    expect(log.read({ since: 0, frame: 9, limit: 1 }).entries).toHaveLength(1)
  })
})

describe('sharer lists', () => {
  it('agree with sets', () => {
    const change = fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3), fc.boolean())
    fc.assert(
      fc.property(fc.array(change), (list) => {
        const lists = new SharerLists()
        const model = new Map<number, Set<string>>()
        for (const [frame, vm, index, isAdded] of list) {
          const names = model.get(frame) ?? new Set<string>()
          model.set(frame, names)
          const name = `${vm}:${index}`
          if (!isAdded) expect(lists.remove(frame, vm, index)).toBe(names.delete(name))
          else if (!names.has(name)) {
            lists.add(frame, vm, index)
            names.add(name)
          }
          expect(new Set(lists.list(frame).map((found) => `${found.vm}:${found.index}`))).toEqual(names)
          expect(lists.isEmpty(frame)).toBe(names.size === 0)
          expect(lists.isSingle(frame)).toBe(names.size === 1)
        }
      }),
    )
  })
})

describe('bindings', () => {
  it('forget a pair with its last frame, and use its number again', () => {
    const bindings = new Bindings<object, string>()
    const [a, b] = [{}, {}]
    const number = bindings.take(a, 'key')
    expect(bindings.take(a, 'key')).toBe(number)
    expect(bindings.take(b, 'key')).not.toBe(number)
    bindings.release(number)
    expect(bindings.get(number)).toMatchObject({ vm: a, key: 'key' })
    bindings.release(number)
    expect(bindings.get(number)).toBeUndefined()
    expect(bindings.size).toBe(1)
    expect(bindings.take(b, 'other')).toBe(number)
  })
})

describe('frame records', () => {
  it('count generations beyond 2^32 and states by their totals', () => {
    const records = new FrameRecords(10_000)
    expect(records.generation(9_999)).toBe(0)
    records.move(9_999, 'private', 3, 2 ** 32 - 1)
    expect([records.state(9_999), records.binding(9_999), records.index(9_999)]).toEqual([
      'private',
      3,
      2 ** 32 - 1,
    ])
    expect(records.bump(9_999)).toBe(2)
    expect([...records.framesIn('private')]).toEqual([9_999])
    expect(records.totals).toEqual({ free: 9_999, reserved: 0, private: 1, 'shared-ro': 0 })
  })
})
