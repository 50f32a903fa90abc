// `palimpsest tpm nv read`, `write`, `increment` and `lock`: the data of NV indices, and who may use it.
// Source: TPM 2.0 Library, Part 3, clause 31 (NV storage), revision 1.59.

import { Command, Option } from 'commander'
import { hex } from '../../../../sdk/crypto/index.ts'
import {
  TPM2_NV_Extend,
  TPM2_NV_Increment,
  TPM2_NV_Read,
  TPM2_NV_ReadLock,
  TPM2_NV_ReadPublic,
  TPM2_NV_SetBits,
  TPM2_NV_Write,
  TPM2_NV_WriteLock,
  TPM_NT,
  TPM_PT,
  TPM_RH,
  TPMA_NV,
  type TPMS_NV_PUBLIC,
} from '../../../../sdk/tpm2/index.ts'
import { CommandFailure, EXIT } from '../../output.ts'
import { property } from '../../tpm/capabilities.ts'
import { nvType } from '../../tpm/nv-attributes.ts'
import { onTpm, type TpmFlags, type TpmSession, withTpm } from '../../tpm/session.ts'
import {
  AUTH_HELP,
  authValue,
  DATA_HELP,
  dataValue,
  handleText,
  nvIndexValue,
  writePrivate,
} from '../../tpm/values.ts'
import { integerValue } from '../../values.ts'

/** Where the TPM does not say how much it reads or writes at a time. */
const SMALLEST_BUFFER = 512
/** Bytes of a counter, a bit field or a PIN index. */
export const NV_NUMBER_SIZE = 8

/** What the commands about one index take. */
export interface NvFlags extends TpmFlags {
  readonly auth?: string
  readonly ownerAuth?: string
  readonly platformAuth?: string
}

/** A command about one index. */
export function indexCommand(name: string): Command {
  return withTpm(new Command(name)).argument('<index>', 'like 0x1500016', nvIndexValue)
}

/** Adds the ways to authorize the use of an index. */
function withUse(command: Command): Command {
  return command
    .option('--auth <value>', `authorize with the index's own authorization value: ${AUTH_HELP}`)
    .option('--owner-auth <value>', "authorize as the owner, with the owner's value")
    .option('--platform-auth <value>', "authorize as the platform, with the platform's value")
    .addHelpText(
      'after',
      "\nWithout any of them, the index's attributes decide whether its own or the owner's empty value is used.",
    )
}

/** Who uses an index: a handle, its authValue, and what is known of the index. */
interface Use {
  readonly authHandle: number
  readonly auth: Uint8Array
  readonly nvPublic: TPMS_NV_PUBLIC
}

async function useOf(
  tpm: TpmSession,
  nvIndex: number,
  flags: NvFlags,
  access: 'read' | 'write',
): Promise<Use> {
  const given = (
    [
      [nvIndex, flags.auth],
      [TPM_RH.OWNER, flags.ownerAuth],
      [TPM_RH.PLATFORM, flags.platformAuth],
    ] as const
  ).filter(([, value]) => value !== undefined)
  if (given.length > 1) {
    throw new CommandFailure(
      EXIT.usage,
      'expected one of --auth, --owner-auth and --platform-auth, found more',
    )
  }
  const [one] = given
  const auth = authValue(one?.[1])
  const { nvPublic } = await tpm.client.call(TPM2_NV_ReadPublic, { nvIndex })
  return { authHandle: one?.[0] ?? emptyAuthOf(nvPublic, access), auth, nvPublic }
}

/** Who may use the index, going by its attributes. */
function emptyAuthOf({ nvIndex, attributes }: TPMS_NV_PUBLIC, access: 'read' | 'write'): number {
  const has = (read: number, write: number) => (attributes & (access === 'read' ? read : write)) !== 0
  if (has(TPMA_NV.AUTHREAD, TPMA_NV.AUTHWRITE)) return nvIndex
  if (has(TPMA_NV.OWNERREAD, TPMA_NV.OWNERWRITE)) return TPM_RH.OWNER
  if (has(TPMA_NV.PPREAD, TPMA_NV.PPWRITE)) return TPM_RH.PLATFORM
  const message = `${handleText(nvIndex)} can be used by its policy only: see tpm2_nvread and tpm2_nvwrite -P session:`
  throw new CommandFailure(EXIT.usage, message)
}

async function bufferSize(tpm: TpmSession): Promise<number> {
  return (await property(tpm.client, TPM_PT.NV_BUFFER_MAX)) ?? SMALLEST_BUFFER
}

interface ReadFlags extends NvFlags {
  readonly size?: number
  readonly offset: number
  readonly out?: string
}

/** `palimpsest tpm nv read` */
export function readCommand(): Command {
  return withUse(indexCommand('read'))
    .description('Print the data of an NV index in hexadecimal.')
    .addOption(new Option('--size <bytes>', 'how many (default: all that follow)').argParser(integerValue))
    .addOption(new Option('--offset <bytes>', 'where to begin').argParser(integerValue).default(0))
    .option('--out <file>', 'write them there as they are, readable for you alone; "-": to standard output')
    .action(read)
}

async function read(nvIndex: number, flags: ReadFlags): Promise<void> {
  await onTpm(flags, async (tpm) => {
    const use = await useOf(tpm, nvIndex, flags, 'read')
    const size = flags.size ?? Math.max(0, use.nvPublic.dataSize - flags.offset)
    const data = await readBytes(tpm, use, flags.offset, size)
    const index = handleText(nvIndex)
    if (flags.out === '-') process.stdout.write(data)
    else if (flags.out !== undefined) {
      writePrivate(flags.out, data)
      tpm.out.result({ index, size: data.length, out: flags.out }, () => [`written to ${String(flags.out)}`])
    } else {
      const number = numberIn(use.nvPublic.attributes, data)
      tpm.out.result({ index, size: data.length, data, value: number ?? null }, () => [
        number === undefined ? hex(data) : `${number.toString()} (0x${hex(data)})`,
      ])
    }
  })
}

