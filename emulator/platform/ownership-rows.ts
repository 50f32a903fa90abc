// What goes into and comes out of the frame ownership table: VMs, runs, names, rows; and how they read in messages.

import { PalimpsestError, type FrameState } from '../../sdk/rpc/index.ts'
import { SparseIndex } from './memory/sparse.ts'
import { ownershipFault } from './refusals.ts'

/** What the table knows of a VM. Made by {@link OwnershipTable.addVm}. */
export class OwnerVm {
  readonly name: string
  readonly number: number
  /** Guest pages: indexes run from 0 to pages - 1. */
  readonly pages: number
  /** Guest page -> frame + 1. */
  readonly frames = new SparseIndex()

  constructor(name: string, number: number, pages: number) {
    this.name = name
    this.number = number
    this.pages = pages
  }
}

/** A run of guest pages in a run of frames. */
export interface Run {
  readonly index: number
  readonly frame: number
  readonly count: number
}

/** Page `first + i` of one VM goes with page `second + i` of another. */
export interface Pair {
  readonly first: number
  readonly second: number
  readonly count: number
}

/** A name, by VM name. */
export interface NameOfFrame {
  readonly vm: string
  readonly index: number
}

/** One copy between frames, as a worker asks for it. */
export interface CopyBetweenFrames {
  readonly firstFrame: number
  readonly first: NameOfFrame
  readonly secondFrame: number
  readonly second: NameOfFrame
}

/** A row for the host. */
export interface FrameDescription {
  readonly frame: number
  readonly state: FrameState
  readonly generation: number
  readonly names: readonly NameOfFrame[]
  /** Of a RESERVED frame, else ''. */
  readonly registration: string
}

/** Refuses guest pages that a VM does not have. @throws OUT_OF_RANGE */
export function checkPages(vm: OwnerVm, index: number, count: number): void {
  if (index >= 0 && count >= 1 && index + count <= vm.pages) return
  throw new PalimpsestError(
    'OUT_OF_RANGE',
    `expected guest pages 0..${vm.pages - 1} of "${vm.name}", found ${count} from ${index}`,
    { metadata: { vm: vm.name, expected: String(vm.pages), found: String(index + count) } },
  )
}

/** Refuses what is in `seen` already, and adds it. @throws OWNERSHIP_FAULT */
export function expectOnce(seen: Set<number>, value: number, what: string): void {
  if (seen.has(value)) throw ownershipFault(`${what} ${value}`, 'once in a request', 'twice')
  seen.add(value)
}

/** Adds a page to the runs, into the last one where it continues it. */
export function appendRun(runs: Run[], index: number, frame: number): void {
  const last = runs.at(-1)
  if (last !== undefined && last.index + last.count === index && last.frame + last.count === frame) {
    runs[runs.length - 1] = { ...last, count: last.count + 1 }
  } else {
    runs.push({ index, frame, count: 1 })
  }
}

/** Whether a row has that name. */
export function hasName(found: FrameDescription, name: NameOfFrame): boolean {
  return found.names.some(({ vm, index }) => vm === name.vm && index === name.index)
}

/** A name in words. */
export function nameText({ vm, index }: NameOfFrame): string {
  return `"${vm}" page ${index}`
}

/** A state as the documentation writes it. */
export function stateName(state: FrameState): string {
  return state.replace('-', '_').toUpperCase()
}

/** A row in words, for messages: only names and numbers are in it. */
export function describeState({ state, names, registration }: FrameDescription): string {
  if (state === 'reserved') return `RESERVED for "${registration}"`
  if (names.length === 0) return stateName(state)
  const shown = names.slice(0, 3).map(nameText).join(', ')
  return `${stateName(state)} of ${shown}${names.length > 3 ? ` and ${names.length - 3} more` : ''}`
}
