/**
 * Writes sdk/rpc/contract/ from the proto files: `tsx protos/generate.ts [--check] [--in DIR] [--out DIR]`.
 * --check writes nothing and fails when a file is missing, left over or different.
 */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { generateContract } from './generator/contract.ts'

const protos = fileURLToPath(new URL('.', import.meta.url))
const runtime = path.join(protos, '../sdk/rpc')

const { values } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    in: { type: 'string', default: protos },
    out: { type: 'string', default: path.join(runtime, 'contract') },
  },
})

const output = path.resolve(values.out)
const files = await generateContract({ protos: path.resolve(values.in), output, runtime })
const present = new Map<string, string>()
for (const name of listFiles(output)) present.set(name, readFileSync(path.join(output, name), 'utf8'))
const changed = [...files.keys()].filter((name) => present.get(name) !== files.get(name))
const leftOver = [...present.keys()].filter((name) => !files.has(name))

if (values.check) {
  for (const name of [...changed, ...leftOver]) console.error(`out of date: ${path.join(output, name)}`)
  if (changed.length + leftOver.length > 0) {
    console.error('expected the generated files of the proto files, found others: run npm run generate')
    process.exitCode = 1
  }
} else {
  for (const name of leftOver) rmSync(path.join(output, name))
  for (const name of changed) {
    mkdirSync(path.dirname(path.join(output, name)), { recursive: true })
    writeFileSync(path.join(output, name), files.get(name) ?? '')
  }
  console.log(`${files.size} files, ${changed.length} written, ${leftOver.length} removed`)
}

function listFiles(folder: string): string[] {
  try {
    const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    return names
      .filter((entry) => entry.isFile())
      .map((entry) =>
        path.relative(folder, path.join(entry.parentPath, entry.name)).split(path.sep).join('/'),
      )
      .sort()
  } catch {
    return []
  }
}
