#!/usr/bin/env node
// The `swtpm` command: harnesses that start swtpm themselves find this one on PATH and use the TPM of this package
// without being changed. What it understands is in emulator/tpm-server.

import { type OpenedTpm, runSwtpm, type StatePlace } from '../tpm-server/index.ts'
import { lockFolder } from './tpm/folder-lock.ts'
import { listStates, openTpm, SERVED_RSA_KEY_SIZES } from './tpm/served-tpm.ts'

/** Opens a TPM whose folder nobody else works with meanwhile. */
async function openLocked(place: StatePlace | null): Promise<OpenedTpm> {
  const unlock = place?.kind === 'folder' ? await lockFolder(place.path, 0) : () => undefined
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
