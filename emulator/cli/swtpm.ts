#!/usr/bin/env node
// The `swtpm` command: harnesses that start swtpm themselves find this one on PATH and use the TPM of this package
// without being changed. What it understands is in emulator/tpm-server.

import { type OpenedTpm, runSwtpm, type StatePlace } from '../tpm-server/index.ts'
import { listStates, lockPlace, openTpm, SERVED_RSA_KEY_SIZES } from './tpm/served-tpm.ts'

/** Opens a TPM whose state nobody else works with meanwhile. */
async function openLocked(place: StatePlace | null): Promise<OpenedTpm> {
  const unlock = place === null ? () => undefined : await lockPlace(place, 0)
  return { ...openTpm(place), close: unlock }
}

process.exitCode = await runSwtpm({
  words: process.argv.slice(2),
  environment: process.env,
  restart: [process.execPath, ...process.execArgv, process.argv[1] ?? ''],
  rsaKeySizes: SERVED_RSA_KEY_SIZES,
  print: (text) => process.stdout.write(text),
  complain: (text) => process.stderr.write(text),
  openTpm: openLocked,
  listStates,
})
