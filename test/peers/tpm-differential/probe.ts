// The same commands to swtpm and to our TPM in this process: response codes, and results that do not depend on keys or
// random numbers, have to be equal. A scenario is written once, against a TPM whose kind it does not know.

import { expect, type TestContext } from 'vitest'
import { Tpm } from '../../../emulator/platform/tpm/tpm.ts'
import { hex } from '../../../sdk/crypto/index.ts'
import { type CallOptions, TpmClient, TpmResponseError } from '../../../sdk/tpm2/client.ts'
import { type Command, describeResponseCode, TPM2_Startup, TPM_SU } from '../../../sdk/tpm2/index.ts'
import { requireTool } from '../tool.ts'
import { targets } from '../tpm/tpm-under-test.ts'

/** What a scenario runs on, and the record of what it saw. */
export class Probe {
  readonly client: TpmClient
  readonly powerCycle: () => Promise<void>
  /** one line for each command that was tried and each value that was shown */
  readonly seen: string[] = []

  constructor(client: TpmClient, powerCycle: () => Promise<void>) {
    this.client = client
    this.powerCycle = powerCycle
  }

  /** Runs a command and records how it ended; undefined when it was refused. */
  async try<Q extends object, S extends object>(
    label: string,
    row: Command<Q, S>,
    request: NoInfer<Q>,
    options: CallOptions = {},
  ): Promise<S | undefined> {
    try {
      const response = await this.client.call(row, request, options)
      this.seen.push(`${label}: ${row.name}: success`)
      return response
    } catch (error) {
      if (!(error instanceof TpmResponseError)) throw error
      this.seen.push(`${label}: ${row.name}: ${describeResponseCode(error.rc)}`)
      return undefined
    }
  }

  /** Records a value. */
  show(label: string, value: Uint8Array | number | bigint | string | boolean | undefined): void {
    this.seen.push(`${label} = ${value instanceof Uint8Array ? hex(value) : String(value)}`)
  }

  /** Takes the power away and gives it back, and starts the TPM. */
  async restart(startupType: number = TPM_SU.CLEAR): Promise<void> {
    await this.powerCycle()
    await this.client.call(TPM2_Startup, { startupType })
  }
}

/** Runs a scenario on a new swtpm and a new TPM of ours and expects the same record of both. */
export async function sameOnBoth(
  context: TestContext,
  scenario: (probe: Probe) => Promise<void>,
): Promise<void> {
  requireTool(context, 'swtpm', 'swtpm')
  const theirs = await onSwtpm(scenario)
  const ours = await onOurs(scenario)
  expect(ours).toEqual(theirs)
}

async function onOurs(scenario: (probe: Probe) => Promise<void>): Promise<string[]> {
  const tpm = new Tpm()
  tpm.powerOn()
  const probe = new Probe(new TpmClient({ send: (command) => tpm.execute(command) }), () => {
    tpm.reset()
    return Promise.resolve()
  })
  await probe.client.call(TPM2_Startup, { startupType: TPM_SU.CLEAR })
  await scenario(probe)
  return probe.seen
}

async function onSwtpm(scenario: (probe: Probe) => Promise<void>): Promise<string[]> {
  const target = targets.find(({ reference }) => reference)
  if (target === undefined) throw new Error('expected a reference among the targets')
  const swtpm = await target.start()
  try {
    const probe = new Probe(new TpmClient(swtpm), () => swtpm.powerCycle())
    await probe.restart()
    await scenario(probe)
    return probe.seen
  } finally {
    await swtpm.stop()
  }
}
