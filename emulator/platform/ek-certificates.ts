// EK certificates where software looks for them: in NV memory at the indices of the EK Credential Profile, beside the EKs
// that they are for. The platform has one for its own EK; a TPM that is served has those that tools expect.
// Source: TCG EK Credential Profile, version 2.5, clauses 2.2 (NV indices) and 3 (certificate fields); TCG PC Client
// Platform TPM Profile, version 1.05, clause on NV indices (attributes); TPM 2.0 Library, Part 3, clause 31.

import {
  type Certificate,
  type CertificateContent,
  der,
  type DirectoryAttribute,
  utf8,
  equalBytes,
} from '../../sdk/crypto/index.ts'
import { CERTIFICATE_USAGE } from '../../sdk/evidence/index.ts'
import {
  callDirectly,
  type Execute,
  passwordSession,
  publicKeyOf,
  TPM2_GetCapability,
  TPM2_NV_DefineSpace,
  TPM2_NV_Read,
  TPM2_NV_ReadPublic,
  TPM2_NV_UndefineSpace,
  TPM2_NV_Write,
  TPM2_NV_WriteLock,
  TPM_ALG,
  TPM_CAP,
  TPM_PT,
  TPM_RH,
  TPMA_NV,
  type TPMT_PUBLIC,
} from '../../sdk/tpm2/index.ts'
import { ifPresent, makePersistent, persistentPublic } from './persistent-keys.ts'
import { EK_HANDLE, EK_TEMPLATE, RSA_EK_HANDLE, RSA_EK_TEMPLATE } from './templates.ts'

/** An EK and where it and its certificate lie. */
export interface EkPlace {
  readonly template: TPMT_PUBLIC
  readonly persistentHandle: number
  readonly nvIndex: number
}

/** RSA 2048: template L-1. */
export const RSA_EK: EkPlace = {
  template: RSA_EK_TEMPLATE,
  persistentHandle: RSA_EK_HANDLE,
  nvIndex: 0x01c00002,
}
/** ECC NIST P256: template L-2. */
export const ECC_EK: EkPlace = { template: EK_TEMPLATE, persistentHandle: EK_HANDLE, nvIndex: 0x01c0000a }

/** Who certifies EKs. */
export interface EkIssuer {
  /** A certificate of the key, a DER SubjectPublicKeyInfo. */
  certify(publicKey: Uint8Array, content: Omit<CertificateContent, 'days'>): Certificate
  /** The certified key as DER SubjectPublicKeyInfo, when the certificate is this issuer's and valid for an EK now. */
  certifiedEk(certificate: Uint8Array): Uint8Array | undefined
}

/**
 * The platform's index: its firmware makes and writes it, everybody reads it, and it is locked for good once it is
 * written.
 */
const NV_ATTRIBUTES =
  TPMA_NV.PLATFORMCREATE |
  TPMA_NV.PPWRITE |
  TPMA_NV.PPREAD |
  TPMA_NV.OWNERREAD |
  TPMA_NV.AUTHREAD |
  TPMA_NV.NO_DA |
  TPMA_NV.WRITEDEFINE
/** One TPM2_NV_Read or TPM2_NV_Write: what the PC Client profile has every TPM take. */
const NV_BUFFER = 512
const NONE = new Uint8Array(0)

/**
 * Sees to it that a TPM has EKs at their persistent handles and `issuer`'s certificates for them in NV memory, DER, and
 * returns those in the order of `places`. What is there and good stays as it is. `tpm` is started, and new or with
 * platform authorization empty, as it is after every TPM2_Startup(CLEAR); a new EK also needs endorsement and owner
 * authorization empty. Throws TpmResponseError.
 */
export function provisionEkCertificates(
  tpm: { execute(command: Uint8Array): Uint8Array },
  issuer: EkIssuer,
  places: readonly EkPlace[] = [RSA_EK, ECC_EK],
): Uint8Array[] {
  const execute: Execute = (command) => tpm.execute(command)
  return places.map((place) => provision(execute, issuer, place))
}

function provision(execute: Execute, issuer: EkIssuer, place: EkPlace): Uint8Array {
  const { persistentHandle, nvIndex, template } = place
  const stored = readLocked(execute, nvIndex)
  const present = persistentPublic(execute, persistentHandle)
  const certified = stored === undefined ? undefined : issuer.certifiedEk(stored)
  // TPM2_Clear evicts the EK and leaves its certificate, which is still good: the seed is the same.
  if (stored !== undefined && certified !== undefined) {
    if (present === undefined || equalBytes(spkiOf(present), certified)) return stored
  }
  const ek = present ?? makePersistent(execute, template, persistentHandle)
  const certificate = issuer.certify(spkiOf(ek), ekContent(execute, ek))
  if (stored !== undefined) undefine(execute, nvIndex)
  writeLocked(execute, nvIndex, certificate.der)
  return certificate.der
}

