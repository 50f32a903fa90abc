/** The generator: its output for the test contract is committed, type-checked and used by the rpc tests. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { check } from 'prettier'
import { describe, expect, it, onTestFinished } from 'vitest'
import { generateContract } from '../../../protos/generator/contract.ts'

const repository = path.resolve(import.meta.dirname, '../../..')
const runtime = path.join(repository, 'sdk/rpc')

function contractOf(protos: string, output: string): Promise<Map<string, string>> {
  return generateContract({
    protos: path.join(repository, protos),
    output: path.join(repository, output),
    runtime,
  })
}

/** Generates from proto files given as text. */
async function generate(files: Readonly<Record<string, string>>): Promise<Map<string, string>> {
  const protos = mkdtempSync(path.join(tmpdir(), 'protos-'))
  onTestFinished(() => {
    rmSync(protos, { recursive: true })
  })
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(protos, name)), { recursive: true })
    writeFileSync(path.join(protos, name), text)
  }
  return generateContract({ protos, output: path.join(runtime, 'contract'), runtime })
}

describe('the generator', () => {
  it.each([
    ['protos', 'sdk/rpc/contract'],
    ['test/vectors/protos', 'test/vectors/rpc/contract'],
  ])('keeps what is committed for %s up to date', async (protos, output) => {
    for (const [name, text] of await contractOf(protos, output)) {
      expect(readFileSync(path.join(repository, output, name), 'utf8'), name).toBe(text)
    }
  })

  it('is deterministic, formatted, and free of paths of this machine', async () => {
    const [once, again] = await Promise.all([
      contractOf('test/vectors/protos', 'test/vectors/rpc/contract'),
      contractOf('test/vectors/protos', 'test/vectors/rpc/contract'),
    ])
    expect([...again]).toEqual([...once])
    const style = { semi: false, singleQuote: true, printWidth: 110, trailingComma: 'all' } as const
    for (const [name, text] of once) {
      expect(await check(text, { ...style, parser: 'typescript' }), name).toBe(true)
      expect(text).not.toContain(repository)
    }
  })

  it('turns comments into docstrings that cannot end early', async () => {
    const files = await contractOf('test/vectors/protos', 'test/vectors/rpc/contract')
    const echo = files.get('palimpsest/test/v1/echo.ts')
    expect(echo).toContain('/** Any text. */')
    expect(echo).toContain('   * | the text is "fail" | NOT_FOUND | send another text *\\/ |')
  })

  it('puts the package in front of names that two packages share', async () => {
    const proto = (name: string) =>
      `syntax = "proto3"; package p.${name}.v1; message ListRequest { string ${name} = 1; }`
    const files = await generate({ 'p/a/v1/a.proto': proto('left'), 'p/b/v1/b.proto': proto('right') })
    expect(files.get('p/a/v1/a.ts')).toContain('interface LeftListRequest')
    expect(files.get('p/b/v1/b.ts')).toContain('interface RightListRequest')
  })

  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['a file that is not proto', { 'a.proto': 'syntax = "proto3"; message {' }, /illegal|expected|line/i],
    [
      'a type that does not exist',
      { 'a.proto': 'syntax = "proto3"; package a; message A { B b = 1; }' },
      /B/,
    ],
    ['an import that does not exist', { 'a.proto': 'syntax = "proto3"; import "b.proto";' }, /b\.proto/],
    [
      'a type that hides one of TypeScript',
      { 'a.proto': 'syntax = "proto3"; package a; message Record {}' },
      /Record/,
    ],
  ])('refuses %s', async (_case, files, message) => {
    await expect(generate(files)).rejects.toThrow(message)
  })
})
