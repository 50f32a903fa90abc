// A model of the frame ownership table in plain maps, and a driver that makes the same random moves on both. The model
// decides by itself whether a move is legal (systems, 2.7); table and model must agree on that and on every row.

import assert from 'node:assert/strict'
import { PalimpsestError } from '../../../../sdk/rpc/index.ts'
import type { CopyBetweenFrames, OwnerVm } from '../../../../emulator/platform/ownership-rows.ts'
import { OwnershipTable } from '../../../../emulator/platform/ownership.ts'

const FRAMES = 8
const PAGES = 6
const VM_NAMES = ['a', 'b', 'c']
const REGISTRATIONS = ['r', 's']

interface Row {
  state: 'free' | 'reserved' | 'private' | 'shared-ro'
  /** "vm:page" */
  names: Set<string>
  maker: string
  /** "registration:vm" */
  reservedFor: string
  key: string
}

class Model {
  readonly rows = Array.from({ length: FRAMES }, (): Row => ({
    state: 'free',
    names: new Set<string>(),
    maker: '',
    reservedFor: '',
    key: '',
  }))

  frameOf(name: string): number {
    return this.rows.findIndex((row) => row.names.has(name))
  }

  row(frame: number): Row {
    const row = this.rows[frame]
    if (row === undefined) throw new RangeError('no such frame')
    return row
  }

  free(frame: number): void {
    this.rows[frame] = { state: 'free', names: new Set(), maker: '', reservedFor: '', key: '' }
  }

  own(frame: number, name: string, key: string): void {
    this.rows[frame] = { state: 'private', names: new Set([name]), maker: name, reservedFor: '', key }
  }

  drop(frame: number, name: string): void {
    const row = this.row(frame)
    row.names.delete(name)
    if (row.names.size === 0) this.free(frame)
  }
}

/** One random run of `steps` moves that `seed` decides. Returns how many moves of each kind were accepted. */
export function runModel(seed: number, steps: number): ReadonlyMap<string, number> {
  const world = new World(seed)
  const accepted = new Map<string, number>()
  for (let step = 0; step < steps; step++) {
    const kind = world.step()
    if (kind !== undefined) accepted.set(kind, (accepted.get(kind) ?? 0) + 1)
  }
  return accepted
}

