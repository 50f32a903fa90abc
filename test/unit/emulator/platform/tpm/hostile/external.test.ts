// Objects from outside: TPM2_LoadExternal takes public areas that no TPM would make, and every command that works on an
// object meets them. Each answers or refuses; none puts the TPM into failure mode.

import { describe, expect, it } from 'vitest'
import { IMPLEMENTED } from '../../../../../../emulator/platform/tpm/commands/index.ts'
import {
  type AnyCommand,
  TPM2_Certify,
  TPM2_Commit,
  TPM2_ContextSave,
  TPM2_Duplicate,
  TPM2_ECDH_KeyGen,
  TPM2_ECDH_ZGen,
  TPM2_EncryptDecrypt2,
  TPM2_GetTime,
  TPM2_HMAC,
  TPM2_LoadExternal,
  TPM2_MakeCredential,
  TPM2_PolicySecret,
  TPM2_Quote,
  TPM2_ReadPublic,
  TPM2_Rewrap,
  TPM2_RSA_Decrypt,
  TPM2_RSA_Encrypt,
  TPM2_Sign,
  TPM2_StartAuthSession,
  TPM2_Unseal,
  TPM_RC,
  TPM_RH,
} from '../../../../../../sdk/tpm2/index.ts'
import { rcOf } from '../powered.ts'
import { Chance, chosenExternals, type External, randomExternal } from './external-areas.ts'
import { Bench, type Target, type Use } from './external-bench.ts'
import { USES } from './external-commands.ts'

/** Another seed, or more objects by chance, from the environment: for a longer search than each test run makes. */
const SEED = process.env['HOSTILE_SEED'] ?? '3'
const RUNS = Number(process.env['HOSTILE_RUNS'] ?? '30')
const OBJECT_TYPES: ReadonlySet<string> = new Set([
  'TPMI_DH_OBJECT',
  'TPMI_DH_OBJECT+',
  'TPMI_DH_PARENT+',
  'TPMI_DH_ENTITY',
  'TPMI_DH_ENTITY+',
  'TPMI_DH_CONTEXT',
])

/** Commands that succeed on one object or another: there, it is not their form that is refused. */
const EXECUTED: readonly AnyCommand[] = [
  TPM2_Certify,
  TPM2_Commit,
  TPM2_ContextSave,
  TPM2_Duplicate,
  TPM2_ECDH_KeyGen,
  TPM2_ECDH_ZGen,
  TPM2_EncryptDecrypt2,
  TPM2_GetTime,
  TPM2_HMAC,
  TPM2_MakeCredential,
  TPM2_PolicySecret,
  TPM2_Quote,
  TPM2_ReadPublic,
  TPM2_Rewrap,
  TPM2_RSA_Decrypt,
  TPM2_RSA_Encrypt,
  TPM2_Sign,
  TPM2_StartAuthSession,
  TPM2_Unseal,
]

/** What became of the objects: how the TPM failed, and which commands it executed. */
class Outcome {
  readonly failures: string[] = []
  readonly executed = new Set<number>()
  /** objects that the TPM took in */
  loaded = 0

  /** Loads an object and sends each command to it, all on one TPM unless that fails. */
  strike(external: External, chance: Chance): void {
    let target = this.#load(external, chance)
    if (target === undefined) return
    this.loaded += 1
    for (const use of USES) {
      const rc = codeOf(use, target)
      if (rc === undefined) this.executed.add(use.row.code)
      if (rc !== TPM_RC.FAILURE) continue
      this.failures.push(`${use.row.name} on ${external.what}`)
      target = this.#load(external, chance) ?? target
    }
    const { powered } = target.bench
    if (rcOf(() => powered.random()) !== undefined) this.failures.push(`commands on ${external.what}`)
  }

  #load({ inPrivate, inPublic, what }: External, chance: Chance): Target | undefined {
    const bench = new Bench()
    let handle = 0
    const rc = rcOf(() => {
      const request = { inPrivate, inPublic, hierarchy: TPM_RH.NULL }
      handle = bench.powered.call(TPM2_LoadExternal, request).objectHandle
    })
    if (rc === TPM_RC.FAILURE) this.failures.push(`TPM2_LoadExternal of ${what}`)
    return rc === undefined ? { bench, handle, chance } : undefined
  }
}

function codeOf(use: Use, target: Target): number | undefined {
  return rcOf(() => {
    use.run(target)
  })
}

describe('an object from outside', () => {
  const chosen = new Outcome()
  const random = new Outcome()

  it('never makes the TPM fail, when it was chosen to', () => {
    const chance = new Chance(`chosen ${SEED}`)
    for (const external of chosenExternals()) chosen.strike(external, chance)
    expect(chosen.failures).toEqual([])
  })

  it('never makes the TPM fail, when it is random', () => {
    const chance = new Chance(`random ${SEED}`)
    for (let run = 0; run < 4 * RUNS; run += 1) {
      const external = randomExternal(chance)
      random.strike({ ...external, what: `${external.what}, number ${String(run)}` }, chance)
    }
    expect(random.failures).toEqual([])
  })

  it('control: many are taken in, and commands are executed on them', () => {
    expect(chosen.loaded).toBeGreaterThan(50)
    expect(random.loaded).toBeGreaterThan(RUNS)
    const executed = new Set([...chosen.executed, ...random.executed])
    expect(EXECUTED.filter(({ code }) => !executed.has(code)).map(({ name }) => name)).toEqual([])
  })

  it('control: there is a use of every command that works on an object', () => {
    const rows = [...IMPLEMENTED.values()].map(({ row }) => row)
    const needed = rows.filter(({ handles }) =>
      handles.some(({ value }) => OBJECT_TYPES.has(value.type.name)),
    )
    const used = new Set(USES.map(({ row }) => row.code))
    expect(needed.filter(({ code }) => !used.has(code)).map(({ name }) => name)).toEqual([])
    expect(needed.length).toBeGreaterThanOrEqual(30)
  })
})
