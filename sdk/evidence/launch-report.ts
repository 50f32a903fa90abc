// The launch report: the platform's signed statement about one VM, made at its launch and, for workers, whenever the
// worker asks with data of its own. It binds what runs, who owns it, on which platform and under which firmware.
// Form: COSE_Sign1 (RFC 9052) with ES256 over canonical CBOR, under the tag below, kid = digest of the report key.

import {
  type Canonical,
  CryptoError,
  decodeMap,
  encodeCanonical,
  field,
  type IdentityKey,
  parse1,
  type PublicKey,
  sign1,
  verify1,
} from '../crypto/index.ts'
import { expectVersion, refusing } from './refusing.ts'
import { LAUNCH_DIGEST_BYTES } from './snp/page-chain.ts'

const TAG = 'palimpsest/v1/launch-report'
const VERSION = 1n
const DIGEST = 32
/** A TPM name: algorithm and digest. */
const MAX_NAME = 66
const MAX_TEXT = 256
const MAX_UINT32 = 0xffffffffn

/** What kind of VM a report speaks of. */
export type LaunchKind = 'guest' | 'worker'

/** The statement. Digests are SHA-256, 32 bytes, but for the launch digest. */
export interface LaunchReport {
  readonly kind: LaunchKind
  /** the VM's name on its host: the host's word, so never an identity */
  readonly vm: string
  /** SHA-256 of the image that runs; zeros for a guest, whose image is not measured */
  readonly measurement: Uint8Array
  /** SEV-SNP launch digest of the VM (launch-digest.ts), 48 bytes; zeros for a guest, whose image is not measured */
  readonly launchDigest: Uint8Array
  /** what a reader should know about the measurement; may be empty */
  readonly note: string
  /** digest of the identity key of the VM's owner (SHA-256 of its SubjectPublicKeyInfo) */
  readonly ownerIdKeyDigest: Uint8Array
  /** data that the VM asked to have signed; zeros when it gave none */
  readonly reportData: Uint8Array
  /** name of the platform's endorsement key (TPM2B_NAME contents) */
  readonly platformId: Uint8Array
  /** digest of the whole firmware image that was booted */
  readonly firmwareImageDigest: Uint8Array
  /** digest of the signed firmware manifest's bytes; zeros when there is none */
  readonly firmwareManifestDigest: Uint8Array
  /** security version of the firmware by its manifest; 0 when there is none */
  readonly svn: number
  /** true: the platform is software, which a policy must allow explicitly */
  readonly emulated: boolean
  /** true: the VM's memory may be read by a debugger */
  readonly debug: boolean
  /** TPMS_CLOCK_INFO at the time of the report */
  readonly resetCount: number
  /** milliseconds of platform time */
  readonly clock: bigint
}

function encode(report: LaunchReport): Uint8Array {
  const map = { version: VERSION, ...report, svn: BigInt(report.svn), resetCount: BigInt(report.resetCount) }
  return encodeCanonical(map satisfies Record<string, Canonical>)
}

const FIELDS: readonly string[] = [
  'version',
  'kind',
  'vm',
  'measurement',
  'launchDigest',
  'note',
  'ownerIdKeyDigest',
  'reportData',
  'platformId',
  'firmwareImageDigest',
  'firmwareManifestDigest',
  'svn',
  'emulated',
  'debug',
  'resetCount',
  'clock',
]

function decode(payload: Uint8Array): LaunchReport {
  const map = decodeMap(payload, 'launch report')
  field.only(map, FIELDS)
  expectVersion(map, 'launch report', VERSION)
  return {
    kind: field.choice(map, 'kind', ['guest', 'worker']),
    vm: field.text(map, 'vm', MAX_TEXT),
    measurement: field.bytes(map, 'measurement', DIGEST),
    launchDigest: field.bytes(map, 'launchDigest', LAUNCH_DIGEST_BYTES),
    note: field.text(map, 'note', MAX_TEXT),
    ownerIdKeyDigest: field.bytes(map, 'ownerIdKeyDigest', DIGEST),
    reportData: field.bytes(map, 'reportData', DIGEST),
    platformId: field.bytesUpTo(map, 'platformId', MAX_NAME),
    firmwareImageDigest: field.bytes(map, 'firmwareImageDigest', DIGEST),
    firmwareManifestDigest: field.bytes(map, 'firmwareManifestDigest', DIGEST),
    svn: Number(field.uint(map, 'svn', MAX_UINT32)),
    emulated: field.bool(map, 'emulated'),
    debug: field.bool(map, 'debug'),
    resetCount: Number(field.uint(map, 'resetCount', MAX_UINT32)),
    clock: field.uint(map, 'clock'),
  }
}

/**
 * Signs a report with the platform's report key. Throws RangeError when a field does not have the shape that a reader
 * would accept.
 */
export function signLaunchReport(report: LaunchReport, reportKey: IdentityKey): Uint8Array {
  const payload = encode(report)
  try {
    decode(payload)
  } catch (cause) {
    if (cause instanceof CryptoError) throw new RangeError(`"report": ${cause.message}`, { cause })
    throw cause
  }
  return sign1({ key: reportKey, payload, tag: TAG, keyId: reportKey.publicKey.digest })
}

/** What a report says, UNVERIFIED: for display and for choosing a key. Throws EvidenceError REPORT_MALFORMED. */
export function parseLaunchReport(message: Uint8Array): LaunchReport {
  return refusing('REPORT_MALFORMED', () => decode(parse1(message).payload))
}

/**
 * What a report says, once its signature by `reportKey` is verified.
 * Throws EvidenceError REPORT_MALFORMED or REPORT_SIGNATURE.
 */
export function verifyLaunchReport(message: Uint8Array, reportKey: PublicKey): LaunchReport {
  const report = parseLaunchReport(message)
  refusing('REPORT_SIGNATURE', () => verify1({ message, publicKey: reportKey, tag: TAG }))
  return report
}
