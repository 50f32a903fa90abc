// What the writer of firmware volumes (volume.ts) and their reader (uefi/) both know of the format.
// Source: UEFI Platform Initialization Specification 1.8, Volume 3, clauses 3.2.1 (EFI_FIRMWARE_VOLUME_HEADER), 3.2.2
// (file systems), 3.2.3 (EFI_FFS_FILE_HEADER), 3.2.4 (EFI_COMMON_SECTION_HEADER).

/** EFI_FIRMWARE_FILE_SYSTEM2_GUID. */
export const FFS2_GUID = '8c8ce578-8a3d-4f1c-9935-896185c32dd3'

/** EFI_FV_FILETYPE_*. */
export const FILE_TYPE = {
  RAW: 0x01,
  FREEFORM: 0x02,
  PEI_CORE: 0x04,
  FIRMWARE_VOLUME_IMAGE: 0x0b,
  SMM_CORE: 0x0d,
  PAD: 0xf0,
} as const

/** EFI_SECTION_*. */
export const SECTION_TYPE = {
  GUID_DEFINED: 0x02,
  PE32: 0x10,
  VERSION: 0x14,
  USER_INTERFACE: 0x15,
  FIRMWARE_VOLUME_IMAGE: 0x17,
  RAW: 0x19,
} as const

/** EFI_FVH_SIGNATURE, as it lies in the header. */
export const VOLUME_SIGNATURE = '_FVH'
/** EFI_FFS_FILE_HEADER in bytes. */
export const FILE_HEADER_LENGTH = 24
/** Files start at multiples of this, from the start of the volume. */
export const FILE_ALIGNMENT = 8
/** Sections start at multiples of this, from the start of the file's body. */
export const SECTION_ALIGNMENT = 4
/** FFS_ATTRIB_CHECKSUM: the file's data have a checksum of their own. */
export const ATTRIB_CHECKSUM = 0x40
/** FFS_FIXED_CHECKSUM: stands where the data have none. */
export const FIXED_CHECKSUM = 0xaa

/** The octet that makes the sum of all octets zero. */
export function checksum8(bytes: Uint8Array): number {
  return -bytes.reduce((sum, octet) => sum + octet, 0) & 0xff
}

/** The 16-bit value that makes the sum of all little-endian 16-bit values zero; `bytes` of even length. */
export function checksum16(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let sum = 0
  for (let offset = 0; offset < bytes.length; offset += 2) sum += view.getUint16(offset, true)
  return -sum & 0xffff
}
