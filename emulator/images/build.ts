// Bundles the single-file images that the platform measures and runs: everything the worker or the hypervisor executes
// is in one file, so that one SHA-256 names it. CommonJS, because node reads such a program from standard input as it
// is. The one thing left out is lmdb, a native module that cannot be bundled: it is not measured (ARCHITECTURE.md).
//
// With --command it also bundles the `palimpsest` command, where `npm run build` would put it: `npm start` needs no
// type check, and a bundle starts in a fraction of the time that loading the sources takes.

import { mkdir, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type BuildOptions } from 'esbuild'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const images = join(root, 'dist', 'images')

/** Deterministic: the same source gives the same bytes wherever it is built. */
const common: BuildOptions = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  legalComments: 'none',
  logLevel: 'warning',
  absWorkingDir: root,
}

/** An image takes the place of the one before it at once: a platform that starts meanwhile finds the old or the new. */
async function image(name: string, external: string[]): Promise<void> {
  const outfile = join(images, `${name}.cjs`)
  const fresh = `${outfile}.new`
  await build({
    ...common,
    entryPoints: [join(root, 'emulator', 'images', `${name}.ts`)],
    outfile: fresh,
    format: 'cjs',
    external,
  })
  await rename(fresh, outfile)
}

async function command(): Promise<void> {
  const entry = (path: string) => join(root, 'emulator', 'cli', path)
  await build({
    ...common,
    entryPoints: [entry('main.ts'), entry('swtpm.ts'), entry('demo/vm-process.ts')],
    outdir: join(root, 'dist'),
    outbase: root,
    format: 'esm',
    splitting: true,
    packages: 'external',
    chunkNames: 'emulator/cli/chunks/[hash]',
  })
}

await mkdir(images, { recursive: true })
const tasks = [image('worker', []), image('hypervisor', ['lmdb'])]
if (process.argv.includes('--command')) tasks.push(command())
await Promise.all(tasks)
