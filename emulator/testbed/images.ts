// Where the single-file images are that `npm run build` makes: the worker and the hypervisor.

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Root of the package, whether this file runs from source or from dist. */
export const packageRoot: string = findRoot(dirname(fileURLToPath(import.meta.url)))

/** The worker image that comes with the package. */
export function defaultWorkerImage(): string {
  return image('worker')
}

/** The hypervisor image that comes with the package. */
export function defaultHypervisorImage(): string {
  return image('hypervisor')
}

function image(name: string): string {
  const path = join(packageRoot, 'dist', 'images', `${name}.cjs`)
  if (existsSync(path)) return path
  throw new TypeError(`the ${name} image expected at ${path} is missing; make it with "npm run images"`)
}

function findRoot(from: string): string {
  let folder = from
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder)
    if (parent === folder) throw new TypeError(`no package.json was found above ${from}`)
    folder = parent
  }
  return folder
}
