// The platform's memory and the model of it, side by side: each operation is made on both, must come to the same, and
// leaves every row, and in the end every byte, as the model says. Before and after each the invariants of systems, 2.7,
// are checked on the platform's own rows.

import assert from 'node:assert/strict'
import type { CopyBetweenFrames, FrameDescription } from '../../emulator/platform/ownership-rows.ts'
import { openPage, sealPage, type Mode } from '../integration/support/independent.ts'
import { PAGE, rejection, TestMachine } from '../unit/emulator/platform/memory/memory-fixture.ts'
import {
  type BegunCopy,
  COUNTER,
  FRAMES,
  KNOWN,
  MemoryModel,
  type ModelCopy,
  type ModelFrame,
  type Outcome,
  PAGES,
  pageOf,
  VMS,
  vmOf,
  type VmName,
} from './memory-model.ts'

const GROUP = new Uint8Array(32).fill(7)
/** Legal moves between states. */
const ARROWS = new Set(
  'free>reserved free>private reserved>private reserved>free private>shared-ro private>free shared-ro>private shared-ro>free'.split(
    ' ',
  ),
)

/** An operation as data, so that it can be shrunk. Numbers choose among what there is. */
export type Operation =
  | { readonly kind: 'assign' | 'map'; readonly name: string; readonly frame: number }
  | { readonly kind: 'map-own' | 'unmap' | 'upgrade' | 'load' | 'add'; readonly name: string }
  | { readonly kind: 'store' | 'store-page'; readonly name: string; readonly value: number }
  | { readonly kind: 'reserve'; readonly registration: string; readonly vm: VmName; readonly frame: number }
  | { readonly kind: 'release'; readonly registration: string; readonly frame: number }
  | { readonly kind: 'share'; readonly name: string; readonly peer: string }
  | { readonly kind: 'begin'; readonly copy: ModelCopy }
  | { readonly kind: 'begin-some' | 'commit' | 'upgrade-some'; readonly choice: number }
  | { readonly kind: 'end'; readonly vm: VmName }
  | { readonly kind: 'flip' | 'record' | 'restore'; readonly frame: number }

/** Both, with the same past. */
export class World {
  readonly #integrity: boolean
  readonly #model: MemoryModel
  readonly #machine: TestMachine
  /** Copies that a worker has begun, oldest first. */
  readonly #begun: { readonly copy: BegunCopy; readonly ciphertext: Uint8Array }[] = []
  /** What the host has kept of frames. */
  readonly #kept = new Map<number, { readonly ciphertext: Uint8Array; readonly dram: string }>()
  #waits = ''

