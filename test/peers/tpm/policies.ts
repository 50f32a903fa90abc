// Policy digests computed here, beside what a TPM computes for a trial session: each assertion extends the digest; and
// what a policy guards in these tests.
// Source: TPM 2.0 Library, Part 1, clause 19.7, and Part 3, clause 23 (each assertion), revision 1.59; all with SHA-256.

import { sha256, unhex } from './objects.ts'
import type { Tools } from './tools.ts'

/** A policy digest, in hexadecimal, before any assertion. */
export const NO_POLICY = '00'.repeat(32)

/** TPM_CC of the assertions, in hexadecimal. */
const CC = {
  PolicyAuthorize: '0000016a',
  PolicyAuthorizeNV: '00000192',
  PolicyAuthValue: '0000016b',
  PolicyCommandCode: '0000016c',
  PolicyCounterTimer: '0000016d',
  PolicyCpHash: '0000016e',
  PolicyDuplicationSelect: '00000188',
  PolicyLocality: '0000016f',
  PolicyNameHash: '00000170',
  PolicyNV: '00000149',
  PolicyNvWritten: '0000018f',
  PolicyOR: '00000171',
  PolicyPCR: '0000017f',
  PolicySecret: '00000151',
  PolicySigned: '00000160',
  PolicyTemplate: '00000190',
} as const

/** policyDigest := H(policyDigest ‖ code ‖ parts), all in hexadecimal. */
export function asserted(policy: string, assertion: keyof typeof CC, ...parts: readonly string[]): string {
  return sha256(unhex([policy, CC[assertion], ...parts].join('')))
}

/** As asserted(), and then with `reference` (PolicyUpdate of 23.2.3, for assertions about an entity with a name). */
export function assertedOf(policy: string, assertion: keyof typeof CC, name: string, reference = ''): string {
  return sha256(unhex(asserted(policy, assertion, name) + reference))
}

/** What the tests of policies seal. */
export const SECRET = 'what the policy guards'
/** Opens it in the policy session of session(). */
export const UNSEAL = 'tpm2_unseal -c sealed.ctx -p session:s.ctx'

/** Runs assertions in a new trial session and returns its digest. */
export async function trial(t: Tools, ...assertions: readonly string[]): Promise<string> {
  await t.ok('tpm2_startauthsession -S trial.ctx')
  for (const assertion of assertions) await t.ok(`${assertion} -Q -S trial.ctx`)
  const digest = await t.ok('tpm2_getpolicydigest -S trial.ctx --hex')
  await t.ok('tpm2_flushcontext trial.ctx')
  return digest
}

/** Seals SECRET under `policy` into sealed.ctx; without a password in `options`, only the policy opens it. */
export async function seal(t: Tools, policy: string, options = ''): Promise<void> {
  t.write('policy', unhex(policy))
  t.write('secret', SECRET)
  await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
  const create = 'tpm2_create -Q -C p.ctx -i secret -L policy -a fixedtpm|fixedparent'
  await t.ok(`${create} -u sealed.pub -r sealed.priv ${options}`)
  await t.ok('tpm2_load -Q -C p.ctx -u sealed.pub -r sealed.priv -c sealed.ctx')
}

/** Starts the policy session s.ctx, after ending the one before. */
export async function session(t: Tools, ...assertions: readonly string[]): Promise<void> {
  await t.run('tpm2_flushcontext s.ctx')
  await t.ok('tpm2_startauthsession --policy-session -S s.ctx')
  for (const assertion of assertions) await t.ok(`${assertion} -Q -S s.ctx`)
}
