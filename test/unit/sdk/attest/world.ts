// A small world to judge: a manufacturer, software platforms that boot and report, two VMs and a worker. Every part is
// made by the code that real platforms use, and each can be made wrong by itself.

import {
  bindingDigest,
  type AppraisalInput,
  encodeOpen,
  Enroller,
  type EnrolmentRecord,
  makeChallenge,
  type MadeChallenge,
  type Open,
  parsePolicy,
  type Policy,
  policyDigest,
  type Role,
  selectionOf,
  transcriptOf,
} from '../../../../sdk/attest/index.ts'
import {
  generateHpkeKeyPair,
  hex,
  type HpkeKeyPair,
  IdentityKey,
  issueCertificate,
  selfSignedRoot,
  sha256,
  sha384,
  utf8,
} from '../../../../sdk/crypto/index.ts'
import {
  CERTIFICATE_USAGE,
  digestsOf,
  encodeFirmwareBlob,
  encodeImageLoadEvent,
  encodeTaggedEvent,
  EV,
  EVENT_TAG,
  EventLogWriter,
  firmwareManifestDigest,
  type LaunchReport,
  parseEventLog,
  type PlatformEndorsement,
  replayBanks,
  signFirmwareManifest,
  signLaunchReport,
  workerLaunchDigest,
} from '../../../../sdk/evidence/index.ts'
import {
  type EccPublic,
  marshal,
  objectName,
  openCredential,
  pcrDigest,
  selectPcrs,
  TPM_ALG,
  type Quote,
  TPMT_PUBLIC,
} from '../../../../sdk/tpm2/index.ts'
import { publicKeyOfPoint } from './ecc.ts'
import { attestation, attestBytes, softwareAk, softwareEk } from '../tpm2/software-key.ts'

const BANKS = [TPM_ALG.SHA256, TPM_ALG.SHA384]

/** A manufacturer of platforms. */
export function makeManufacturer(name = 'Manufacturer') {
  const key = IdentityKey.generate()
  const certificate = selfSignedRoot({ key, subject: name, days: 30 })
  return { key, certificate }
}

export type Manufacturer = ReturnType<typeof makeManufacturer>

/** A platform: keys, certificates, and what it can sign. */
export function makePlatform({ key, certificate }: Manufacturer) {
  const issuer = { key, certificate }
  const ek = softwareEk()
  const ak = softwareAk()
  const reportKey = IdentityKey.generate()
  const certify = (publicKey: IdentityKey['publicKey'], usage: `${number}.${string}`): Uint8Array =>
    issueCertificate({ issuer, publicKey, subject: 'leaf', days: 10, usages: [usage] }).der
  const endorsement: PlatformEndorsement = {
    ekPublic: marshal(TPMT_PUBLIC, ek.ekPublic),
    ekCertificates: [certify(publicKeyOfPoint(ek.ekPublic.unique), CERTIFICATE_USAGE.endorsementKey)],
    akPublic: marshal(TPMT_PUBLIC, ak.akPublic),
    reportKeyCertificates: [certify(reportKey.publicKey, CERTIFICATE_USAGE.reportKey)],
  }
  return { ek, ak, reportKey, endorsement, ekName: objectName(ek.ekPublic), certify }
}

export type Platform = ReturnType<typeof makePlatform>

/** What the platform's TPM does with a credential for its AK. */
export function activate(
  { ek, ak }: Platform,
  credential: { readonly credentialBlob: Uint8Array; readonly secret: Uint8Array },
  akPublic: EccPublic = ak.akPublic,
): Uint8Array {
  const { credentialBlob, secret } = credential
  return openCredential({ ...ek, objectName: objectName(akPublic), credentialBlob, secret })
}

export function enrol(platform: Platform, manufacturer: Manufacturer): Promise<EnrolmentRecord> {
  const enroller = new Enroller({ trustAnchors: [manufacturer.certificate.pem] })
  return enroller.enrol(platform.endorsement, (credential) => Promise.resolve(activate(platform, credential)))
}

const FIRMWARE = utf8('a firmware image')
const HYPERVISOR = utf8('a hypervisor image')
/** The worker image of every world. */
export const WORKER = utf8('a worker image')
const vendor = IdentityKey.generate()

/** What a platform boots; each part can be replaced. */
export interface BootParts {
  readonly firmware: Uint8Array
  readonly hypervisor: Uint8Array
  readonly configuration: Uint8Array
  readonly manifest: Uint8Array | undefined
  /** further events that the host extends after boot */
  readonly extended: readonly { readonly pcr: number; readonly data: Uint8Array }[]
}

