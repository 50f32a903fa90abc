// Values on the command line: sizes, hexadecimal bytes, PCR selections, identities. Each says what it expected.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidArgumentError } from 'commander'
import { fromHex, hex } from '../../sdk/crypto/index.ts'
import { type Identity, readIdentity } from '../testbed/index.ts'
import { CommandFailure, EXIT } from './output.ts'

const UNITS: Readonly<Record<string, number>> = { '': 1, KiB: 1 << 10, MiB: 1 << 20, GiB: 1 << 30 }

/** `4096`, `16MiB`, `1GiB`: a number of bytes, a multiple of 4096. */
export function sizeValue(text: string): number {
  const match = /^(\d+)(|KiB|MiB|GiB)$/.exec(text)
  const bytes = match === null ? NaN : Number(match[1]) * (UNITS[match[2] ?? ''] ?? NaN)
  if (Number.isSafeInteger(bytes) && bytes % 4096 === 0) return bytes
  throw new InvalidArgumentError('expected a size like 4096, 16MiB or 1GiB, a multiple of 4096 bytes')
}

/** A whole number. */
export function integerValue(text: string): number {
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text)
  throw new InvalidArgumentError('expected a whole number')
}

/** A 64-bit number, decimal or 0x…. */
export function bigintValue(text: string): bigint {
  if (/^(\d+|0x[0-9a-fA-F]+)$/.test(text)) return BigInt(text)
  throw new InvalidArgumentError('expected a whole number, decimal or 0x…')
}

/** Bytes in hexadecimal. */
export function hexValue(text: string): Uint8Array {
  if (/^([0-9a-fA-F]{2})*$/.test(text)) return fromHex(text.toLowerCase())
  throw new InvalidArgumentError('expected bytes in hexadecimal')
}

/** TPM_ALG_ID by name, as in `sha256:0,4,7`. */
const BANKS: Readonly<Record<string, number>> = { sha256: 0x000b, sha384: 0x000c }

/** `sha256:0,4,7`: a PCR selection. */
export function selectionValue(text: string): { hash: number; pcrs: number[] } {
  const [bank = '', list = ''] = text.split(':')
  const hash = BANKS[bank]
  const pcrs = [...new Set(list.split(',').map(Number))].sort((a, b) => a - b)
  if (
    hash === undefined ||
    list === '' ||
    pcrs.some((pcr) => !Number.isInteger(pcr) || pcr < 0 || pcr > 23)
  ) {
    throw new InvalidArgumentError('expected a bank and PCRs, like sha256:0,4,7')
  }
  return { hash, pcrs }
}

/** The identity of that name in the emulator's folder. @throws CommandFailure when there is none */
export function knownIdentity(directory: string, name: string): Identity {
  const folder = join(directory, 'identities', name)
  if (existsSync(join(folder, 'certificate.pem'))) return readIdentity(folder)
  const advice = `make it with "palimpsest identity create ${name}"`
  throw new CommandFailure(
    EXIT.usage,
    `no identity "${name}" was found in ${join(directory, 'identities')}: ${advice}`,
  )
}

/** A peer as a policy names it: the digest of an identity key, given as such or by the identity's name. */
export function peerDigest(directory: string, peer: string): string {
  if (/^[0-9a-fA-F]{64}$/.test(peer)) return peer.toLowerCase()
  return hex(knownIdentity(directory, peer).key.publicKey.digest)
}
