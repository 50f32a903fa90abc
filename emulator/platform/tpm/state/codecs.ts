// Shapes that the TPM's state needs beyond the Library's structures. State is marshalled like any TPM structure, so that
// what is read back is checked byte by byte, and contexts and snapshots use the same codecs as the file.

import { type Codec, Reader, UINT32 } from '../../../../sdk/tpm2/index.ts'

/** More bytes than any part of the state has. */
const MAX_BYTES = 1 << 20

/** A value that may be absent: one octet, 0 or 1, then the value. */
export function optional<T>(codec: Codec<T>): Codec<T | undefined> {
  return {
    name: `${codec.name}?`,
    read: (reader) => (flag(reader) ? codec.read(reader) : undefined),
    write: (writer, value) => {
      writer.uint8(value === undefined ? 0 : 1)
      if (value !== undefined) codec.write(writer, value)
    },
  }
}

function flag(reader: Reader): boolean {
  const value = reader.uint8()
  if (value > 1) reader.fail(`expected 0 or 1 before an optional value, found ${String(value)}`)
  return value === 1
}

/** Bytes with a 32-bit size: a TPM2B would be too short. */
export const LONG_BYTES: Codec<Uint8Array> = {
  name: 'bytes',
  read: (reader) => {
    const size = reader.uint32()
    if (size > MAX_BYTES) reader.fail(`expected at most ${String(MAX_BYTES)} bytes, found ${String(size)}`)
    return reader.bytes(size)
  },
  write: (writer, value) => {
    writer.uint32(value.length)
    writer.bytes(value)
  },
}

/** A map by handle or number: a count, then keys and values. */
export function mapOf<T>(codec: Codec<T>): Codec<Map<number, T>> {
  return {
    name: `map of ${codec.name}`,
    read: (reader) => {
      const map = new Map<number, T>()
      for (let left = UINT32.read(reader); left > 0; left -= 1) {
        map.set(reader.uint32(), codec.read(reader))
      }
      return map
    },
    write: (writer, value) => {
      writer.uint32(value.size)
      for (const [key, item] of value) {
        writer.uint32(key)
        codec.write(writer, item)
      }
    },
  }
}

/** A codec of another type, through a pair of conversions. */
export function mapped<A, B>(codec: Codec<A>, from: (value: A) => B, to: (value: B) => A): Codec<B> {
  return {
    name: codec.name,
    read: (reader) => from(codec.read(reader)),
    write: (writer, value) => {
      codec.write(writer, to(value))
    },
  }
}

/** One of a few words, as the octet of its position. */
export function oneOf<const T extends string>(name: string, words: readonly T[]): Codec<T> {
  return {
    name,
    read: (reader) => {
      const value = words[reader.uint8()]
      return value ?? reader.fail(`expected one of ${words.join(', ')}`)
    },
    write: (writer, value) => {
      writer.uint8(words.indexOf(value))
    },
  }
}

/**
 * Reads one whole state. Other than unmarshal() it takes any length: a TPM whose NV memory is full has a state of more
 * bytes than a structure of a command or response. Throws Tpm2Error MALFORMED.
 */
export function readState<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const reader = new Reader(bytes, codec.name)
  const state = codec.read(reader)
  reader.end()
  return state
}
