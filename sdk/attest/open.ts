// The terms of a registration, as the worker fixes them: who, which blocks, which frames, which keys seal and sign.
// Both VMs judge the same bytes; T, their digest, goes into every challenge, quote, report and grant, so that nothing
// made for one registration serves another. Form: canonical CBOR, key names as below.

import { blockKinds, type BlockRange } from '../block/index.ts'
import {
  assertBytes,
  type Canonical,
  type CanonicalMap,
  decodeMap,
  encodeCanonical,
  expect,
  field,
  FormatError,
  taggedDigest,
} from '../crypto/index.ts'
import { findProblem } from './open-rules.ts'
import type { Open, OpenDisk, OpenMemory, OpenParty } from './open-types.ts'

const TAG = 'palimpsest/v1/open'
const HPKE_SUITE = 'x25519-hkdf-sha256-aes-256-gcm'

/** Longest encoding of terms that is looked at: 4 MiB, some 200,000 runs. */
export const OPEN_LIMIT = 4 * 1024 * 1024
const MAX_RUNS = 262_144
const MAX_NAME = 256

/** The canonical bytes of terms. Throws RangeError naming what is wrong, TypeError for a wrong type. */
export function encodeOpen(open: Open): Uint8Array {
  const problem = findProblem(open)
  if (problem !== undefined) throw new RangeError(`"open": ${problem.path}: ${problem.problem}`)
  const bytes = encodeCanonical({
    v: 1n,
    registration: open.registration,
    kind: open.kind,
    source: partyMap(open.source),
    destination: partyMap(open.destination),
    pairs: open.pairs.map(({ first, second, count }) => [first, second, count]),
    memory: open.memory === null ? null : memoryMap(open.memory),
    disk: open.disk === null ? null : diskMap(open.disk),
    suite: open.suite,
    workerKey: open.workerKey,
    receiptKey: open.receiptKey,
    platform: open.platform,
    hpke: HPKE_SUITE,
  })
  if (bytes.length <= OPEN_LIMIT) return bytes
  throw new RangeError(
    `"open" expected at most ${String(OPEN_LIMIT)} bytes, got ${String(bytes.length)}; name fewer runs`,
  )
}

/** Terms from their canonical bytes. Throws crypto's FormatError for anything that encodeOpen would not have written. */
export function decodeOpen(bytes: Uint8Array): Open {
  assertBytes('bytes', bytes)
  if (bytes.length > OPEN_LIMIT) {
    throw new FormatError(
      'open',
      `expected at most ${String(OPEN_LIMIT)} bytes, found ${String(bytes.length)}`,
    )
  }
  const map = decodeMap(bytes, 'open')
  field.only(map, FIELDS)
  if (field.uint(map, 'v') !== 1n) throw new FormatError('open.v', 'expected version 1, found another')
  field.choice(map, 'hpke', [HPKE_SUITE])
  const open: Open = {
    registration: field.text(map, 'registration', MAX_NAME),
    kind: field.choice(map, 'kind', blockKinds),
    source: readParty(field.map(map, 'source')),
    destination: readParty(field.map(map, 'destination')),
    pairs: readTriples(map, 'pairs').map(([first, second, count]) => ({ first, second, count })),
    memory: map['memory'] === null ? null : readMemory(field.map(map, 'memory')),
    disk: map['disk'] === null ? null : readDisk(field.map(map, 'disk')),
    suite: field.choice(map, 'suite', ['aes-256-xts']),
    workerKey: field.bytes(map, 'workerKey', 32),
    receiptKey: field.bytesUpTo(map, 'receiptKey', 256),
    platform: field.bytesUpTo(map, 'platform', 66),
  }
  const problem = findProblem(open)
  if (problem !== undefined) throw new FormatError(`open.${problem.path}`, problem.problem)
  return open
}

/** T = SHA-256("palimpsest/v1/open" ‖ 0 ‖ terms), 32 bytes. */
export function transcriptOf(openBytes: Uint8Array): Uint8Array {
  return taggedDigest(TAG, openBytes)
}

const FIELDS = [
  ...['v', 'registration', 'kind', 'source', 'destination', 'pairs', 'memory', 'disk'],
  ...['suite', 'workerKey', 'receiptKey', 'platform', 'hpke'],
]

function partyMap({ vm, identity, report }: OpenParty): CanonicalMap {
  return { vm, identity, report }
}

function memoryMap({ frames, destinationPool, sourcePool }: OpenMemory): CanonicalMap {
  const spans = (list: readonly BlockRange[]): Canonical => list.map(({ first, count }) => [first, count])
  return {
    frames: frames.map(({ index, frame, count }) => [index, frame, count]),
    destinationPool: spans(destinationPool),
    sourcePool: spans(sourcePool),
  }
}

function diskMap({ sourceVolume, destinationVolume }: OpenDisk): CanonicalMap {
  return { sourceVolume, destinationVolume }
}

function readParty(map: CanonicalMap): OpenParty {
  field.only(map, ['vm', 'identity', 'report'])
  return {
    vm: field.text(map, 'vm', MAX_NAME),
    identity: field.bytes(map, 'identity', 32),
    report: field.bytes(map, 'report', 32),
  }
}

function readMemory(map: CanonicalMap): OpenMemory {
  field.only(map, ['frames', 'destinationPool', 'sourcePool'])
  return {
    frames: readTriples(map, 'frames').map(([index, frame, count]) => ({ index, frame, count })),
    destinationPool: readSpans(map, 'destinationPool'),
    sourcePool: readSpans(map, 'sourcePool'),
  }
}

function readDisk(map: CanonicalMap): OpenDisk {
  field.only(map, ['sourceVolume', 'destinationVolume'])
  return {
    sourceVolume: field.text(map, 'sourceVolume', MAX_NAME),
    destinationVolume: field.text(map, 'destinationVolume', MAX_NAME),
  }
}

function readSpans(map: CanonicalMap, name: string): BlockRange[] {
  return readNumbers(map, name, 2).map(([first = 0n, count = 0n]) => ({ first, count }))
}

function readTriples(map: CanonicalMap, name: string): [bigint, bigint, bigint][] {
  return readNumbers(map, name, 3).map(([a = 0n, b = 0n, c = 0n]) => [a, b, c])
}

/** A list of lists of `length` integers each. */
function readNumbers(map: CanonicalMap, name: string, length: number): bigint[][] {
  return field.list(map, name, MAX_RUNS).map((item, row) => {
    const path = `${name}[${String(row)}]`
    const numbers = expect.list(item, path, length)
    if (numbers.length !== length) {
      throw new FormatError(path, `expected ${String(length)} integers, found ${String(numbers.length)}`)
    }
    return numbers.map((number) => expect.uint(number, path))
  })
}
