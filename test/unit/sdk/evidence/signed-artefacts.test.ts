// Launch report, firmware manifest and share statement: what is signed reads back, anything else has its own code.

import { describe, expect, it } from 'vitest'
import {
  type CanonicalMap,
  decodeMap,
  encodeCanonical,
  IdentityKey,
  parse1,
  sha256,
  sign1,
} from '../../../../sdk/crypto/index.ts'
import {
  EvidenceError,
  type EvidenceErrorCode,
  firmwareManifestDigest,
  type LaunchReport,
  makeShareStatement,
  parseLaunchReport,
  signFirmwareManifest,
  signLaunchReport,
  verifyFirmwareManifest,
  verifyLaunchReport,
  verifyShareStatement,
} from '../../../../sdk/evidence/index.ts'

const key = IdentityKey.generate()
const other = IdentityKey.generate()

const report: LaunchReport = {
  kind: 'worker',
  vm: 'worker-1',
  measurement: new Uint8Array(32).fill(1),
  launchDigest: new Uint8Array(48).fill(9),
  note: '',
  ownerIdKeyDigest: new Uint8Array(32).fill(2),
  reportData: new Uint8Array(32).fill(3),
  platformId: Uint8Array.from([0, 0x0b, ...new Uint8Array(32).fill(4)]),
  firmwareImageDigest: new Uint8Array(32).fill(5),
  firmwareManifestDigest: new Uint8Array(32).fill(6),
  svn: 7,
  emulated: true,
  debug: false,
  resetCount: 8,
  clock: 2n ** 40n,
}
const manifest = { digest: sha256(new Uint8Array(10)), svn: 3, description: 'test firmware' }

function codeOf(work: () => unknown): EvidenceErrorCode | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof EvidenceError) return error.code
    throw error
  }
}

/** The message's payload with some fields replaced, signed anew under `tag`. */
function resigned(message: Uint8Array, changes: CanonicalMap, tag: string) {
  const payload = encodeCanonical({ ...decodeMap(parse1(message).payload, 'test'), ...changes })
  return sign1({ key, payload, tag, keyId: key.publicKey.digest })
}

function lastOctetFlipped(message: Uint8Array): Uint8Array {
  return message.map((octet, index) => (index === message.length - 1 ? octet ^ 1 : octet))
}

describe('launch report', () => {
  const message = signLaunchReport(report, key)
  const tag = 'palimpsest/v1/launch-report'

  it('[C-29 control] reads back equal under the report key', () => {
    expect(verifyLaunchReport(message, key.publicKey)).toEqual(report)
    expect(parseLaunchReport(message)).toEqual(report)
  })

  it('[C-29] another key, a changed signature and another tag are REPORT_SIGNATURE', () => {
    expect(codeOf(() => verifyLaunchReport(message, other.publicKey))).toBe('REPORT_SIGNATURE')
    expect(codeOf(() => verifyLaunchReport(lastOctetFlipped(message), key.publicKey))).toBe(
      'REPORT_SIGNATURE',
    )
    const foreign = resigned(message, {}, 'palimpsest/v1/firmware-manifest')
    expect(codeOf(() => verifyLaunchReport(foreign, key.publicKey))).toBe('REPORT_SIGNATURE')
    expect(codeOf(() => verifyLaunchReport(resigned(message, {}, tag), key.publicKey))).toBeUndefined()
  })

  it('[C-29] wrong, missing and unknown fields are REPORT_MALFORMED though signed', () => {
    for (const changes of [
      { version: 2n },
      { version: 0n },
      { kind: 'hypervisor' },
      { measurement: new Uint8Array(31) },
      { launchDigest: new Uint8Array(32) },
      { emulated: 1n },
      { svn: 2n ** 32n },
      { more: true },
    ]) {
      expect(codeOf(() => verifyLaunchReport(resigned(message, changes, tag), key.publicKey))).toBe(
        'REPORT_MALFORMED',
      )
    }
    expect(codeOf(() => parseLaunchReport(message.slice(0, -1)))).toBe('REPORT_MALFORMED')
    expect(codeOf(() => parseLaunchReport(new Uint8Array(0)))).toBe('REPORT_MALFORMED')
  })

  it('is not signed with fields that no reader would accept', () => {
    expect(() => signLaunchReport({ ...report, reportData: new Uint8Array(31) }, key)).toThrow(RangeError)
    expect(() => signLaunchReport({ ...report, vm: 'x'.repeat(257) }, key)).toThrow(RangeError)
  })
})

describe('firmware manifest', () => {
  const message = signFirmwareManifest(manifest, key)

  it('carries its signer, whose digest a policy names', () => {
    const read = verifyFirmwareManifest(message)
    expect(read).toEqual({ ...manifest, signer: key.publicKey.digest, signerKey: key.publicKey.spki })
    expect(firmwareManifestDigest(message)).toEqual(sha256(message))
  })

  it('a manifest that another key signed in the name of this one is refused', () => {
    const payload = parse1(message).payload
    const tag = 'palimpsest/v1/firmware-manifest'
    const forged = sign1({ key: other, payload, tag, keyId: key.publicKey.digest })
    expect(codeOf(() => verifyFirmwareManifest(forged))).toBe('MANIFEST_SIGNATURE')
    expect(codeOf(() => verifyFirmwareManifest(sign1({ key: other, payload, tag })))).toBe('MANIFEST_SIGNER')
    const swapped = resigned(message, { signerKey: other.publicKey.spki }, tag)
    expect(codeOf(() => verifyFirmwareManifest(swapped))).toBe('MANIFEST_SIGNER')
    expect(codeOf(() => verifyFirmwareManifest(lastOctetFlipped(message)))).toBe('MANIFEST_SIGNATURE')
    expect(codeOf(() => verifyFirmwareManifest(resigned(message, { svn: -1n }, tag)))).toBe(
      'MANIFEST_MALFORMED',
    )
  })

  it('refuses to sign what does not fit', () => {
    expect(() => signFirmwareManifest({ ...manifest, digest: new Uint8Array(31) }, key)).toThrow(RangeError)
    expect(() => signFirmwareManifest({ ...manifest, svn: -1 }, key)).toThrow(RangeError)
    expect(() => signFirmwareManifest({ ...manifest, svn: 2 ** 32 }, key)).toThrow(RangeError)
  })
})

describe('share statement', () => {
  const pairs = [{ first: 0n, second: 16n, count: 4n }]
  const peer = other.publicKey.digest
  const message = makeShareStatement({ identity: key, peer, pairs, notAfter: 1000n })

  it('says whom the owner lets share what, and until when', () => {
    expect(verifyShareStatement(message, key.publicKey)).toEqual({ peer, pairs, notAfter: 1000n })
  })

  it('[A-31] only the owner can make one', () => {
    expect(codeOf(() => verifyShareStatement(message, other.publicKey))).toBe('STATEMENT_SIGNATURE')
    const tag = 'palimpsest/v1/share-statement'
    for (const changes of [
      { pairs: [[0n, 1n]] },
      { pairs: [[0n, 1n, 0n]] },
      { peer: 'x' },
      { version: 2n },
    ]) {
      expect(codeOf(() => verifyShareStatement(resigned(message, changes, tag), key.publicKey))).toBe(
        'STATEMENT_MALFORMED',
      )
    }
    expect(() => makeShareStatement({ identity: key, peer: new Uint8Array(1), pairs, notAfter: 0n })).toThrow(
      RangeError,
    )
  })
})
