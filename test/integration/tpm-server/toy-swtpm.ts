// The program "swtpm" with the toy TPM behind it, for tests of its command line, exit codes and background mode.

import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runSwtpm } from '../../../emulator/tpm-server/index.ts'
import type { VolatileStore } from '../../../emulator/tpm-server/index.ts'
import { ToyTpm } from './toy-tpm.ts'

const VOLATILE = 'volatile'

function storeAt(file: string): VolatileStore {
  return {
    read: () => (existsSync(file) ? new Uint8Array(readFileSync(file)) : undefined),
    write: (bytes) => {
      writeFileSync(file, bytes)
    },
    remove: () => {
      rmSync(file, { force: true })
    },
  }
}

process.exitCode = await runSwtpm({
  words: process.argv.slice(2),
  environment: process.env,
  restart: [process.execPath, ...process.execArgv, process.argv[1] ?? ''],
  rsaKeySizes: [2048],
  print: (text) => process.stdout.write(text),
  complain: (text) => process.stderr.write(text),
  openTpm: (place) => {
    if (place !== null && !existsSync(place.path)) {
      throw new Error(`Error: expected a folder for the state, found no ${place.path}`)
    }
    const opened = { port: new ToyTpm(), close: () => undefined }
    return place === null ? opened : { ...opened, volatileStore: storeAt(join(place.path, VOLATILE)) }
  },
  listStates: (place) => {
    const file = join(place.path, VOLATILE)
    return existsSync(file) ? [{ name: 'volatile', size: statSync(file).size }] : []
  },
})