async function readBytes(tpm: TpmSession, use: Use, offset: number, size: number): Promise<Uint8Array> {
  const { authHandle, auth, nvPublic } = use
  const most = await bufferSize(tpm)
  const data = new Uint8Array(size)
  let at = 0
  // An index of size 0 is read too: whether it may be is the TPM's to say.
  do {
    const request = {
      authHandle,
      nvIndex: nvPublic.nvIndex,
      size: Math.min(most, size - at),
      offset: offset + at,
    }
    const part = await tpm.authorized(TPM2_NV_Read, request, { auth })
    data.set(part.data.subarray(0, size - at), at)
    at += Math.max(1, part.data.length)
  } while (at < size)
  return data
}

/** What a counter or a bit field holds. */
function numberIn(attributes: number, data: Uint8Array): bigint | undefined {
  const type = nvType(attributes)
  if ((type !== TPM_NT.COUNTER && type !== TPM_NT.BITS) || data.length !== NV_NUMBER_SIZE) return undefined
  return new DataView(data.buffer, data.byteOffset).getBigUint64(0)
}

/** `palimpsest tpm nv write` */
export function writeCommand(): Command {
  return withUse(indexCommand('write'))
    .argument('<data>', DATA_HELP)
    .description(
      'Write data to an NV index; an index of kind extend is extended, of kind bits gets these bits set.',
    )
    .addOption(new Option('--offset <bytes>', 'where to begin').argParser(integerValue).default(0))
    .action(write)
}

async function write(
  nvIndex: number,
  text: string,
  flags: NvFlags & { readonly offset: number },
): Promise<void> {
  const data = dataValue(text)
  await onTpm(flags, async (tpm) => {
    const { authHandle, auth, nvPublic } = await useOf(tpm, nvIndex, flags, 'write')
    const index = handleText(nvIndex)
    switch (nvType(nvPublic.attributes)) {
      case TPM_NT.EXTEND:
        await tpm.authorized(TPM2_NV_Extend, { authHandle, nvIndex, data }, { auth })
        break
      case TPM_NT.BITS:
        await tpm.authorized(TPM2_NV_SetBits, { authHandle, nvIndex, bits: bitsOf(data) }, { auth })
        break
      default:
        await writeBytes(tpm, { authHandle, auth, nvPublic }, flags.offset, data)
    }
    tpm.out.result({ index, size: data.length, offset: flags.offset }, () => [
      `${String(data.length)} bytes to ${index}`,
    ])
  })
}

function bitsOf(data: Uint8Array): bigint {
  if (data.length === NV_NUMBER_SIZE) return new DataView(data.buffer, data.byteOffset).getBigUint64(0)
  throw new CommandFailure(
    EXIT.usage,
    `expected ${String(NV_NUMBER_SIZE)} bytes for an index of kind bits, found ${String(data.length)}`,
  )
}

async function writeBytes(tpm: TpmSession, use: Use, offset: number, data: Uint8Array): Promise<void> {
  const { authHandle, auth, nvPublic } = use
  // What does not fit is refused whole, not after a part of it was written.
  const end = offset + data.length
  if (end > nvPublic.dataSize) {
    const message = `expected data for ${String(nvPublic.dataSize)} bytes, found some up to ${String(end)}`
    throw new CommandFailure(EXIT.usage, message)
  }
  const most = await bufferSize(tpm)
  for (let at = 0; at === 0 || at < data.length; at += most) {
    const part = data.subarray(at, at + most)
    const request = { authHandle, nvIndex: nvPublic.nvIndex, data: part, offset: offset + at }
    await tpm.authorized(TPM2_NV_Write, request, { auth })
  }
}

/** `palimpsest tpm nv increment` */
export function incrementCommand(): Command {
  return withUse(indexCommand('increment'))
    .description('Count an NV counter up by one.')
    .action(async (nvIndex: number, flags: NvFlags) => {
      await onTpm(flags, async (tpm) => {
        const { authHandle, auth } = await useOf(tpm, nvIndex, flags, 'write')
        await tpm.authorized(TPM2_NV_Increment, { authHandle, nvIndex }, { auth })
        const index = handleText(nvIndex)
        tpm.out.result({ index, incremented: true }, () => [`${index} has counted up`])
      })
    })
}

interface LockFlags extends NvFlags {
  readonly read?: boolean
  readonly write?: boolean
}

/** `palimpsest tpm nv lock` */
export function lockCommand(): Command {
  return withUse(indexCommand('lock'))
    .description(
      'Lock an NV index until the next power cycle (attributes read_stclear, write_stclear), or for ever (writedefine).',
    )
    .option('--read', 'nobody can read it any more')
    .option('--write', 'nobody can write it any more')
    .action(lock)
}

async function lock(nvIndex: number, flags: LockFlags): Promise<void> {
  if (flags.read !== true && flags.write !== true) {
    throw new CommandFailure(EXIT.usage, 'expected --read, --write or both')
  }
  await onTpm(flags, async (tpm) => {
    for (const access of ['read', 'write'] as const) {
      if (flags[access] !== true) continue
      const { authHandle, auth } = await useOf(tpm, nvIndex, flags, access)
      const row = access === 'read' ? TPM2_NV_ReadLock : TPM2_NV_WriteLock
      await tpm.authorized(row, { authHandle, nvIndex }, { auth })
    }
    const index = handleText(nvIndex)
    const locked = { read: flags.read === true, write: flags.write === true }
    tpm.out.result({ index, locked }, () => [`${index} is locked`])
  })
}
