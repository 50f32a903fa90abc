// The program "swtpm" with the toy TPM behind it, for tests of its command line, exit codes and background mode.

import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { runSwtpm } from '../../../emulator/tpm-server/index.ts'
import { ToyTpm } from './toy-tpm.ts'

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
    return { port: new ToyTpm(), close: () => undefined }
  },
  listStates: (place) => {
    const file = join(place.path, 'tpm2-00.volatilestate')
    return existsSync(file) ? [{ name: 'volatile', size: statSync(file).size }] : []
  },
})
