// The frame ownership table (systems, 2.7 and 2.9; design, section 8): which VM each frame belongs to, at which guest
// page, under which key. The platform asks it at every access and every copy, so the host may map and propose what it
// likes. A move is checked whole before anything changes; an illegal one changes nothing.
//
//   FREE -> RESERVED(registration, vm) -> PRIVATE(vm, page) -> SHARED_RO(names) -> PRIVATE | FREE
//
// A "name" of a frame is a pair (vm, page). Each name has at most one frame.

import { PalimpsestError, type FrameState } from '../../sdk/rpc/index.ts'
import { Bindings, MAX_BINDINGS } from './memory/bindings.ts'
import { FrameRecords } from './memory/frame-records.ts'
import { SharerLists } from './memory/sharers.ts'
import { Registrations } from './memory/registrations.ts'
import {
  appendRun,
  checkPages,
  describeState,
  expectOnce,
  hasName,
  nameText,
  OwnerVm,
  stateName,
  type CopyBetweenFrames,
  type FrameDescription,
  type NameOfFrame,
  type Pair,
  type Run,
} from './ownership-rows.ts'
import { invalid, ownershipFault } from './refusals.ts'

/** Keys that can open frames which one VM made: none yet, location, common, both. */
const KEYS_PER_VM = 4
/** Guest pages fit 32 bits of a row: 16 TiB. */
export const MAX_GUEST_PAGES = 2 ** 32

/** What the table needs of its surroundings. `K` is whatever stands for a key; it is compared by identity only. */
export interface OwnershipHooks {
  /** Makes a frame read as zeros, before it becomes FREE. `generation` is the one that it will have then. */
  scrub(frame: number, generation: number): void
}

/** The table. Frames and pages are plain integers; the services translate and check 64-bit values. */
export class OwnershipTable<K> {
  readonly frames: number
  readonly #records: FrameRecords
  readonly #sharers = new SharerLists()
  readonly #bindings = new Bindings<OwnerVm, K>()
  readonly #vms: (OwnerVm | undefined)[] = []
  readonly #vmsByName = new Map<string, OwnerVm>()
  readonly #registrations = new Registrations()
  readonly #hooks: OwnershipHooks

  constructor(frames: number, hooks: OwnershipHooks) {
    this.frames = frames
    this.#records = new FrameRecords(frames)
    this.#hooks = hooks
  }

  /** Number of frames in each state. */
  get totals(): Readonly<Record<FrameState, number>> {
    return this.#records.totals
  }

  /** Bytes of rows and of the VMs' own indexes of their pages; sharers' names are not counted. */
  get bytes(): number {
    return this.#vms.reduce((sum, vm) => sum + (vm?.frames.bytes ?? 0), this.#records.bytes)
  }

  // --- VMs ---

