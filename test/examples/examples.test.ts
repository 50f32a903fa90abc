// Every example is a program that a user could start from, so each is run as one, from its own process, and must end
// well. A new folder under examples/ is run without being named here.
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const names = readdirSync(join(root, 'examples'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)

interface Ended {
  readonly code: number | null
  readonly output: string
}

function run(program: string): Promise<Ended> {
  const child = spawn(
    process.execPath,
    ['--conditions', 'palimpsest-source', '--import', 'tsx', join(root, program)],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  return new Promise((resolve) => {
    child.once('close', (code) => {
      resolve({ code, output })
    })
  })
}

describe('examples', () => {
  it('are there', () => {
    expect(names).toEqual(expect.arrayContaining(['clone-and-write', 'clone-disk', 'custom-policy']))
  })

  it.each(names)('[C-18] %s ends well', async (name) => {
    const { code, output } = await run(`examples/${name}/main.ts`)
    expect(code, output).toBe(0)
  })
})
