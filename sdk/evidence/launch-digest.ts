// SEV-SNP launch digests: what AMD's firmware measures when a VMM launches a guest, computed beforehand from files. A
// verifier compares the digest of a report with it (here: of the launch report of a worker; on real hardware: field
// MEASUREMENT of ATTESTATION_REPORT).
//
// Order, as QEMU launches a guest: the firmware's pages from 4 GiB - size upwards; the sections that its metadata ask
// for; one VMSA page for each vCPU. The first vCPU begins at the reset vector, the others where the firmware says.
//
// A worker image is launched as the firmware of a VM with one vCPU:
//   contents     the image, filled up with zeros to whole pages of 4096 bytes. The image's own last byte is not zero,
//                so that no two images fill the same pages
//   address      4 GiB - contents: the contents end at 4 GiB, as all firmware does
//   page type    NORMAL, in ascending order; no metadata sections
//   vCPU         one, CPU model EPYC-v4 (signature 0x800f12), SEV_FEATURES 1, reset state: it begins at 0xfffffff0, in
//                the image's last page. Its VMSA page comes last
// Each page's address is in its PAGE_INFO, and the vCPU's state is a page of the chain: an image elsewhere, a vCPU with
// another state, or one more, has another digest. The place is a convention: node runs the image, no processor does.

import { EvidenceError } from './errors.ts'
import { FIRMWARE_END, readSevFirmware, type SevFirmware, type SnpSection } from './snp/firmware.ts'
import { type DirectBoot, HASH_TABLE_BYTES, kernelHashesPage } from './snp/kernel-hashes.ts'
import { PAGE_BYTES, PageChain } from './snp/page-chain.ts'
import { cpuSignature, RESET_ADDRESS, vmsaPage } from './snp/vcpu.ts'

/** As many vCPUs as any VMM gives. */
const MAX_VCPUS = 4096
/** Bit 0 of SEV_FEATURES. */
const SNP_ACTIVE = 1n

/** A guest as QEMU would launch it. */
export interface SnpGuest {
  /** firmware image: OVMF, whole pages */
  readonly firmware: Uint8Array
  /** 1 to 4096 */
  readonly vcpus: number
  /** signature of the CPU model: see {@link cpuSignature} */
  readonly cpuSignature: number
  /** SEV_FEATURES of the vCPUs; 1 (SNP active) unless the VMM turns on more */
  readonly guestFeatures: bigint
  /** what is booted directly, with its hashes measured (QEMU: kernel-hashes=on) */
  readonly directBoot?: DirectBoot | undefined
}

/**
 * The launch digest, 48 bytes. Of firmware without SEV metadata its pages and the vCPUs count, but no such guest boots:
 * ask {@link readSevFirmware} first. Throws EvidenceError FIRMWARE_MALFORMED, FIRMWARE_UNSUITABLE when the firmware can
 * not do what is asked for, and RangeError for values outside their ranges.
 *
 * @example
 * const digest = snpLaunchDigest({ firmware, vcpus: 2, cpuSignature: cpuSignature('EPYC-v4'), guestFeatures: 1n })
 */
export function snpLaunchDigest(guest: SnpGuest): Uint8Array {
  const { firmware, vcpus, cpuSignature: signature, guestFeatures: features } = guest
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS) {
    throw new RangeError(`"vcpus" expected 1 to ${String(MAX_VCPUS)}, got ${String(vcpus)}`)
  }
  if ((features & SNP_ACTIVE) === 0n) {
    throw new RangeError(`"guestFeatures" expected bit 0, SNP active, got 0x${features.toString(16)}`)
  }
  const says = readSevFirmware(firmware)
  const chain = firmwarePages(firmware)
  addSections(chain, says, guest.directBoot)
  chain.addVmsa(vmsaPage({ address: RESET_ADDRESS, signature, features }))
  if (vcpus > 1) {
    const page = vmsaPage({ address: says.apResetAddress ?? noResetBlock(), signature, features })
    for (let at = 1; at < vcpus; at++) chain.addVmsa(page)
  }
  return chain.digest
}

/** The digest of the firmware's pages alone, by which the digest of any guest with it begins. Throws as snpLaunchDigest(). */
export function snpFirmwareDigest(firmware: Uint8Array): Uint8Array {
  readSevFirmware(firmware)
  return firmwarePages(firmware).digest
}

/** The launch digest of a worker image, as told above. Throws RangeError for an image that is empty or ends in a zero byte. */
export function workerLaunchDigest(image: Uint8Array): Uint8Array {
  if (image.length === 0) throw new RangeError('expected an image, found no bytes')
  if (image.at(-1) === 0)
    throw new RangeError('expected an image whose last byte is not zero: pages are filled up with zeros')
  const pages = new Uint8Array(Math.ceil(image.length / PAGE_BYTES) * PAGE_BYTES)
  pages.set(image)
  const chain = firmwarePages(pages)
  chain.addVmsa(vmsaPage({ address: RESET_ADDRESS, signature: cpuSignature('EPYC-v4'), features: 1n }))
  return chain.digest
}

function firmwarePages(contents: Uint8Array): PageChain {
  const chain = new PageChain()
  chain.addContents(FIRMWARE_END - contents.length, contents)
  return chain
}

function addSections(chain: PageChain, says: SevFirmware, directBoot: DirectBoot | undefined): void {
  const { sections = [] } = says
  if (directBoot !== undefined && !sections.some(({ type }) => type === 'KERNEL_HASHES')) {
    unsuitable('a KERNEL_HASHES section for the hashes of what is booted directly, found none')
  }
  for (const section of sections) addSection(chain, section, says, directBoot)
}

function addSection(
  chain: PageChain,
  { type, address, length }: SnpSection,
  says: SevFirmware,
  directBoot: DirectBoot | undefined,
): void {
  if (type === 'KERNEL_HASHES' && directBoot !== undefined) {
    chain.addContents(address, kernelHashesPage(directBoot, hashTableOffset(says, address)))
  } else if (type === 'SNP_SECRETS') chain.addBare('SECRETS', address, length)
  else if (type === 'CPUID') chain.addBare('CPUID', address, length)
  else chain.addBare('ZERO', address, length)
}

/** Where in the page at `page` the firmware looks for the hash table. */
function hashTableOffset({ hashTable }: SevFirmware, page: number): number {
  if (hashTable === undefined)
    return unsuitable('a place for the hash table of what is booted directly, found none')
  const { address, length } = hashTable
  const offset = address - page
  if (offset >= 0 && offset + HASH_TABLE_BYTES <= PAGE_BYTES && length >= HASH_TABLE_BYTES) return offset
  return unsuitable(
    `a hash table of ${String(HASH_TABLE_BYTES)} bytes in the KERNEL_HASHES section, found ${String(length)} bytes elsewhere`,
  )
}

function noResetBlock(): never {
  return unsuitable('an SEV-ES reset block, which says where further vCPUs begin, found none')
}

function unsuitable(expected: string): never {
  throw new EvidenceError('FIRMWARE_UNSUITABLE', `expected firmware with ${expected}`)
}
