// The worker image: what the platform launches and measures, and both VMs' policies name by its SHA-256.

import { runWorker } from '../../sdk/worker/index.ts'

runWorker().catch((error: unknown) => {
  process.stderr.write(`worker: ${error instanceof Error ? error.message : 'unknown error'}\n`)
  process.exit(1)
})