  /** Adds a VM that owns nothing. @throws RESOURCE_EXHAUSTED when rows could not tell one more VM's frames apart. */
  addVm(name: string, pages: number): OwnerVm {
    if (this.#vmsByName.has(name)) throw new RangeError('"name" expected a name that is not in the table')
    const wanted = this.#bindings.size + KEYS_PER_VM * (this.#vmsByName.size + 1)
    if (wanted > MAX_BINDINGS) {
      throw new PalimpsestError('RESOURCE_EXHAUSTED', 'expected a free key slot, found none: terminate a VM')
    }
    const unused = this.#vms.indexOf(undefined)
    const number = unused === -1 ? this.#vms.length : unused
    const vm = new OwnerVm(name, number, pages)
    this.#vms[number] = vm
    this.#vmsByName.set(name, vm)
    return vm
  }

  /** Removes a VM: every name of it is taken off, and frames that nobody else has are scrubbed and FREE. */
  removeVm(vm: OwnerVm): void {
    for (const frame of this.#records.framesIn('reserved')) {
      if (this.#bindings.get(this.#records.binding(frame))?.vm === vm) this.#free(frame)
    }
    for (const [index, entry] of vm.frames.entries()) this.#dropName(entry - 1, vm, index)
    vm.frames.clear()
    this.#vms[vm.number] = undefined
    this.#vmsByName.delete(vm.name)
  }

  // --- What is so ---

  /** The frame that VM's guest page `index` has, or -1. A frame is that VM's at that page, or shared with it, if so. */
  frameAt(vm: OwnerVm, index: number): number {
    return vm.frames.get(index) - 1
  }

  /** State of a frame. */
  state(frame: number): FrameState {
    return this.#records.state(frame)
  }

  /** Counts the frame's writes and changes of state; a change of its names alone is neither. */
  generation(frame: number): number {
    return this.#records.generation(frame)
  }

  /** What opens a PRIVATE or SHARED_RO frame. */
  keyOf(frame: number): K | undefined {
    return this.#records.state(frame) === 'reserved'
      ? undefined
      : this.#bindings.get(this.#records.binding(frame))?.key
  }

  /** A row. @throws INVALID_ARGUMENT for a frame that does not exist. */
  describe(frame: number): FrameDescription {
    this.#checkFrame(frame)
    const state = this.#records.state(frame)
    const registration = state === 'reserved' ? this.#registrations.name(this.#records.index(frame)) : ''
    return {
      frame,
      state,
      generation: this.generation(frame),
      names: this.#names(frame, state),
      registration,
    }
  }

  // --- Moves of the host ---

  /** FREE -> PRIVATE(vm, page). `key` is what opens the frame now. @throws OWNERSHIP_FAULT */
  assign(vm: OwnerVm, runs: readonly Run[], key: K): void {
    const frames = new Set<number>()
    const indexes = new Set<number>()
    for (const run of runs) {
      checkPages(vm, run.index, run.count)
      this.#checkFrame(run.frame + run.count - 1)
      for (let i = 0; i < run.count; i++) {
        this.#expectState(run.frame + i, 'free')
        this.#expectNoFrame(vm, run.index + i)
        expectOnce(frames, run.frame + i, 'frame')
        expectOnce(indexes, run.index + i, 'guest page')
      }
    }
    for (const run of runs) {
      for (let i = 0; i < run.count; i++) {
        this.#own(run.frame + i, vm, run.index + i, this.#bindings.take(vm, key))
      }
    }
  }

  /** FREE -> RESERVED(registration, vm). `key` is only kept with the frame. @throws OWNERSHIP_FAULT */
  reserve(registration: string, vm: OwnerVm, frames: readonly number[], key: K): void {
    const seen = new Set<number>()
    for (const frame of frames) {
      this.#expectState(frame, 'free')
      expectOnce(seen, frame, 'frame')
    }
    if (frames.length === 0) return
    const number = this.#registrations.take(registration, frames.length)
    for (const frame of frames) {
      this.#records.move(frame, 'reserved', this.#bindings.take(vm, key), number)
    }
  }

  /** RESERVED -> FREE; no `frames` means all of the registration. Returns how many. @throws OWNERSHIP_FAULT */
  release(registration: string, frames: readonly number[]): number {
    const chosen = frames.length > 0 ? frames : this.#reservedFor(registration)
    const seen = new Set<number>()
    for (const frame of chosen) {
      const found = this.describe(frame)
      if (found.state !== 'reserved' || found.registration !== registration) {
        throw ownershipFault(`frame ${frame}`, `RESERVED for "${registration}"`, describeState(found))
      }
      expectOnce(seen, frame, 'frame')
    }
    for (const frame of chosen) this.#free(frame)
    return chosen.length
  }

  /**
   * PRIVATE or SHARED_RO -> SHARED_RO with one more name each. The caller has checked the owner's consent. `seal` is
   * called for each frame that becomes SHARED_RO now, and returns what opens it from then on; `expectSealable` before, for
   * all of them, and may throw.
   * Returns the frames, in the order of the pairs. @throws OWNERSHIP_FAULT
   */
  share(
    owner: OwnerVm,
    peer: OwnerVm,
    pairs: readonly Pair[],
    seal: (frame: number, key: K) => K,
    expectSealable: (frame: number, key: K) => void = () => undefined,
  ): Run[] {
    const seconds = new Set<number>()
    for (const pair of pairs) {
      checkPages(owner, pair.first, pair.count)
      checkPages(peer, pair.second, pair.count)
      for (let i = 0; i < pair.count; i++) {
        this.#expectMadeBy(owner, pair.first + i)
        this.#expectNoFrame(peer, pair.second + i)
        expectOnce(seconds, pair.second + i, 'guest page of the peer')
        const frame = this.frameAt(owner, pair.first + i)
        const key = this.keyOf(frame)
        if (this.#records.state(frame) === 'private' && key !== undefined) expectSealable(frame, key)
      }
    }
    const runs: Run[] = []
    for (const pair of pairs) {
      for (let i = 0; i < pair.count; i++) {
        const frame = this.#shareOne(owner, pair.first + i, seal)
        this.#sharers.add(frame, peer.number, pair.second + i)
        peer.frames.set(pair.second + i, frame + 1)
        appendRun(runs, pair.first + i, frame)
      }
    }
    return runs
  }

  /** SHARED_RO with one name -> PRIVATE, where the VM's own slot opens the frame. @throws OWNERSHIP_FAULT */
  upgrade(vm: OwnerVm, indexes: readonly number[], opens: (key: K) => boolean): void {
    const seen = new Set<number>()
    for (const index of indexes) {
      checkPages(vm, index, 1)
      const frame = this.frameAt(vm, index)
      const place = `guest page ${index} of "${vm.name}"`
      if (frame < 0) throw ownershipFault(place, 'a SHARED_RO frame', 'no frame')
      this.#expectState(frame, 'shared-ro')
      if (!this.#sharers.isSingle(frame)) {
        throw ownershipFault(place, 'the last name of its frame', describeState(this.describe(frame)))
      }
      const key = this.keyOf(frame)
      if (key === undefined || !opens(key)) {
        throw ownershipFault(place, "a frame that the VM's own slot key opens", 'a frame under another key')
      }
      expectOnce(seen, index, 'guest page')
    }
    for (const index of indexes) {
      const frame = this.frameAt(vm, index)
      const before = this.#records.binding(frame)
      const key = this.keyOf(frame)
      this.#sharers.remove(frame, vm.number, index)
      if (key !== undefined) this.#records.move(frame, 'private', this.#bindings.take(vm, key), index)
      this.#bindings.release(before)
    }
  }

  // --- Moves of a worker and of a vCPU ---

  /** Checks copies without changing anything. Returns the first frames' generations. @throws as {@link commitCopies} */
  checkCopies(registration: string, copies: readonly CopyBetweenFrames[]): number[] {
    const seconds = new Set<number>()
    const names = new Set<string>()
    return copies.map((copy) => {
      this.#expectFirst(copy)
      this.#expectSecond(registration, copy)
      const name = `${copy.second.index}/${copy.second.vm}`
      if (seconds.has(copy.secondFrame)) throw this.#destInUse(copy.secondFrame, registration, copy.second.vm)
      if (names.has(name)) throw ownershipFault(`guest page ${name}`, 'one copy of it', 'two in one request')
      seconds.add(copy.secondFrame)
      names.add(name)
      return this.generation(copy.firstFrame)
    })
  }

  /**
   * Per copy: RESERVED -> PRIVATE(second name), and that name leaves the first frame, which is FREE when none is left.
   * All copies or none. `store` puts the content into the second frame and returns what opens it.
   * Returns the second frames' generations.
   * @throws GENERATION_CHANGED, NOT_WRITE_PROTECTED, OWNERSHIP_FAULT, DEST_IN_USE
   */
  commitCopies(
    registration: string,
    copies: readonly CopyBetweenFrames[],
    generations: readonly number[],
    store: (position: number, generation: number) => K,
  ): number[] {
    copies.forEach((copy, position) => {
      this.#expectGeneration(copy.firstFrame, generations[position] ?? -1)
    })
    this.checkCopies(registration, copies)
    return copies.map((copy, position) => {
      const vm = this.#vmNamed(copy.second.vm)
      const key = store(position, this.generation(copy.secondFrame) + 1)
      this.#registrations.release(this.#records.index(copy.secondFrame))
      this.#dropName(copy.firstFrame, vm, copy.second.index)
      this.#own(copy.secondFrame, vm, copy.second.index, this.#bindings.take(vm, key))
      return this.generation(copy.secondFrame)
    })
  }

  /** Counts a store of its owner to a PRIVATE frame, which `key` opens from now on. Returns the new generation. */
  noteStore(vm: OwnerVm, frame: number, key: K): number {
    const number = this.#records.binding(frame)
    if (this.#bindings.get(number)?.key !== key) {
      this.#records.rebind(frame, this.#bindings.take(vm, key))
      this.#bindings.release(number)
    }
    return this.#records.bump(frame)
  }

  // --- Steps of moves: called when the move is known to be legal ---

  #own(frame: number, vm: OwnerVm, index: number, binding: number): void {
    const before = this.#records.binding(frame)
    this.#records.move(frame, 'private', binding, index)
    this.#bindings.release(before)
    vm.frames.set(index, frame + 1)
  }

  #shareOne(owner: OwnerVm, index: number, seal: (frame: number, key: K) => K): number {
    const frame = this.frameAt(owner, index)
    const key = this.keyOf(frame)
    if (this.#records.state(frame) !== 'private' || key === undefined) return frame
    const before = this.#records.binding(frame)
    const sealed = this.#bindings.take(owner, seal(frame, key))
    this.#records.move(frame, 'shared-ro', sealed, index)
    this.#bindings.release(before)
    this.#sharers.add(frame, owner.number, index)
    return frame
  }

  #dropName(frame: number, vm: OwnerVm, index: number): void {
    this.#sharers.remove(frame, vm.number, index)
    vm.frames.set(index, 0)
    if (this.#sharers.isEmpty(frame)) this.#free(frame)
  }

  #free(frame: number): void {
    if (this.#records.state(frame) === 'reserved') this.#registrations.release(this.#records.index(frame))
    this.#hooks.scrub(frame, this.generation(frame) + 1)
    const before = this.#records.binding(frame)
    this.#records.move(frame, 'free', 0, 0)
    this.#bindings.release(before)
  }

  #reservedFor(registration: string): number[] {
    const number = this.#registrations.number(registration)
    if (number === undefined) return []
    return [...this.#records.framesIn('reserved')].filter((frame) => this.#records.index(frame) === number)
  }

  // --- Checks ---

  #checkFrame(frame: number): void {
    if (Number.isInteger(frame) && frame >= 0 && frame < this.frames) return
    throw invalid('frame', `expected a frame 0..${this.frames - 1}, found ${frame}`)
  }

  #expectState(frame: number, state: FrameState): void {
    this.#checkFrame(frame)
    if (this.#records.state(frame) === state) return
    throw ownershipFault(`frame ${frame}`, stateName(state), describeState(this.describe(frame)))
  }

  #expectNoFrame(vm: OwnerVm, index: number): void {
    const frame = this.frameAt(vm, index)
    if (frame < 0) return
    throw ownershipFault(`guest page ${index} of "${vm.name}"`, 'no frame', `frame ${frame}`)
  }

