// The hypervisor image: what the platform measures into PCR4 and runs. Its configuration comes over the inherited pipe.

import { runHypervisorImage } from '../hypervisor/index.ts'

runHypervisorImage().catch((error: unknown) => {
  process.stderr.write(`hypervisor: ${error instanceof Error ? error.message : 'unknown error'}\n`)
  process.exit(1)
})
