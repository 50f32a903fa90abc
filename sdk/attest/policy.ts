// A policy: the reference values by which a VM decides whether a platform, a worker and a peer may have its keys.
// Policies are data, not code, with a published schema; what is not listed is refused.
// The canonical form, whose SHA-256 goes into challenges, is JSON as RFC 8785 orders and writes it.

import { readFileSync } from 'node:fs'
import { FormatError, parseCertificate, sha256, utf8 } from '../crypto/index.ts'
import { TPM_ALG } from '../tpm2/index.ts'
import type { Selection } from './challenge.ts'
import { type Problem, validateSchema } from './json-schema.ts'
import { policySchema } from './policy.schema.ts'

/** One accepted digest: lower-case hexadecimal, with an optional end of its life (UTC, RFC 3339). */
export interface ReferenceValue {
  readonly digest: string
  readonly description?: string
  readonly notAfter?: string
}

/** One VM that may stand on the other side: digest of its identity key, and its measurement where that matters. */
export interface PeerRule {
  readonly identity: string
  readonly measurement?: string
  readonly description?: string
}

/** Values that one PCR may have, in the policy's bank. */
export interface PcrReference {
  readonly pcr: number
  readonly digests: readonly ReferenceValue[]
}

/** PCR banks that a policy can choose. */
export type PolicyBank = 'sha256' | 'sha384'

/** A policy as {@link parsePolicy} returns it. The schema ({@link policySchema}) explains every field. */
export interface Policy {
  readonly version: 1
  readonly description?: string
  /** PEM certificates */
  readonly trustAnchors: readonly string[]
  readonly firmware: {
    readonly images: readonly ReferenceValue[]
    /** identity digests of the keys that sign firmware manifests */
    readonly signers: readonly string[]
    readonly minimumSvn: number
  }
  readonly hypervisors: readonly ReferenceValue[]
  readonly workers: readonly ReferenceValue[]
  readonly peers: readonly PeerRule[]
  /** `select` is ascending */
  readonly pcrs: {
    readonly bank: PolicyBank
    readonly select: readonly number[]
    readonly values?: readonly PcrReference[]
  }
  readonly configuration?: readonly ReferenceValue[]
  readonly allowEmulated: boolean
  readonly allowGroupScope?: boolean
  readonly maximumResets?: number
  /** TPM names of endorsement keys, hexadecimal */
  readonly platforms?: readonly string[]
}

/** A policy that is not one: every problem with its path. */
export class PolicyError extends Error {
  readonly code = 'POLICY_INVALID'
  readonly problems: readonly Problem[]

  constructor(origin: string, problems: readonly Problem[], options?: ErrorOptions) {
    const lines = problems.map(({ path, problem }) => `${path}: ${problem}`)
    super(`${origin} is no policy; correct ${lines.slice(0, 8).join('; ')}`, options)
    this.name = 'PolicyError'
    this.problems = problems
  }
}

/**
 * A policy from parsed JSON. Throws {@link PolicyError} with every problem. `origin` names the source in messages.
 * The result holds copies: later changes of `json` do not matter.
 */
export function parsePolicy(json: unknown, origin = 'the value'): Policy {
  const problems = validateSchema(policySchema, json)
  if (problems.length > 0) throw new PolicyError(origin, problems)
  const policy = normalise(structuredClone(json) as WrittenPolicy)
  const unseen = [...policy.trustAnchors.flatMap(anchorProblem), ...pcrProblems(policy)]
  if (unseen.length > 0) throw new PolicyError(origin, unseen)
  return policy
}

/** What a schema can not see: a value says nothing about a PCR that is not quoted, or if it can not be one of the bank. */
function pcrProblems({ pcrs: { bank, select, values = [] } }: Policy): Problem[] {
  const digits = bank === 'sha256' ? 64 : 96
  return values.flatMap(({ pcr, digests }, index) => {
    const path = `pcrs.values[${String(index)}]`
    const again = values.findIndex((other) => other.pcr === pcr) < index
    return [
      ...(select.includes(pcr) ? [] : [{ path: `${path}.pcr`, problem: 'expected a PCR of pcrs.select' }]),
      ...(again ? [{ path: `${path}.pcr`, problem: 'expected each PCR once' }] : []),
      ...digests.flatMap(({ digest }, at) =>
        digest.length === digits
          ? []
          : [{ path: `${path}.digests[${String(at)}].digest`, problem: `expected a digest of bank ${bank}` }],
      ),
    ]
  })
}

/** A PEM block may hold anything, which a schema cannot see. */
function anchorProblem(pem: string, index: number): Problem[] {
  try {
    parseCertificate(pem)
    return []
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    const problem = 'expected an X.509 certificate, found a PEM block of something else'
    return [{ path: `trustAnchors[${String(index)}]`, problem }]
  }
}

/**
 * The policy in a JSON file. Throws {@link PolicyError} when it is none, and node's error when it cannot be read.
 *
 * @example
 * defineSourcePlugin({ policy: policyFile('reference-values.json') })
 */
export function policyFile(path: string): Policy {
  const text = readFileSync(path, 'utf8')
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    const problem = `expected JSON, found text that does not parse (${cause instanceof Error ? cause.message : ''})`
    throw new PolicyError(path, [{ path: '(whole)', problem }], { cause })
  }
  return parsePolicy(json, path)
}

/** SHA-256 of the policy's canonical JSON (RFC 8785), 32 bytes: what a challenge says it will be judged by. */
export function policyDigest(policy: Policy): Uint8Array {
  return sha256(utf8(canonicalJson(policy)))
}

/** What a challenge by this policy selects: one bank (TPM_ALG) and its PCRs. */
export function selectionOf({ pcrs }: Pick<Policy, 'pcrs'>): Selection {
  return { hash: pcrs.bank === 'sha256' ? TPM_ALG.SHA256 : TPM_ALG.SHA384, pcrs: pcrs.select }
}

/** What the schema lets be written: one field more, and one that may be missing. */
type WrittenPolicy = Omit<Policy, 'allowEmulated'> & {
  readonly $schema?: string
  readonly allowEmulated?: boolean
}

function normalise(written: WrittenPolicy): Policy {
  const { $schema: _, ...policy } = written
  return {
    ...policy,
    pcrs: { ...policy.pcrs, select: [...policy.pcrs.select].sort((a, b) => a - b) },
    allowEmulated: policy.allowEmulated ?? false,
  }
}

/**
 * RFC 8785 for what policies hold: text, integers, booleans, lists and objects. JSON.stringify already writes text and
 * integers as section 3.2.2 asks, and default sorting is by UTF-16 code units as section 3.2.3 does.
 */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).filter(([, item]) => item !== undefined)
  const sorted = fields.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${sorted.map(([name, item]) => `${JSON.stringify(name)}:${canonicalJson(item)}`).join(',')}}`
}
