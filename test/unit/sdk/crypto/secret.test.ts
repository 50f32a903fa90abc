// Secret: one owner, no leak through text or cloning, and a wipe that holds.

import { inspect } from 'node:util'
import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { hex, Secret } from '../../../../sdk/crypto/index.ts'

const BYTES = new Uint8Array(64).fill(0xa5)
const TRACES = [
  hex(BYTES).slice(0, 16),
  Buffer.from(BYTES).toString('base64').slice(0, 12),
  '165,165',
  '165, 165',
]

function leaks(text: string): boolean {
  return TRACES.some((trace) => text.includes(trace))
}

function logged(value: unknown): string {
  const lines: string[] = []
  pino({ base: null }, { write: (line: string) => void lines.push(line) }).info({ value }, 'message')
  return lines.join('')
}

describe('Secret', () => {
  it('holds a copy of the bytes it is made from', () => {
    const original = new Uint8Array(BYTES)
    const secret = Secret.from(original)
    original.fill(0)
    expect(secret.use(hex)).toBe(hex(BYTES))
    expect(secret.length).toBe(64)
  })

  it('take() moves the bytes and clears the original', () => {
    const original = new Uint8Array(BYTES)
    const secret = Secret.take(original)
    expect(original.every((byte) => byte === 0)).toBe(true)
    expect(secret.use(hex)).toBe(hex(BYTES))
  })

  it('prints its size only, wherever an object becomes text', () => {
    const secret = Secret.from(BYTES)
    const holder = { key: secret, list: [secret] }
    expect(String(secret)).toBe('[Secret 64 bytes]')
    expect(JSON.stringify(secret)).toBe('"[Secret 64 bytes]"')
    expect(inspect(secret, { showHidden: true })).toBe('[Secret 64 bytes]')
    for (const text of [
      inspect(holder, { depth: 9, showHidden: true }),
      JSON.stringify(holder),
      logged(holder),
    ]) {
      expect(text).toContain('[Secret 64 bytes]')
      expect(leaks(text)).toBe(false)
    }
  })

  it('gives nothing to a structured clone, and has no enumerable field', () => {
    const secret = Secret.from(BYTES)
    expect(Reflect.ownKeys(secret)).toEqual([])
    expect(Reflect.ownKeys(structuredClone(secret))).toEqual([])
  })

  it('control: the same search finds the bytes when they are logged', () => {
    expect(leaks(logged({ key: hex(BYTES) }))).toBe(true)
    expect(leaks(inspect([...BYTES]))).toBe(true)
  })

  it('is cleared by wipe(), and refuses every later use', () => {
    const secret = Secret.from(BYTES)
    const seen = secret.use((bytes) => bytes)
    secret.wipe()
    expect(seen.every((byte) => byte === 0)).toBe(true)
    expect(secret.wiped).toBe(true)
    expect(secret.length).toBe(64)
    expect(() => secret.use((bytes) => bytes.length)).toThrow(/wiped/)
    expect(() => secret.equals(secret)).toThrow(/wiped/)
    expect(() => {
      secret.wipe()
    }).not.toThrow()
  })

  it('compares by content', () => {
    expect(Secret.from(BYTES).equals(Secret.from(BYTES))).toBe(true)
    expect(Secret.from(BYTES).equals(Secret.random(64))).toBe(false)
    expect(Secret.from(BYTES).equals(Secret.from(BYTES.subarray(1)))).toBe(false)
  })

  it('refuses what is no byte array, and a length that is none', () => {
    expect(() => Secret.from('text' as unknown as Uint8Array)).toThrow(TypeError)
    expect(() => Secret.random(0)).toThrow(RangeError)
    expect(() => Secret.random(1.5)).toThrow(RangeError)
  })
})