class World {
  readonly #model = new Model()
  readonly #scrubbed = new Set<number>()
  readonly #table = new OwnershipTable<string>(FRAMES, { scrub: (frame) => this.#scrubbed.add(frame) })
  readonly #vms = new Map<string, OwnerVm>(VM_NAMES.map((name) => [name, this.#table.addVm(name, PAGES)]))
  #generations = new Array<number>(FRAMES).fill(0)

  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** Makes one move on both; returns its kind when it was accepted. */
  step(): string | undefined {
    const before = this.#model.rows.map(({ state }) => state)
    this.#scrubbed.clear()
    const moves: [string, () => boolean][] = [
      ['assign', () => this.#assign()],
      ['reserve', () => this.#reserve()],
      ['release', () => this.#release()],
      ['share', () => this.#share()],
      ['upgrade', () => this.#upgrade()],
      ['store', () => this.#store()],
      ['copy', () => this.#copy()],
      ['copy', () => this.#copy()],
    ]
    const [kind, move] = moves[this.#pick(moves.length)] ?? ['none', () => false]
    const isAccepted = move()
    this.#checkRows(before, isAccepted)
    return isAccepted ? kind : undefined
  }

  #assign(): boolean {
    const [frame, vm, index] = [this.#pick(FRAMES), this.#vm(), this.#pick(PAGES)]
    const name = `${vm.name}:${index}`
    const isLegal = this.#model.row(frame).state === 'free' && this.#model.frameOf(name) < 0
    this.#expect(isLegal, () => {
      this.#table.assign(vm, [{ index, frame, count: 1 }], 'zero')
    })
    if (isLegal) this.#model.own(frame, name, 'zero')
    return isLegal
  }

  #reserve(): boolean {
    const [frame, vm, registration] = [this.#pick(FRAMES), this.#vm(), this.#registration()]
    const isLegal = this.#model.row(frame).state === 'free'
    this.#expect(isLegal, () => {
      this.#table.reserve(registration, vm, [frame], 'zero')
    })
    if (isLegal) {
      Object.assign(this.#model.row(frame), { state: 'reserved', reservedFor: `${registration}:${vm.name}` })
    }
    return isLegal
  }

  #release(): boolean {
    const [frame, registration] = [this.#pick(FRAMES), this.#registration()]
    const isLegal = this.#model.row(frame).reservedFor.startsWith(`${registration}:`)
    this.#expect(isLegal, () => this.#table.release(registration, [frame]))
    if (isLegal) this.#model.free(frame)
    return isLegal
  }

  #share(): boolean {
    const [owner, peer, first, second] = [this.#vm(), this.#vm(), this.#pick(PAGES), this.#pick(PAGES)]
    const name = `${owner.name}:${first}`
    const other = `${peer.name}:${second}`
    const frame = this.#model.frameOf(name)
    const isLegal = frame >= 0 && this.#model.row(frame).maker === name && this.#model.frameOf(other) < 0
    this.#expect(isLegal, () =>
      this.#table.share(owner, peer, [{ first, second, count: 1 }], (_frame, key) => key),
    )
    if (isLegal) {
      const row = this.#model.row(frame)
      row.state = 'shared-ro'
      row.names.add(other)
    }
    return isLegal
  }

  #upgrade(): boolean {
    // Mostly a last sharer, for most random pages are not.
    const last = this.#model.rows.find(({ state, names }) => state === 'shared-ro' && names.size === 1)
    const [name] =
      last !== undefined && this.#pick(4) > 0 ? last.names : [`${this.#vm().name}:${this.#pick(PAGES)}`]
    if (name === undefined) return false
    const vm = this.#vmNamed(parse(name).vm)
    const { index } = parse(name)
    const frame = this.#model.frameOf(name)
    const row = frame < 0 ? undefined : this.#model.row(frame)
    const isLegal = row?.state === 'shared-ro' && row.names.size === 1 && row.key === `key of ${vm.name}`
    this.#expect(isLegal, () => {
      this.#table.upgrade(vm, [index], (key) => key === `key of ${vm.name}`)
    })
    if (isLegal) this.#model.own(frame, name, row.key)
    return isLegal
  }

  #store(): boolean {
    const [vm, index] = [this.#vm(), this.#pick(PAGES)]
    const frame = this.#table.frameAt(vm, index)
    assert.equal(frame, this.#model.frameOf(`${vm.name}:${index}`))
    if (frame < 0 || this.#table.state(frame) !== 'private') return false
    const before = this.#table.generation(frame)
    assert.equal(this.#table.noteStore(vm, frame, `key of ${vm.name}`), before + 1)
    this.#model.row(frame).key = `key of ${vm.name}`
    return true
  }

  #copy(): boolean {
    const shared = this.#model.rows.findIndex(({ state }) => state === 'shared-ro')
    const reserved = this.#model.rows.findIndex(({ state }) => state === 'reserved')
    const copy = this.#someCopy(shared, reserved)
    const registration = this.#registration()
    const [first, second] = [this.#model.row(copy.firstFrame), this.#model.row(copy.secondFrame)]
    const names = [copy.first, copy.second].map(({ vm, index }) => `${vm}:${index}`)
    const isLegal =
      first.state === 'shared-ro' &&
      (first.names.has(names[0] ?? '') || first.maker === names[0]) &&
      first.names.has(names[1] ?? '') &&
      second.reservedFor === `${registration}:${copy.second.vm}`
    this.#expect(isLegal, () => this.#table.checkCopies(registration, [copy]))
    const generation = this.#table.generation(copy.firstFrame)
    // An older generation is refused whatever else holds.
    this.#expect(false, () => {
      this.#commit(registration, copy, generation - 1)
    })
    this.#expect(isLegal, () => {
      this.#commit(registration, copy, generation)
    })
    if (isLegal) {
      this.#model.drop(copy.firstFrame, names[1] ?? '')
      this.#model.own(copy.secondFrame, names[1] ?? '', `key of ${copy.second.vm}`)
    }
    return isLegal
  }

  /** Mostly a copy that could be legal: the state space is large and legal copies are what moves it. */
  #someCopy(shared: number, reserved: number): CopyBetweenFrames {
    const firstFrame = shared >= 0 && this.#pick(4) > 0 ? shared : this.#pick(FRAMES)
    const secondFrame = reserved >= 0 && this.#pick(4) > 0 ? reserved : this.#pick(FRAMES)
    const row = this.#model.row(firstFrame)
    const [some = 'a:0'] = [...row.names].slice(this.#pick(Math.max(1, row.names.size)))
    const first =
      this.#pick(4) > 0 && row.maker !== '' ? row.maker : `${this.#vm().name}:${this.#pick(PAGES)}`
    const second = this.#pick(4) > 0 ? some : `${this.#vm().name}:${this.#pick(PAGES)}`
    return { firstFrame, first: parse(first), secondFrame, second: parse(second) }
  }

  #commit(registration: string, copy: CopyBetweenFrames, generation: number): void {
    this.#table.commitCopies(registration, [copy], [generation], () => `key of ${copy.second.vm}`)
  }

