// `palimpsest doctor`: what this machine offers, which engine would be used, and whether an emulator runs here.

import { cpus, totalmem } from 'node:os'
import { Command } from 'commander'
import { engineNames, selectEngine } from '../../../sdk/crypto/index.ts'
import { createClient, HypervisorService, loadTlsIdentity } from '../../../sdk/rpc/index.ts'
import { defaultHypervisorImage, defaultWorkerImage } from '../../testbed/index.ts'
import { type ConnectionFlags, readConnection, withDirectory } from '../connection.ts'
import { bytesText, EXIT, Output } from '../output.ts'

/** One finding. */
interface Finding {
  readonly name: string
  readonly ok: boolean
  readonly found: string
}

export function doctorCommand(): Command {
  return withDirectory(new Command('doctor'))
    .description('Say what this machine offers, and whether an emulator runs here.')
    .action(async (flags: ConnectionFlags) => {
      const out = new Output({ json: flags.json === true })
      const findings = [
        node(),
        image('worker image', defaultWorkerImage),
        image('hypervisor image', defaultHypervisorImage),
        engine(),
        machine(),
        await emulator(flags.directory),
      ]
      const ok = findings.every((finding) => finding.ok)
      if (!ok) process.exitCode = EXIT.failed
      out.result({ ok, findings }, () =>
        findings.map(
          (finding) =>
            `${finding.ok ? out.good('ok') : out.bad('no')}  ${finding.name.padEnd(18)} ${finding.found}`,
        ),
      )
    })
}

function node(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  return {
    name: 'node',
    ok: major > 20 || (major === 20 && minor >= 19),
    found: `${process.version} (20.19 or newer is needed)`,
  }
}

function image(name: string, find: () => string): Finding {
  try {
    return { name, ok: true, found: find() }
  } catch (error) {
    return { name, ok: false, found: error instanceof Error ? error.message : 'missing' }
  }
}

function engine(): Finding {
  return { name: 'engine', ok: true, found: `${selectEngine().name} (of ${engineNames.join(', ')})` }
}

function machine(): Finding {
  return { name: 'machine', ok: true, found: `${String(cpus().length)} cores, ${bytesText(totalmem())}` }
}

/** An emulator that is not running is no fault; one that does not answer is. */
async function emulator(directory: string): Promise<Finding> {
  const name = 'emulator'
  let address: string
  let identity: string
  try {
    const found = readConnection(directory)
    address = found.hypervisor
    identity = found.operatorIdentity
  } catch {
    return { name, ok: true, found: `none runs in ${directory}` }
  }
  const client = createClient(HypervisorService, { address, tls: loadTlsIdentity(identity) })
  try {
    const { vms } = await client.listVms({}, { deadlineMs: 2000 })
    return { name, ok: true, found: `runs at ${address} with ${String(vms.length)} VMs` }
  } catch (error) {
    return {
      name,
      ok: false,
      found: `does not answer at ${address}: ${error instanceof Error ? error.message : ''}`,
    }
  } finally {
    client.close()
  }
}