/** What an NV index holds; undefined when there is none, no bytes when its writing was not finished. */
function readLocked(execute: Execute, nvIndex: number): Uint8Array | undefined {
  const found = ifPresent(() => callDirectly(execute, TPM2_NV_ReadPublic, { nvIndex }))
  if (found === undefined) return undefined
  const { attributes, dataSize } = found.nvPublic
  if ((attributes & TPMA_NV.WRITTEN) === 0 || (attributes & TPMA_NV.WRITELOCKED) === 0) return NONE
  const bytes = new Uint8Array(dataSize)
  for (let offset = 0; offset < dataSize; offset += NV_BUFFER) {
    const request = {
      authHandle: TPM_RH.PLATFORM,
      nvIndex,
      size: Math.min(NV_BUFFER, dataSize - offset),
      offset,
    }
    bytes.set(callDirectly(execute, TPM2_NV_Read, request, [passwordSession()]).data, offset)
  }
  return bytes
}

function undefine(execute: Execute, nvIndex: number): void {
  const request = { authHandle: TPM_RH.PLATFORM, nvIndex }
  callDirectly(execute, TPM2_NV_UndefineSpace, request, [passwordSession()])
}

function writeLocked(execute: Execute, nvIndex: number, data: Uint8Array): void {
  const [authHandle, sessions] = [TPM_RH.PLATFORM, [passwordSession()]]
  const publicInfo = {
    nvIndex,
    nameAlg: TPM_ALG.SHA256,
    attributes: NV_ATTRIBUTES >>> 0,
    authPolicy: NONE,
    dataSize: data.length,
  }
  callDirectly(execute, TPM2_NV_DefineSpace, { authHandle, auth: NONE, publicInfo }, sessions)
  for (let offset = 0; offset < data.length; offset += NV_BUFFER) {
    const part = data.subarray(offset, offset + NV_BUFFER)
    callDirectly(execute, TPM2_NV_Write, { authHandle, nvIndex, data: part, offset }, sessions)
  }
  callDirectly(execute, TPM2_NV_WriteLock, { authHandle, nvIndex }, sessions)
}

function spkiOf(publicArea: TPMT_PUBLIC): Uint8Array {
  return new Uint8Array(publicKeyOf(publicArea).export({ format: 'der', type: 'spki' }))
}

/** Attribute types of TPMs (EK Credential Profile, 3.1.2 and 3.1.3). */
const TCG_AT = {
  manufacturer: '2.23.133.2.1',
  model: '2.23.133.2.2',
  version: '2.23.133.2.3',
  specification: '2.23.133.2.16',
} as const

/** The fields that the profile wants. The names say which TPM it is by what that TPM says of itself. */
function ekContent(execute: Execute, ek: TPMT_PUBLIC): Omit<CertificateContent, 'days'> {
  const { manufacturer, model, version, ...specification } = identityOf(execute)
  return {
    subject: 'CN=Palimpsest endorsement key,O=Palimpsest emulated platform',
    // RFC 4514 writes the last attribute first.
    directoryName: `${TCG_AT.version}=${version},${TCG_AT.model}=${model},${TCG_AT.manufacturer}=${manufacturer}`,
    directoryAttributes: [tpmSpecification(specification)],
    usages: [CERTIFICATE_USAGE.endorsementKey],
    keyUse: ek.type === TPM_ALG.RSA ? 'encipher' : 'agree',
  }
}

interface Specification {
  readonly family: string
  readonly level: number
  readonly revision: number
}

/** TPMSpecification ::= SEQUENCE { family UTF8String, level INTEGER, revision INTEGER }. */
function tpmSpecification({ family, level, revision }: Specification): DirectoryAttribute {
  const integer = (value: number): Uint8Array => der.unsigned(Uint8Array.of(value >> 8, value))
  const text = der.element(der.Tag.utf8String, utf8(family))
  return { oid: TCG_AT.specification, value: der.sequence(text, integer(level), integer(revision)) }
}

interface Identity extends Specification {
  readonly manufacturer: string
  readonly model: string
  readonly version: string
}

/** What the TPM says about itself, numbers as the profile writes them: "id:" and eight hexadecimal digits. */
function identityOf(execute: Execute): Identity {
  const { capabilityData } = callDirectly(execute, TPM2_GetCapability, {
    capability: TPM_CAP.TPM_PROPERTIES,
    property: TPM_PT.PT_FIXED,
    propertyCount: TPM_PT.FIRMWARE_VERSION_2 - TPM_PT.PT_FIXED,
  })
  const properties = new Map(
    capabilityData.capability === TPM_CAP.TPM_PROPERTIES
      ? capabilityData.data.map(({ property, value }) => [property, value])
      : [],
  )
  const number = (property: number): number => properties.get(property) ?? 0
  const text = (property: number): string => fourCharacters(number(property))
  const id = (property: number): string =>
    `id:${number(property).toString(16).toUpperCase().padStart(8, '0')}`
  return {
    manufacturer: id(TPM_PT.MANUFACTURER),
    // The first vendor string only says that this is a software TPM.
    model: [TPM_PT.VENDOR_STRING_2, TPM_PT.VENDOR_STRING_3, TPM_PT.VENDOR_STRING_4].map(text).join(''),
    version: id(TPM_PT.FIRMWARE_VERSION_1),
    family: text(TPM_PT.FAMILY_INDICATOR),
    level: number(TPM_PT.LEVEL),
    revision: number(TPM_PT.REVISION),
  }
}

/** A property that is text: four characters, the last ones zero when it is shorter. */
function fourCharacters(property: number): string {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, property)
  return new TextDecoder().decode(bytes).replace(/\0+$/, '')
}