  #expect(isLegal: boolean, run: () => unknown): void {
    if (isLegal) run()
    else assert.throws(run, PalimpsestError)
  }

  #checkRows(before: readonly Row['state'][], accepted: boolean): void {
    const counts = { free: 0, reserved: 0, private: 0, 'shared-ro': 0 }
    const seen = new Set<string>()
    this.#model.rows.forEach((row, frame) => {
      const found = this.#table.describe(frame)
      const names = found.names.map(({ vm, index }) => `${vm}:${index}`)
      counts[found.state]++
      assert.equal(found.state, row.state)
      assert.deepEqual(new Set(names), row.names)
      assert.equal(found.registration, row.reservedFor.split(':')[0])
      // A name has one frame; SHARED_RO has names; PRIVATE has one; others have none.
      for (const name of names) {
        assert.equal(seen.has(name), false)
        seen.add(name)
        const { vm, index } = parse(name)
        assert.equal(this.#table.frameAt(this.#vmNamed(vm), index), frame)
      }
      if (found.state === 'private') assert.equal(names.length, 1)
      if (found.state === 'shared-ro') assert.ok(names.length > 0)
      // Generations never go back, stay where they are after a refusal, and move with the state.
      const generation = this.#generations[frame] ?? 0
      if (accepted) assert.ok(found.generation >= generation)
      else assert.equal(found.generation, generation)
      if (before[frame] !== row.state) assert.ok(found.generation > generation)
      if (before[frame] !== 'free' && row.state === 'free') assert.equal(this.#scrubbed.has(frame), true)
    })
    assert.deepEqual(this.#table.totals, counts)
    this.#generations = this.#model.rows.map((_row, frame) => this.#table.generation(frame))
  }

  #pick(below: number): number {
    // The generator of Numerical Recipes, chapter 7.1; its high bits are the good ones.
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0
    return Math.floor((this.#state / 2 ** 32) * below)
  }

  #vm(): OwnerVm {
    return this.#vmNamed(VM_NAMES[this.#pick(VM_NAMES.length)] ?? 'a')
  }

  #vmNamed(name: string): OwnerVm {
    const vm = this.#vms.get(name)
    if (vm === undefined) throw new RangeError('no such VM')
    return vm
  }

  #registration(): string {
    return REGISTRATIONS[this.#pick(REGISTRATIONS.length)] ?? 'r'
  }
}

function parse(name: string): { readonly vm: string; readonly index: number } {
  const [vm = '', index = '0'] = name.split(':')
  return { vm, index: Number(index) }
}