export function manifestOf(firmware: Uint8Array, svn = 3, signer = vendor): Uint8Array {
  return signFirmwareManifest({ digest: sha256(firmware), svn, description: 'test firmware' }, signer)
}

/** A boot, measured. */
export function boot(parts: Partial<BootParts> = {}) {
  const firmware = parts.firmware ?? FIRMWARE
  const all: BootParts = {
    firmware,
    hypervisor: HYPERVISOR,
    configuration: utf8('configuration'),
    manifest: manifestOf(firmware),
    extended: [],
    ...parts,
  }
  const log = new EventLogWriter(BANKS)
  const measure = (pcrIndex: number, eventType: number, measured: Uint8Array, data: Uint8Array): void => {
    log.append({ pcrIndex, eventType, digests: digestsOf(BANKS, measured), data })
  }
  const length = BigInt(all.firmware.length)
  measure(0, EV.EFI_PLATFORM_FIRMWARE_BLOB, all.firmware, encodeFirmwareBlob({ base: 0xff000000n, length }))
  const tagged = [
    { taggedEventID: EVENT_TAG.CONFIGURATION, taggedEventData: all.configuration },
    ...(all.manifest === undefined
      ? []
      : [{ taggedEventID: EVENT_TAG.FIRMWARE_MANIFEST, taggedEventData: all.manifest }]),
  ]
  for (const event of tagged.map(encodeTaggedEvent)) measure(7, EV.EVENT_TAG, event, event)
  const image = encodeImageLoadEvent({
    imageLocationInMemory: 0x100000n,
    imageLengthInMemory: BigInt(all.hypervisor.length),
    imageLinkTimeAddress: 0n,
    devicePath: new Uint8Array(),
  })
  measure(4, EV.EFI_BOOT_SERVICES_APPLICATION, all.hypervisor, image)
  for (const { pcr, data } of all.extended) measure(pcr, EV.EVENT_TAG, data, data)
  return { ...all, eventLog: log.bytes() }
}

export type Boot = ReturnType<typeof boot>

/** The policy that accepts this world's good boot, as JSON; `change` makes another. */
export function policyJson(manufacturer: Manufacturer, peers: readonly Uint8Array[]) {
  return {
    version: 1,
    trustAnchors: [manufacturer.certificate.pem],
    firmware: {
      images: [{ digest: hex(sha256(FIRMWARE)) }, { digest: hex(sha384(FIRMWARE)) }],
      signers: [hex(vendor.publicKey.digest)],
      minimumSvn: 3,
    },
    hypervisors: [{ digest: hex(sha256(HYPERVISOR)) }, { digest: hex(sha384(HYPERVISOR)) }],
    workers: [{ digest: hex(sha256(WORKER)) }],
    peers: peers.map((identity) => ({ identity: hex(identity) })),
    pcrs: { bank: 'sha256', select: [0, 4, 7] },
    allowEmulated: true,
  }
}

/** A registration between two VMs on one platform, with everything that both sides and the worker hold. */
export interface World {
  readonly manufacturer: Manufacturer
  readonly platform: Platform
  readonly enrolment: EnrolmentRecord
  readonly boot: Boot
  readonly identities: Readonly<Record<Role, IdentityKey>>
  readonly reports: Readonly<Record<Role, Uint8Array>>
  readonly worker: HpkeKeyPair
  readonly receiptKey: IdentityKey
  readonly open: Open
}

/** A launch report of this boot; `change` replaces fields. */
export function report(
  { platform, boot: booted }: Pick<World, 'platform' | 'boot'>,
  change: Partial<LaunchReport>,
): Uint8Array {
  const { manifest } = booted
  const fields: LaunchReport = {
    kind: 'guest',
    vm: 'vm',
    measurement: new Uint8Array(32),
    launchDigest: new Uint8Array(48),
    note: '',
    ownerIdKeyDigest: new Uint8Array(32),
    reportData: new Uint8Array(32),
    platformId: platform.ekName,
    firmwareImageDigest: sha256(booted.firmware),
    firmwareManifestDigest: manifest === undefined ? new Uint8Array(32) : firmwareManifestDigest(manifest),
    svn: manifest === undefined ? 0 : 3,
    emulated: true,
    debug: false,
    resetCount: 3,
    clock: 1000n,
    ...change,
  }
  return signLaunchReport(fields, platform.reportKey)
}

