// Unmodified programs of other projects, run on files. A missing program is a skipped test that says so, but a failure
// in CI, where it must be installed.

import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { TestContext } from 'vitest'

/** What a program did. */
export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function onPath(name: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** The first of `names` on PATH; without any, skips the test, or fails it when CI=true. */
export function requireTool(
  context: TestContext,
  debianPackage: string,
  ...names: readonly string[]
): string {
  const found = names.find(onPath)
  if (found !== undefined) return found
  return missing(context, debianPackage, names.join(' or '))
}

/** The path of a file that a Debian package installs; without it, as requireTool(). */
export function requireFile(context: TestContext, debianPackage: string, path: string): string {
  return existsSync(path) ? path : missing(context, debianPackage, path)
}

function missing(context: TestContext, debianPackage: string, what: string): never {
  const reason = `needs ${what} (Debian package ${debianPackage})`
  if (process.env.CI === 'true') throw new Error(`${reason}; CI must install it`)
  return context.skip(reason)
}

/** Runs a program to its end in `folder`. */
export function run(folder: string, program: string, ...args: readonly string[]): Outcome {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: folder, encoding: 'utf8' })
  if (error !== undefined) throw error
  return { code: status, stdout, stderr }
}

/** A folder that goes away with `removeFolders()`. */
export function folderWith(files: Readonly<Record<string, Uint8Array | string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'peers-'))
  folders.push(folder)
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
  return folder
}

const folders: string[] = []

/** Removes the folders that this file's tests made. */
export function removeFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
}
