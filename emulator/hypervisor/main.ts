/**
 * The hypervisor as a process of its own: configuration as JSON on file descriptor 3, and an end when the lifeline on
 * file descriptor 4 closes, because then whoever started it is gone.
 */
import { closeSync, createReadStream, readFileSync } from 'node:fs'
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
  createReadStream('', { fd: lifelineFd }).on('error', gone).on('close', gone).resume()
}