  constructor(integrity: boolean) {
    this.#integrity = integrity
    this.#model = new MemoryModel(integrity)
    this.#machine = new TestMachine({ integrity, memoryBytes: FRAMES * PAGE })
    this.#machine.onFault = ({ id, reason }) => {
      this.#waits = `waits: ${reason}`
      this.#machine.memory.resolveFaults([], [{ id, code: 'STALLED', message: 'nobody helps' }])
    }
    for (const vm of VMS) this.#launch(vm)
  }

  /** Makes one operation on both. Returns its outcome, or undefined when there was nothing to do it to. */
  async step(operation: Operation): Promise<Outcome | undefined> {
    const before = this.#rows()
    this.#waits = ''
    const outcome = await this.#make(operation)
    this.#checkRows(before)
    return outcome
  }

  /** Checks what DRAM holds of every frame that a VM has written. */
  checkContents(): void {
    for (const [number, frame] of this.#model.frames.entries()) {
      if (frame.key === 'none' || !this.#model.isIntact(frame)) continue
      const plaintext = this.#open(number, frame.key, this.#machine.memory.read([number]))
      assert.deepEqual([...plaintext.subarray(0, KNOWN)], [...frame.content])
    }
  }

  #make(operation: Operation): Promise<Outcome | undefined> {
    const { memory } = this.#machine
    const model = this.#model
    switch (operation.kind) {
      case 'assign': {
        const { name, frame } = operation
        const run = { index: pageOf(name), frame, count: 1 }
        return this.#compare(model.assign(name, frame), () => {
          memory.assign(vmOf(name), [run])
        })
      }
      case 'reserve': {
        const { registration, vm, frame } = operation
        return this.#compare(model.reserve(registration, vm, frame), () => {
          memory.reserve(registration, vm, [frame])
        })
      }
      case 'release': {
        const { registration, frame } = operation
        return this.#compare(model.release(registration, frame), () => memory.release(registration, [frame]))
      }
      case 'share': {
        const { name, peer } = operation
        const pair = { first: pageOf(name), second: pageOf(peer), count: 1 }
        return this.#compare(model.share(name, peer), () =>
          memory.share(memory.guest(vmOf(name)), memory.guest(vmOf(peer)), [pair]),
        )
      }
      case 'upgrade':
        return this.#upgrade(operation.name)
      case 'upgrade-some':
        return this.#upgradeSome(operation.choice)
      case 'end':
        return this.#compare(model.end(operation.vm), () => {
          memory.removeGuest(memory.guest(operation.vm))
          this.#launch(operation.vm)
        })
      case 'map':
        return this.#map(operation.name, operation.frame)
      case 'map-own':
        return this.#map(operation.name, this.#ownFrame(operation.name))
      case 'unmap':
        return this.#map(operation.name, -1)
      case 'load':
        return this.#load(operation.name)
      case 'store':
      case 'store-page':
        return this.#store(operation.name, operation.value, operation.kind === 'store-page')
      case 'add':
        return this.#add(operation.name)
      case 'begin':
        return this.#begin(operation.copy)
      case 'begin-some':
        return this.#beginSome(operation.choice)
      case 'commit':
        return this.#commit(operation.choice)
      case 'flip':
      case 'record':
      case 'restore':
        return this.#overwrite(operation.kind, operation.frame)
    }
  }

  /** Runs an operation on the platform; it must come to what the model says. */
  async #compare(expected: Outcome, run: () => unknown): Promise<Outcome> {
    const code = await rejection(Promise.resolve().then(run))
    const found = code === 'none' ? 'done' : this.#waits === '' ? String(code) : this.#waits
    assert.equal(found, expected)
    return found
  }

  // --- The host's mappings and its writes to DRAM ---

  /** The frame of a name, if it has one. */
  #ownFrame(name: string): number | undefined {
    const own = this.#model.frameOf(name)
    return own < 0 ? undefined : own
  }

  /** Maps a name to a frame, or with -1 to nothing. */
  async #map(name: string, frame: number | undefined): Promise<Outcome | undefined> {
    if (frame === undefined) return undefined
    if (frame < 0) this.#model.mappings.delete(name)
    else this.#model.mappings.set(name, { frame, writable: true })
    const change = { index: pageOf(name), frame: frame < 0 ? undefined : frame, writable: true }
    return this.#compare('done', () => {
      this.#machine.memory.setMappings(vmOf(name), [change], [])
    })
  }

  async #overwrite(kind: 'flip' | 'record' | 'restore', number: number): Promise<Outcome | undefined> {
    const { memory } = this.#machine
    const frame = this.#model.frame(number)
    const ciphertext = memory.read([number])
    const kept = this.#kept.get(number)
    if (kind === 'record') {
      this.#kept.set(number, { ciphertext, dram: frame.dram })
      return 'done'
    }
    // What old ciphertext decrypts to is not the model's business: without integrity mode nothing is put back.
    if (kind === 'restore' && (kept === undefined || !this.#integrity)) return undefined
    const flipped = ciphertext.map((byte, at) => (at === PAGE - 1 ? byte ^ 1 : byte))
    frame.dram = kind === 'restore' ? (kept?.dram ?? '') : toggled(frame.dram)
    return this.#compare('done', () => {
      memory.overwrite([number], kind === 'restore' ? (kept?.ciphertext ?? flipped) : flipped)
    })
  }

  // --- Accesses ---

  async #load(name: string): Promise<Outcome> {
    const { access } = this.#machine.memory
    let data = new Uint8Array()
    const outcome = await this.#compare(this.#model.load(name), async () => {
      data = Uint8Array.from(await access.load(this.#guest(name), addressOf(name), KNOWN))
    })
    if (outcome === 'done') {
      assert.deepEqual([...data], [...this.#model.frame(this.#model.frameOf(name)).content])
    }
    return outcome
  }

  #store(name: string, value: number, whole: boolean): Promise<Outcome> {
    const data = new Uint8Array(whole ? PAGE : 8).fill(value)
    const change = (frame: ModelFrame) => {
      frame.content.set(data.subarray(0, KNOWN))
      if (whole) frame.rest = value
    }
    return this.#compare(this.#model.store(name, change, whole), () =>
      this.#machine.memory.access.store(this.#guest(name), addressOf(name), data),
    )
  }

  #add(name: string): Promise<Outcome> {
    const add = ({ content }: ModelFrame) => {
      const view = new DataView(content.buffer, content.byteOffset)
      view.setBigUint64(COUNTER, BigInt.asUintN(64, view.getBigUint64(COUNTER, true) + 1n), true)
    }
    return this.#compare(this.#model.store(name, add, false), () =>
      this.#machine.memory.access.fetchAdd(this.#guest(name), addressOf(name) + BigInt(COUNTER), 1n),
    )
  }

  // --- Copies of a worker ---

  async #begin(copy: ModelCopy): Promise<Outcome> {
    let ciphertext = new Uint8Array()
    const frame = this.#model.frame(copy.firstFrame)
    const outcome = await this.#compare(this.#model.begin(copy), () => {
      const begun = this.#machine.memory.beginCopies(copy.registration, [betweenFrames(copy)])
      assert.deepEqual(begun.generations, [frame.generation])
      ciphertext = Uint8Array.from(begun.ciphertext)
    })
    if (outcome === 'done') {
      const { generation, key, rest } = frame
      const content = frame.content.slice()
      this.#begun.push({ copy: { ...copy, generation, key, rest, content }, ciphertext })
    }
    return outcome
  }

  /** A copy that is legal, if there is one. */
  async #beginSome(choice: number): Promise<Outcome | undefined> {
    const frames = [...this.#model.frames.entries()]
    const reserved = frames.filter(([, { state }]) => state === 'reserved')
    const copies = frames.flatMap(([firstFrame, { names }]) =>
      [...names].flatMap((second) =>
        reserved.map(([secondFrame, { reservedFor }]) => {
          const [registration = ''] = reservedFor.split('/')
          return { registration, firstFrame, first: [...names][0] ?? second, secondFrame, second }
        }),
      ),
    )
    const legal = copies.filter((copy) => this.#model.begin(copy) === 'done')
    const copy = legal[choice % legal.length]
    return copy === undefined ? undefined : this.#begin(copy)
  }

  /** Commits a copy that has begun, now or long ago; it is done with either way. */
  async #commit(choice: number): Promise<Outcome | undefined> {
    const [begun] = this.#begun.splice(choice % Math.max(1, this.#begun.length), 1)
    if (begun === undefined) return undefined
    const { copy, ciphertext } = begun
    const plaintext = this.#open(copy.firstFrame, copy.key, ciphertext)
    const [root, mode] = this.#rootOf(this.#model.writeKey(vmOf(copy.second)))
    const stored = sealPage(root, BigInt(copy.secondFrame), plaintext, mode)
    return this.#compare(this.#model.commit(copy), () =>
      this.#machine.memory.commitCopies(
        'worker',
        copy.registration,
        [betweenFrames(copy)],
        [copy.generation],
        stored,
      ),
    )
  }

  #upgrade(name: string): Promise<Outcome> {
    return this.#compare(this.#model.upgrade(name), () => {
      this.#machine.memory.upgrade(vmOf(name), [pageOf(name)])
    })
  }

  /** A last name, if there is one; its VM may be without the key. */
  async #upgradeSome(choice: number): Promise<Outcome | undefined> {
    const last = this.#model.frames.filter(({ state, names }) => state === 'shared-ro' && names.size === 1)
    const [name] = last[choice % last.length]?.names ?? []
    return name === undefined ? undefined : this.#upgrade(name)
  }

  // --- Keys ---

  #launch(vm: VmName): void {
    const [root] = this.#rootOf(`own ${this.#model.launch(vm)}`)
    const group = vm === 'a' ? {} : { group: GROUP }
    this.#machine.guest(vm, { root, mode: vm === 'b' ? 'both' : 'location', ...group }, PAGES)
  }

  #rootOf(key: string): [root: Uint8Array, mode: Mode] {
    if (key === 'group') return [GROUP, 'both']
    const root = new Uint8Array(32)
    root.set(new TextEncoder().encode(key))
    return [root, 'location']
  }

  #open(frame: number, key: string, ciphertext: Uint8Array): Uint8Array {
    const [root, mode] = this.#rootOf(key)
    return openPage(root, BigInt(frame), ciphertext, mode)
  }

  #guest(name: string) {
    return this.#machine.memory.guest(vmOf(name))
  }

  // --- Invariants ---

  #rows(): FrameDescription[] {
    return this.#machine.memory.describe([...Array(FRAMES).keys()])
  }

  #checkRows(before: readonly FrameDescription[]): void {
    const seen = new Set<string>()
    const totals = { free: 0, reserved: 0, private: 0, 'shared-ro': 0 }
    for (const [number, row] of this.#rows().entries()) {
      const model = this.#model.frame(number)
      const names = row.names.map(({ vm, index }) => `${vm}:${String(index)}`)
      assert.equal(row.state, model.state)
      assert.equal(row.generation, model.generation)
      assert.deepEqual(new Set(names), model.names)
      assert.equal(row.registration, model.reservedFor.split('/')[0])
      totals[row.state] += 1
      checkRow(row, names, seen)
      checkMove(before[number] ?? row, row)
    }
    assert.deepEqual(this.#machine.memory.totals, totals)
  }
}

