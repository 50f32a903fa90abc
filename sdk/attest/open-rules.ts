// What well-formed terms must also satisfy: runs that end within 64 bits and do not overlap, frames that belong to the
// named blocks and to nothing else. The last is least privilege: a VM grants keys for exactly the frames it reads here.

import { type BlockRange, coalesceRanges, rangeEnd } from '../block/index.ts'
import { equalBytes } from '../crypto/index.ts'
import type { Open, OpenMemory } from './open-types.ts'

/** What is wrong with terms, and where. */
export interface OpenProblem {
  readonly path: string
  readonly problem: string
}

/** One past the last block number, for disk blocks and guest pages. */
const BLOCK_END = 1n << 64n
/** One past the last frame: host physical addresses have 64 bits, frames 12 fewer. */
const FRAME_END = 1n << 52n
/** SubjectPublicKeyInfo of an uncompressed P-256 key. */
const SPKI_LENGTH = 91

/** The first rule that `open` breaks, or undefined. */
export function findProblem(open: Open): OpenProblem | undefined {
  return (
    namesProblem(open) ??
    keysProblem(open) ??
    partiesProblem(open) ??
    pairsProblem(open) ??
    storageProblem(open) ??
    (open.memory === null ? undefined : memoryProblem(open, open.memory))
  )
}

function namesProblem({ registration, source, destination, disk }: Open): OpenProblem | undefined {
  const names = {
    registration,
    'source.vm': source.vm,
    'destination.vm': destination.vm,
    ...(disk === null
      ? {}
      : { 'disk.sourceVolume': disk.sourceVolume, 'disk.destinationVolume': disk.destinationVolume }),
  }
  for (const [path, name] of Object.entries(names)) {
    if (name.length < 1 || name.length > 256) {
      return { path, problem: `expected 1 to 256 characters, found ${String(name.length)}` }
    }
  }
  return undefined
}

function keysProblem({ workerKey, receiptKey, platform }: Open): OpenProblem | undefined {
  if (workerKey.length !== 32) return lengthProblem('workerKey', '32', workerKey)
  if (receiptKey.length !== SPKI_LENGTH) return lengthProblem('receiptKey', String(SPKI_LENGTH), receiptKey)
  return platform.length === 34 || platform.length === 50
    ? undefined
    : lengthProblem('platform', '34 or 50', platform)
}

function partiesProblem({ source, destination }: Open): OpenProblem | undefined {
  for (const [path, party] of Object.entries({ source, destination })) {
    if (party.identity.length !== 32) return lengthProblem(`${path}.identity`, '32', party.identity)
    if (party.report.length !== 32) return lengthProblem(`${path}.report`, '32', party.report)
  }
  if (source.vm === destination.vm || equalBytes(source.identity, destination.identity)) {
    return {
      path: 'destination',
      problem: 'expected another VM with another identity than the source, found the same',
    }
  }
  return undefined
}

function lengthProblem(path: string, wanted: string, found: Uint8Array): OpenProblem {
  return { path, problem: `expected ${wanted} bytes, found ${String(found.length)}` }
}

function pairsProblem({ pairs }: Open): OpenProblem | undefined {
  if (pairs.length === 0) return { path: 'pairs', problem: 'expected at least one pair, found none' }
  return (
    spansProblem('pairs (first)', pairs, BLOCK_END) ??
    spansProblem(
      'pairs (second)',
      pairs.map(({ second, count }) => ({ first: second, count })),
      BLOCK_END,
    )
  )
}

function storageProblem({ kind, memory, disk }: Open): OpenProblem | undefined {
  const memoryKind = kind === 'memory-page'
  if ((memory !== null) === memoryKind && (disk !== null) === !memoryKind) return undefined
  return {
    path: 'kind',
    problem: `expected the terms of ${memoryKind ? 'memory' : 'a disk'} alone, found others`,
  }
}

function memoryProblem(
  open: Open,
  { frames, destinationPool, sourcePool }: OpenMemory,
): OpenProblem | undefined {
  const pages = frames.map(({ index, count }) => ({ first: index, count }))
  const lie = frames.map(({ frame, count }) => ({ first: frame, count }))
  const problem =
    spansProblem('memory.frames (pages)', pages, BLOCK_END) ??
    boundsProblem('memory.frames', lie, FRAME_END) ??
    boundsProblem('memory pools', [...destinationPool, ...sourcePool], FRAME_END) ??
    // Two equal pages may lie in one frame, so only the pools must keep clear of everything.
    overlapProblem('memory pools', [...coalesceRanges(lie), ...destinationPool, ...sourcePool])
  if (problem !== undefined) return problem
  const named = coalesceRanges(open.pairs)
  const placed = coalesceRanges(pages)
  const same =
    named.length === placed.length &&
    named.every(({ first, count }, at) => placed[at]?.first === first && placed[at].count === count)
  if (same) return undefined
  return {
    path: 'memory.frames',
    problem: 'expected the frames of exactly the pages in pairs, found those of others',
  }
}

function spansProblem(path: string, spans: readonly BlockRange[], end: bigint): OpenProblem | undefined {
  return boundsProblem(path, spans, end) ?? overlapProblem(path, spans)
}

function boundsProblem(path: string, spans: readonly BlockRange[], end: bigint): OpenProblem | undefined {
  const bad = spans.find((span) => span.first < 0n || span.count < 1n || rangeEnd(span) > end)
  if (bad === undefined) return undefined
  const found = `${bad.count.toString()} from ${bad.first.toString()}`
  return { path, problem: `expected runs of at least 1 that end by ${end.toString()}, found ${found}` }
}

/** Whatever the order of the spans. */
function overlapProblem(path: string, spans: readonly BlockRange[]): OpenProblem | undefined {
  const sorted = [...spans].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))
  const clash = sorted.find(({ first }, at) => {
    const before = at === 0 ? undefined : sorted[at - 1]
    return before !== undefined && rangeEnd(before) > first
  })
  return (
    clash && { path, problem: `expected runs that do not overlap, found ${clash.first.toString()} twice` }
  )
}
