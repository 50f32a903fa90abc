/**
 * The hypervisor as a process of its own: configuration as JSON on file descriptor 3, and an end when the lifeline on
 * file descriptor 4 closes, because then whoever started it is gone.
 */
import { closeSync, readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { onShutdown } from '../../sdk/rpc/index.ts'
import { readConfiguration } from './configuration.ts'
import { runHypervisor } from './run.ts'

const configurationFd = 3
const lifelineFd = 4

/** Runs until the lifeline closes or a signal asks for an end. @throws what runHypervisor throws. */
export async function runHypervisorImage(): Promise<void> {
  const text = readFileSync(configurationFd, 'utf8')
  closeSync(configurationFd)
  const hypervisor = await runHypervisor(readConfiguration(JSON.parse(text)))
  const shutdown = onShutdown([{ name: 'hypervisor', close: () => hypervisor.close() }])
  const gone = (): void => {
    void shutdown.now(0)
  }
  // A socket, because a file stream's read blocks in a thread that process.exit() waits for.
  new Socket({ fd: lifelineFd, readable: true, writable: false }).on('error', gone).on('close', gone).resume()
}
