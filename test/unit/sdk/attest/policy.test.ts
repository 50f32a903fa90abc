// Policies: the published schema and the code agree, errors name the place, the digest does not depend on the writing.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  parsePolicy,
  policyDigest,
  PolicyError,
  policyFile,
  policySchema,
} from '../../../../sdk/attest/index.ts'
import { validateSchema } from '../../../../sdk/attest/json-schema.ts'
import { hex, sha256, utf8 } from '../../../../sdk/crypto/index.ts'
import { makeManufacturer, policyJson } from './world.ts'

const manufacturer = makeManufacturer()
const good = policyJson(manufacturer, [new Uint8Array(32).fill(7)])
const [peer] = good.peers
const digest = 'ab'.repeat(32)

const problemsOf = (json: unknown): readonly { path: string; problem: string }[] => {
  try {
    parsePolicy(json)
    return []
  } catch (error) {
    if (error instanceof PolicyError) return error.problems
    throw error
  }
}

describe('a policy', () => {
  it('comes back with defaults, sorted PCRs and without the editor’s hint', () => {
    const { allowEmulated: _, ...rest } = good
    const policy = parsePolicy({
      ...rest,
      $schema: './policy.json',
      pcrs: { bank: 'sha256', select: [7, 0, 4] },
    })
    expect(policy).toMatchObject({ allowEmulated: false, pcrs: { select: [0, 4, 7] } })
    expect(policy).not.toHaveProperty('$schema')
  })

  it('is a copy', () => {
    const json = structuredClone(good)
    const policy = parsePolicy(json)
    json.hypervisors.length = 0
    expect(policy.hypervisors).toHaveLength(2)
  })

  it('is read from a file, whose name is in its errors', () => {
    const folder = mkdtempSync(join(tmpdir(), 'policy-'))
    const path = join(folder, 'reference-values.json')
    try {
      writeFileSync(path, JSON.stringify(good))
      expect(policyFile(path)).toEqual(parsePolicy(good))
      writeFileSync(path, '{')
      expect(() => policyFile(path)).toThrow('reference-values.json is no policy')
      writeFileSync(path, '{}')
      expect(() => policyFile(path)).toThrow('trustAnchors: expected a value, found nothing')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('[C-30] may be empty everywhere, which refuses everything', () => {
    const empty = { ...good, trustAnchors: [], hypervisors: [], workers: [], peers: [] }
    expect(problemsOf({ ...empty, firmware: { images: [], signers: [], minimumSvn: 0 } })).toEqual([])
  })
})

describe('its digest', () => {
  it('is SHA-256 of canonical JSON (RFC 8785)', () => {
    const json = {
      version: 1,
      trustAnchors: [],
      firmware: { minimumSvn: 0, signers: [], images: [] },
      hypervisors: [],
      workers: [],
      peers: [{ identity: digest, description: 'é "x"' }],
      pcrs: { select: [0, 4, 7], bank: 'sha256' },
    }
    const canonical =
      '{"allowEmulated":false,"firmware":{"images":[],"minimumSvn":0,"signers":[]},"hypervisors":[],"pcrs":' +
      `{"bank":"sha256","select":[0,4,7]},"peers":[{"description":"é \\"x\\"","identity":"${digest}"}],` +
      '"trustAnchors":[],"version":1,"workers":[]}'
    expect(hex(policyDigest(parsePolicy(json)))).toBe(hex(sha256(utf8(canonical))))
  })

  it('does not depend on the order of fields, and does on every value', () => {
    const reversed = Object.fromEntries(Object.entries(good).reverse())
    expect(policyDigest(parsePolicy(reversed))).toEqual(policyDigest(parsePolicy(good)))
    const stricter = { ...good, firmware: { ...good.firmware, minimumSvn: 4 } }
    expect(policyDigest(parsePolicy(stricter))).not.toEqual(policyDigest(parsePolicy(good)))
  })
})

/** Changed policies: what is wrong, the value, and where the error must point. */
const wrong: [title: string, json: unknown, path: string][] = [
  ['no object', [], '(whole)'],
  ['null', null, '(whole)'],
  ['another version', { ...good, version: 2 }, 'version'],
  ['a version as text', { ...good, version: '1' }, 'version'],
  ['a missing list', without('peers'), 'peers'],
  ['an unknown field', { ...good, peer: [] }, 'peer'],
  ['an unknown field with a strange name', { ...good, 'a b': 1 }, '"a b"'],
  ['a field named like a method', { ...good, toString: 1 }, 'toString'],
  ['a trust anchor that is no PEM', { ...good, trustAnchors: ['root.pem'] }, 'trustAnchors[0]'],
  ['a trust anchor that is a number', { ...good, trustAnchors: [1] }, 'trustAnchors[0]'],
  ['a short digest', { ...good, workers: [{ digest }, { digest: 'ab' }] }, 'workers[1].digest'],
  ['a digest in upper case', { ...good, workers: [{ digest: digest.toUpperCase() }] }, 'workers[0].digest'],
  ['a digest beside the entry', { ...good, workers: [digest] }, 'workers[0]'],
  ['an entry without a digest', { ...good, workers: [{}] }, 'workers[0].digest'],
  [
    'a date without a time',
    { ...good, hypervisors: [{ digest, notAfter: '2030-01-01' }] },
    'hypervisors[0].notAfter',
  ],
  [
    'a 13th month',
    { ...good, hypervisors: [{ digest, notAfter: '2030-13-01T00:00:00Z' }] },
    'hypervisors[0].notAfter',
  ],
  [
    'a time zone',
    { ...good, workers: [{ digest, notAfter: '2030-01-01T00:00:00+01:00' }] },
    'workers[0].notAfter',
  ],
  [
    'a signer of 96 digits',
    { ...good, firmware: { ...good.firmware, signers: ['ab'.repeat(48)] } },
    'firmware.signers[0]',
  ],
  ['a fraction as SVN', { ...good, firmware: { ...good.firmware, minimumSvn: 1.5 } }, 'firmware.minimumSvn'],
  ['a negative SVN', { ...good, firmware: { ...good.firmware, minimumSvn: -1 } }, 'firmware.minimumSvn'],
  ['an SVN of 2^32', { ...good, firmware: { ...good.firmware, minimumSvn: 2 ** 32 } }, 'firmware.minimumSvn'],
  ['firmware without signers', { ...good, firmware: { images: [], minimumSvn: 0 } }, 'firmware.signers'],
  ['a peer by name', { ...good, peers: [{ ...peer, vm: 'vm-7' }] }, 'peers[0].vm'],
  ['a peer without identity', { ...good, peers: [{ measurement: digest }] }, 'peers[0].identity'],
  [
    'a peer with a bad measurement',
    { ...good, peers: [{ ...peer, measurement: 5 }] },
    'peers[0].measurement',
  ],
  ['another bank', { ...good, pcrs: { bank: 'sha1', select: [0, 4, 7] } }, 'pcrs.bank'],
  ['PCRs without the firmware’s', { ...good, pcrs: { bank: 'sha256', select: [4, 7] } }, 'pcrs.select'],
  ['PCRs without the configuration’s', { ...good, pcrs: { bank: 'sha256', select: [0, 4] } }, 'pcrs.select'],
  ['a PCR twice', { ...good, pcrs: { bank: 'sha256', select: [0, 4, 7, 7] } }, 'pcrs.select'],
  ['a 25th PCR', { ...good, pcrs: { bank: 'sha256', select: [0, 4, 7, 24] } }, 'pcrs.select[3]'],
  ['allowGroupScope as a list', { ...good, allowGroupScope: ['group'] }, 'allowGroupScope'],
  ['allowEmulated as text', { ...good, allowEmulated: 'false' }, 'allowEmulated'],
  ['resets as text', { ...good, maximumResets: '0' }, 'maximumResets'],
  ['a platform that is no name', { ...good, platforms: [digest] }, 'platforms[0]'],
  ['a description of 2000 characters', { ...good, description: 'x'.repeat(2000) }, 'description'],
  [
    'too many anchors',
    { ...good, trustAnchors: Array.from({ length: 65 }, () => good.trustAnchors[0]) },
    'trustAnchors',
  ],
]

const right: [title: string, json: unknown][] = [
  ['the good one', good],
  [
    'with configuration',
    { ...good, configuration: [{ digest, description: 'laptop', notAfter: '2030-01-31T12:00:00Z' }] },
  ],
  ['with fractions of a second', { ...good, workers: [{ digest, notAfter: '2030-01-31T12:00:00.250Z' }] }],
  ['with SHA-384 digests', { ...good, hypervisors: [{ digest: 'cd'.repeat(48) }] }],
  ['with pinned platforms', { ...good, platforms: [`000b${digest}`, `000c${'ab'.repeat(48)}`] }],
  ['with resets', { ...good, maximumResets: 0 }],
  ['with a measured peer', { ...good, peers: [{ ...peer, measurement: digest, description: '' }] }],
  [
    'with all PCRs',
    { ...good, pcrs: { bank: 'sha384', select: Array.from({ length: 24 }, (_, pcr) => pcr) } },
  ],
  ['with 1024 characters beyond the first plane', { ...good, description: '𝄞'.repeat(1024) }],
]

function without(name: string): object {
  return Object.fromEntries(Object.entries(good).filter(([field]) => field !== name))
}

describe('errors', () => {
  it.each(wrong)('[X-08] of %s point to the place', (_title, json, path) => {
    expect(problemsOf(json).map((problem) => problem.path)).toContain(path)
    for (const { problem } of problemsOf(json)) expect(problem).toMatch(/^expected .+, found .+/)
  })

  it('say everything at once', () => {
    const paths = problemsOf({ ...good, version: 2, workers: [{ digest: 'x' }], allowEmulated: 1 }).map(
      ({ path }) => path,
    )
    expect(paths).toEqual(['version', 'workers[0].digest', 'allowEmulated'])
  })

  it('of a PEM block that is no certificate name it', () => {
    const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
    expect(problemsOf({ ...good, trustAnchors: [...good.trustAnchors, pem] })).toMatchObject([
      { path: 'trustAnchors[1]' },
    ])
  })
})

describe('the published schema', () => {
  const ajv = new Ajv2020({ strict: true, allErrors: true, strictTypes: false })
  const validate = ajv.compile(policySchema)
  const agree = (json: unknown): void => {
    expect(validateSchema(policySchema, json).length === 0, JSON.stringify(ajv.errors)).toBe(validate(json))
  }

  it.each(right)('accepts what the code accepts: %s', (_title, json) => {
    expect(validate(json)).toBe(true)
    expect(validateSchema(policySchema, json)).toEqual([])
  })

  it.each(wrong)('refuses what the code refuses: %s', (_title, json) => {
    expect(validate(json)).toBe(false)
    expect(validateSchema(policySchema, json)).not.toEqual([])
  })

  it('agrees with the code on policies with anything anywhere', () => {
    const names = [...Object.keys(policySchema.properties), 'other']
    const values = fc.oneof(
      fc.jsonValue({ maxDepth: 3 }),
      fc.constantFrom<unknown>(
        1,
        [],
        {},
        '',
        true,
        good.pcrs,
        good.workers,
        good.peers,
        good.firmware,
        [0, 4, 7],
      ),
      fc.array(
        fc.record({ digest: fc.constantFrom(digest, 'x'), notAfter: fc.string() }, { requiredKeys: [] }),
      ),
      fc.record({
        bank: fc.constantFrom('sha256', 'sha1'),
        select: fc.array(fc.integer({ min: -1, max: 25 })),
      }),
    )
    fc.assert(
      fc.property(fc.constantFrom(...names), values, (name, value) => {
        agree({ ...good, [name]: value })
      }),
      { numRuns: 500 },
    )
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        agree(json)
      }),
    )
  })

  it('explains every field', () => {
    const described = (schema: object, path: string): string[] =>
      Object.entries(schema).flatMap(([name, value]: [string, unknown]) => {
        if (name !== 'properties') return nested(value) ? described(value, `${path}.${name}`) : []
        return Object.entries(value as Record<string, object>).flatMap(([field, child]) => [
          ...('description' in child ? [] : [`${path}.${field}`]),
          ...described(child, `${path}.${field}`),
        ])
      })
    const nested = (value: unknown): value is object => typeof value === 'object' && value !== null
    expect(described(policySchema, '')).toEqual([])
  })
})
