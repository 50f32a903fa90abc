// `palimpsest tpm startup`, `shutdown`, `selftest` and `clear`: a TPM as a whole.
// Source: TPM 2.0 Library, Part 3, clauses 9 (startup), 10 (testing) and 24.6 (TPM2_Clear), revision 1.59.

import { Command } from 'commander'
import {
  describeResponseCode,
  TPM2_Clear,
  TPM2_GetTestResult,
  TPM2_SelfTest,
  TPM2_Shutdown,
  TPM2_Startup,
  TPM_RC,
  TPM_RH,
  TPM_SU,
} from '../../../../sdk/tpm2/index.ts'
import { CommandFailure, EXIT } from '../../output.ts'
import { refusalOf } from '../../tpm/refusals.ts'
import { onTpm, type TpmFlags, withTpm } from '../../tpm/session.ts'
import { AUTH_HELP, authValue } from '../../tpm/values.ts'

interface StateFlags extends TpmFlags {
  readonly state?: boolean
}

/** `palimpsest tpm startup` */
export function startupCommand(): Command {
  return withTpm(new Command('startup'))
    .description(
      'TPM2_Startup: what a TPM waits for after power-on. With --tpm: a power cycle, PCRs start anew.',
    )
    .option('--state', 'go on with the PCRs that "shutdown --state" kept')
    .action(async (flags: StateFlags) => {
      const startupType = flags.state === true ? TPM_SU.STATE : TPM_SU.CLEAR
      await onTpm(
        flags,
        async ({ client, out }) => {
          let started = true
          try {
            await client.call(TPM2_Startup, { startupType })
          } catch (error) {
            if (refusalOf(error) !== TPM_RC.INITIALIZE) throw error
            started = false
          }
          out.result({ started }, () => [started ? 'the TPM is started' : 'the TPM was started already'])
        },
        { startup: false },
      )
    })
}

/** `palimpsest tpm shutdown` */
export function shutdownCommand(): Command {
  return withTpm(new Command('shutdown'))
    .description('TPM2_Shutdown: has a TPM put its state in order before its power goes.')
    .option('--state', 'keep the PCRs for "startup --state"')
    .action(async (flags: StateFlags) => {
      if (flags.tpm !== undefined) {
        const advice = 'leave this command out, or use --tcti'
        const message = `a TPM in a folder is shut down at the end of every command: ${advice}`
        throw new CommandFailure(EXIT.usage, message)
      }
      await onTpm(flags, async ({ client, out }) => {
        await client.call(TPM2_Shutdown, { shutdownType: flags.state === true ? TPM_SU.STATE : TPM_SU.CLEAR })
        out.result({ shutdown: true }, () => ['the TPM is ready to lose its power'])
      })
    })
}

/** `palimpsest tpm selftest` */
export function selftestCommand(): Command {
  return withTpm(new Command('selftest'))
    .description('Have the TPM test itself, and print its result; exit code 1 when it found a fault.')
    .option('--only-untested', 'test only what was not tested since power-on')
    .action(selftest)
}

async function selftest(flags: TpmFlags & { readonly onlyUntested?: boolean }): Promise<void> {
  await onTpm(flags, async ({ client, out }) => {
    try {
      await client.call(TPM2_SelfTest, { fullTest: flags.onlyUntested !== true })
    } catch (error) {
      // In failure mode the TPM still tells why.
      if (refusalOf(error) !== TPM_RC.FAILURE) throw error
    }
    const { testResult, outData } = await client.call(TPM2_GetTestResult, {})
    const passed = testResult === TPM_RC.SUCCESS
    if (!passed) process.exitCode = EXIT.failed
    const result = describeResponseCode(testResult)
    out.result({ passed, result, vendorData: outData }, () => [
      passed ? out.good('the TPM found no fault') : out.bad(`the TPM found a fault: ${result}`),
    ])
  })
}

interface ClearFlags extends TpmFlags {
  readonly yes?: boolean
  readonly lockoutAuth?: string
  readonly platformAuth?: string
}

/** `palimpsest tpm clear` */
export function clearCommand(): Command {
  return withTpm(new Command('clear'))
    .description(
      "Give the TPM to a new owner: the old owner's keys, NV indices and passwords are gone, and what was sealed with it.",
    )
    .option('--yes', 'do it; nothing brings the keys back')
    .option('--lockout-auth <value>', `authorization value of lockout: ${AUTH_HELP}`)
    .option('--platform-auth <value>', 'authorize as the platform instead, with this value')
    .action(clear)
}

async function clear(flags: ClearFlags): Promise<void> {
  if (flags.yes !== true) {
    const message = 'this removes all keys and NV indices of the owner for ever: add --yes to do it'
    throw new CommandFailure(EXIT.usage, message)
  }
  const byPlatform = flags.platformAuth !== undefined
  const authHandle = byPlatform ? TPM_RH.PLATFORM : TPM_RH.LOCKOUT
  const auth = authValue(byPlatform ? flags.platformAuth : flags.lockoutAuth)
  await onTpm(flags, async (tpm) => {
    // TPM2_Clear empties these very authValues, and the answer's HMAC is made with the new one.
    await tpm.authorized(TPM2_Clear, { authHandle }, { auth, authAfter: byPlatform ? auth : EMPTY })
    tpm.out.result({ cleared: true }, () => ['the TPM has no owner any more'])
  })
}

const EMPTY = new Uint8Array(0)