  /** Only the VM that made a frame may let others in, and only while the frame is still its own page. */
  #expectMadeBy(owner: OwnerVm, index: number): void {
    const frame = this.frameAt(owner, index)
    const place = `guest page ${index} of "${owner.name}"`
    if (frame < 0) throw ownershipFault(place, 'a frame of its own', 'no frame')
    const isMaker = this.#bindings.get(this.#records.binding(frame))?.vm === owner
    if (isMaker && this.#records.index(frame) === index) return
    throw ownershipFault(place, 'a frame that this VM made', describeState(this.describe(frame)))
  }

  #expectFirst({ firstFrame, first, second }: CopyBetweenFrames): void {
    this.#checkFrame(firstFrame)
    const found = this.describe(firstFrame)
    if (found.state !== 'shared-ro') {
      throw new PalimpsestError(
        'NOT_WRITE_PROTECTED',
        `frame ${firstFrame}: expected SHARED_RO, found ${describeState(found)}: share it before copying`,
        { metadata: { frame: String(firstFrame), expected: 'SHARED_RO', found: stateName(found.state) } },
      )
    }
    const maker = this.#bindings.get(this.#records.binding(firstFrame))?.vm
    const runs = this.#vmsByName.get(first.vm)
    // The frame stays its maker's first block after the maker went to a copy of its own, or ended; a later VM of the
    // same name is another one.
    const isMadeAs =
      maker?.name === first.vm &&
      (runs === undefined || runs === maker) &&
      this.#records.index(firstFrame) === first.index
    if (!isMadeAs && !hasName(found, first)) {
      throw ownershipFault(`frame ${firstFrame}`, `the name ${nameText(first)}`, describeState(found))
    }
    if (!hasName(found, second)) {
      throw ownershipFault(`frame ${firstFrame}`, `shared with ${nameText(second)}`, describeState(found))
    }
  }

  #expectSecond(registration: string, { secondFrame, second }: CopyBetweenFrames): void {
    this.#checkFrame(secondFrame)
    const vm = this.#bindings.get(this.#records.binding(secondFrame))?.vm
    const { state, registration: holder } = this.describe(secondFrame)
    if (state === 'reserved' && holder === registration && vm?.name === second.vm) return
    throw this.#destInUse(secondFrame, registration, second.vm)
  }

  #destInUse(frame: number, registration: string, vm: string): PalimpsestError {
    const expected = `RESERVED for registration "${registration}" and VM "${vm}", once in a request`
    const found = describeState(this.describe(frame))
    return new PalimpsestError(
      'DEST_IN_USE',
      `frame ${frame}: expected ${expected}, found ${found}: reserve another frame`,
      { metadata: { frame: String(frame), expected, found } },
    )
  }

  #expectGeneration(frame: number, expected: number): void {
    this.#checkFrame(frame)
    const found = this.generation(frame)
    if (found === expected) return
    throw new PalimpsestError(
      'GENERATION_CHANGED',
      `frame ${frame}: expected generation ${expected}, found ${found}: begin the copy again`,
      { metadata: { frame: String(frame), expected: String(expected), found: String(found) } },
    )
  }

  #names(frame: number, state: FrameState): NameOfFrame[] {
    const maker = this.#bindings.get(this.#records.binding(frame))?.vm
    if (state === 'private' && maker !== undefined)
      return [{ vm: maker.name, index: this.#records.index(frame) }]
    if (state !== 'shared-ro') return []
    return this.#sharers
      .list(frame)
      .map(({ vm, index }) => ({ vm: this.#vms[vm]?.name ?? '', index }))
      .reverse()
  }

  #vmNamed(name: string): OwnerVm {
    const vm = this.#vmsByName.get(name)
    if (vm === undefined) throw new PalimpsestError('UNKNOWN_VM', `expected a running VM, found "${name}"`)
    return vm
  }
}
