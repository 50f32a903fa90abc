// Bundles the single-file images that the platform measures and runs: everything the worker or the hypervisor executes
// is in one file, so that one SHA-256 names it. CommonJS, because node reads such a program from standard input as it
// is. The one thing left out is lmdb, a native module that cannot be bundled: it is not measured (ARCHITECTURE.md).

import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = dirname(fileURLToPath(import.meta.url))
const target = join(here, '..', '..', 'dist', 'images')

async function bundle(name: string, external: readonly string[]): Promise<void> {
  await build({
    entryPoints: [join(here, `${name}.ts`)],
    outfile: join(target, `${name}.cjs`),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    external: [...external],
    legalComments: 'none',
    logLevel: 'warning',
    // Deterministic: the same source gives the same bytes wherever it is built.
    absWorkingDir: join(here, '..', '..'),
  })
}

await rm(target, { recursive: true, force: true })
await mkdir(target, { recursive: true })
await Promise.all([bundle('worker', []), bundle('hypervisor', ['lmdb'])])