/** A name has one frame; a PRIVATE frame has one name, a SHARED_RO one has some, others have none. */
function checkRow(row: FrameDescription, names: readonly string[], seen: Set<string>): void {
  for (const name of names) {
    assert.equal(seen.has(name), false, `${name} has two frames`)
    seen.add(name)
  }
  if (row.state === 'private') assert.equal(names.length, 1)
  else assert.equal(names.length > 0, row.state === 'shared-ro')
}

/** States follow the arrows; the generation never goes back and counts every change of state. */
function checkMove(from: FrameDescription, to: FrameDescription): void {
  assert.ok(to.generation >= from.generation)
  if (from.state === to.state) return
  assert.ok(ARROWS.has(`${from.state}>${to.state}`), `${from.state} became ${to.state}`)
  assert.ok(to.generation > from.generation)
}

const toggled = (dram: string) => (dram.endsWith('~') ? dram.slice(0, -1) : `${dram}~`)

const addressOf = (name: string) => BigInt(pageOf(name) * PAGE)

function betweenFrames({ firstFrame, first, secondFrame, second }: ModelCopy): CopyBetweenFrames {
  const place = (name: string) => ({ vm: vmOf(name), index: pageOf(name) })
  return { firstFrame, first: place(first), secondFrame, second: place(second) }
}