export async function makeWorld(
  options: { readonly manufacturer?: Manufacturer; readonly boot?: Boot; readonly svn?: number } = {},
): Promise<World> {
  const manufacturer = options.manufacturer ?? makeManufacturer()
  const platform = makePlatform(manufacturer)
  const booted = options.boot ?? boot()
  const identities = { source: IdentityKey.generate(), destination: IdentityKey.generate() }
  const base = { platform, boot: booted }
  const reportOf = (role: Role): Uint8Array =>
    report(base, { vm: `${role}-vm`, ownerIdKeyDigest: identities[role].publicKey.digest })
  const reports = { source: reportOf('source'), destination: reportOf('destination') }
  const worker = await generateHpkeKeyPair()
  const receiptKey = IdentityKey.generate()
  const party = (role: Role) => ({
    vm: `${role}-vm`,
    identity: identities[role].publicKey.digest,
    report: sha256(reports[role]),
  })
  const open: Open = {
    registration: 'registration-1',
    kind: 'memory-page',
    source: party('source'),
    destination: party('destination'),
    pairs: [
      { first: 16n, second: 32n, count: 4n },
      { first: 100n, second: 200n, count: 1n },
    ],
    memory: {
      frames: [
        { index: 16n, frame: 1000n, count: 4n },
        { index: 100n, frame: 1010n, count: 1n },
      ],
      destinationPool: [{ first: 2000n, count: 5n }],
      sourcePool: [{ first: 3000n, count: 2n }],
    },
    disk: null,
    suite: 'aes-256-xts',
    workerKey: worker.publicKey,
    receiptKey: receiptKey.publicKey.spki,
    platform: platform.ekName,
  }
  const enrolment = await enrol(platform, manufacturer)
  return { manufacturer, platform, enrolment, boot: booted, identities, reports, worker, receiptKey, open }
}

/** The policy of one side: it names the other. */
export function policyOf(world: World, role: Role, change: object = {}): Policy {
  const peer = world.identities[role === 'source' ? 'destination' : 'source'].publicKey.digest
  return parsePolicy({ ...policyJson(world.manufacturer, [peer]), ...change })
}

/** A quote of this boot. */
export function quote(
  { platform, boot: booted }: Pick<World, 'platform' | 'boot'>,
  policy: Policy,
  extraData: Uint8Array,
  change: Partial<Quote> = {},
): { attest: Uint8Array; signature: Uint8Array } {
  const { hash, pcrs } = selectionOf(policy)
  const pcrSelect = [selectPcrs(hash, pcrs)]
  const digest = pcrDigest(pcrSelect, replayBanks(parseEventLog(booted.eventLog), [hash]))
  const attested = { pcrSelect, pcrDigest: digest }
  const attest = attestBytes({ ...attestation(platform.ak.akPublic, extraData), attested, ...change })
  return { attest, signature: platform.ak.sign(attest) }
}

/** Which parts of an honest round are replaced. */
export interface RoundChange {
  readonly role?: Role
  readonly policy?: Policy
  readonly open?: Open
  /** fields of the worker's report */
  readonly worker?: Partial<LaunchReport>
  /** fields of the quote */
  readonly attest?: Partial<Quote>
  readonly challenge?: MadeChallenge
}

/** Challenge, evidence and what the VM knows: an honest round but for `change`. */
export function round(world: World, change: RoundChange = {}): AppraisalInput {
  const { role = 'source', open = world.open } = change
  const policy = change.policy ?? policyOf(world, role)
  const transcript = transcriptOf(encodeOpen(open))
  const identity = world.identities[role]
  const challenge =
    change.challenge ??
    makeChallenge({
      identity,
      transcript,
      role,
      selection: selectionOf(policy),
      policyDigest: policyDigest(policy),
    })
  const binding = bindingDigest(transcript, role, challenge.nonce)
  const [first] = open.pairs
  const block = { kind: open.kind, generation: 0n }
  return {
    policy,
    enrolment: world.enrolment,
    open,
    transcript,
    role,
    challenge,
    own: { vm: `${role}-vm`, identity: identity.publicKey.digest },
    approved: { kind: 'memory-page', pairs: world.open.pairs },
    peerReport: world.reports[role === 'source' ? 'destination' : 'source'],
    delivery: {
      measurement: sha256(world.boot.firmware),
      firstBlock: { ...block, vm: open.source.vm, index: first?.first ?? 0n },
      secondBlock: { ...block, vm: open.destination.vm, index: first?.second ?? 0n },
      quote: quote(world, policy, binding, change.attest),
      eventLog: world.boot.eventLog,
      firmwareManifest: world.boot.manifest ?? new Uint8Array(),
      workerReport: report(world, {
        kind: 'worker',
        vm: 'worker-1',
        measurement: sha256(WORKER),
        launchDigest: workerLaunchDigest(WORKER),
        reportData: binding,
        ...change.worker,
      }),
    },
  }
}
