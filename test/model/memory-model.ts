// Guest memory and its ownership in plain objects, for random operations to be compared with: no tables, no cipher, no
// DRAM but a name for what lies there. It says by itself what each operation does (systems, 2.7), or with which code it
// is refused.

export const FRAMES = 8
export const PAGES = 3
export const VMS = ['a', 'b', 'c'] as const
/** Bytes of each page that the model knows. */
export const KNOWN = 72
/** Where additions go. */
export const COUNTER = 64

export type VmName = (typeof VMS)[number]

/** What opens a frame: nothing yet, a launch's own key, or the group's. */
type Key = 'none' | 'group' | `own ${string}`

/** A copy that a worker asks for. */
export interface ModelCopy {
  readonly registration: string
  readonly firstFrame: number
  readonly first: string
  readonly secondFrame: number
  readonly second: string
}

/** A copy that has begun. */
export interface BegunCopy extends ModelCopy {
  readonly generation: number
  /** As it was then, with the key that opened it. */
  readonly content: Uint8Array
  readonly rest: number
  readonly key: Key
}

/** One frame. A name is "vm:page"; a launch is "vm#n", with n counting launches of the name. */
export interface ModelFrame {
  state: 'free' | 'reserved' | 'private' | 'shared-ro'
  generation: number
  names: Set<string>
  /** "launch:page" of the VM that made it. */
  maker: string
  /** Of a reserved frame: "registration/vm". */
  reservedFor: string
  key: Key
  /** The first bytes of the page, and all the others. */
  content: Uint8Array
  rest: number
  /** What was last written: content and key in words, so that equal ciphertext has equal words. */
  written: string
  /** What lies in DRAM: the words of what was written there, with "~" when a bit of it is flipped. */
  dram: string
}

const emptyFrame = (generation: number): ModelFrame => ({
  state: 'free',
  generation,
  names: new Set(),
  maker: '',
  reservedFor: '',
  key: 'none',
  content: new Uint8Array(KNOWN),
  rest: 0,
  written: '',
  dram: '',
})

/** What an operation comes to: done, a code, or a wait for the host. */
export type Outcome = string
const done = 'done'
const fault = 'OWNERSHIP_FAULT'

export const vmOf = (name: string): VmName => VMS.find((vm) => name.startsWith(`${vm}:`)) ?? 'a'
export const pageOf = (name: string): number => Number(name.slice(name.indexOf(':') + 1))

/** The model. */
export class MemoryModel {
  readonly frames = Array.from({ length: FRAMES }, () => emptyFrame(0))
  /** By name. */
  readonly mappings = new Map<string, { readonly frame: number; readonly writable: boolean }>()
  readonly #integrity: boolean
  readonly #launches = new Map<VmName, number>()

  constructor(integrity: boolean) {
    this.#integrity = integrity
  }

  frame(number: number): ModelFrame {
    const frame = this.frames[number]
    if (frame === undefined) throw new RangeError(`no frame ${String(number)}`)
    return frame
  }

  /** The frame of a name, or -1. */
  frameOf(name: string): number {
    return this.frames.findIndex((frame) => frame.names.has(name))
  }

  launch(vm: VmName): string {
    return `${vm}#${String(this.#launches.get(vm) ?? 0)}`
  }

  /** VM b encrypts with the group's key, the others with their own. */
  writeKey(vm: VmName): Key {
    return vm === 'b' ? 'group' : `own ${this.launch(vm)}`
  }

  /** Whether DRAM holds what was honestly written. */
  isIntact(frame: ModelFrame): boolean {
    return frame.dram === frame.written
  }

  // --- Moves ---

  assign(name: string, number: number): Outcome {
    if (this.frame(number).state !== 'free' || this.frameOf(name) >= 0) return fault
    this.#own(number, name, 'none')
    return done
  }

  reserve(registration: string, vm: VmName, number: number): Outcome {
    const frame = this.frame(number)
    if (frame.state !== 'free') return fault
    frame.state = 'reserved'
    frame.reservedFor = `${registration}/${vm}`
    frame.generation++
    return done
  }

  release(registration: string, number: number): Outcome {
    if (!this.frame(number).reservedFor.startsWith(`${registration}/`)) return fault
    this.#free(number)
    return done
  }

  share(first: string, second: string): Outcome {
    const number = this.frameOf(first)
    if (number < 0 || this.frame(number).maker !== this.#made(first) || this.frameOf(second) >= 0)
      return fault
    const frame = this.frame(number)
    if (frame.state === 'private') {
      const key = this.writeKey(vmOf(first))
      const rekeys = frame.key !== key && frame.key !== 'none'
      if (rekeys && this.#integrity && !this.isIntact(frame)) return 'INTEGRITY_FAULT'
      frame.state = 'shared-ro'
      frame.generation++
      if (frame.key !== key) this.#write(frame, key)
    }
    frame.names.add(second)
    return done
  }

  upgrade(name: string): Outcome {
    const number = this.frameOf(name)
    const frame = number < 0 ? undefined : this.frame(number)
    if (frame?.state !== 'shared-ro' || frame.names.size !== 1 || !this.#opens(vmOf(name), frame.key))
      return fault
    frame.state = 'private'
    frame.maker = this.#made(name)
    frame.generation++
    return done
  }

  end(vm: VmName): Outcome {
    for (const number of this.frames.keys()) {
      const frame = this.frame(number)
      if (frame.state === 'reserved' && frame.reservedFor.endsWith(`/${vm}`)) this.#free(number)
      for (const name of frame.names) if (vmOf(name) === vm) this.#drop(number, name)
    }
    for (const name of this.mappings.keys()) if (vmOf(name) === vm) this.mappings.delete(name)
    this.#launches.set(vm, (this.#launches.get(vm) ?? 0) + 1)
    return done
  }

  // --- Copies ---

  begin(copy: ModelCopy): Outcome {
    const refusal = this.#refusedCopy(copy)
    if (refusal !== undefined) return refusal
    return this.#integrity && !this.isIntact(this.frame(copy.firstFrame)) ? 'INTEGRITY_FAULT' : done
  }

  commit(copy: BegunCopy): Outcome {
    if (this.frame(copy.firstFrame).generation !== copy.generation) return 'GENERATION_CHANGED'
    const refusal = this.#refusedCopy(copy)
    if (refusal !== undefined) return refusal
    this.#drop(copy.firstFrame, copy.second)
    this.#own(copy.secondFrame, copy.second, 'none')
    const frame = this.frame(copy.secondFrame)
    frame.content = copy.content.slice()
    frame.rest = copy.rest
    this.#write(frame, this.writeKey(vmOf(copy.second)))
    if (this.mappings.get(copy.second)?.frame === copy.firstFrame) this.mappings.delete(copy.second)
    return done
  }

  #refusedCopy({ registration, firstFrame, first, secondFrame, second }: ModelCopy): Outcome | undefined {
    const frame = this.frame(firstFrame)
    if (frame.state !== 'shared-ro') return 'NOT_WRITE_PROTECTED'
    if (frame.maker !== this.#made(first) && !frame.names.has(first)) return fault
    if (!frame.names.has(second)) return fault
    return this.frame(secondFrame).reservedFor === `${registration}/${vmOf(second)}`
      ? undefined
      : 'DEST_IN_USE'
  }

  // --- Accesses ---

  /** What a load would come to; "done" when it gives the frame's content. */
  load(name: string): Outcome {
    return this.#access(name, false) ?? this.#unreadable(name) ?? done
  }

  /** A store of some bytes, which reads the page first, or of the whole page. */
  store(name: string, change: (frame: ModelFrame) => void, whole: boolean): Outcome {
    const refusal = this.#access(name, true) ?? (whole ? undefined : this.#unreadable(name))
    if (refusal !== undefined) return refusal
    const frame = this.frame(this.frameOf(name))
    change(frame)
    frame.generation++
    this.#write(frame, this.writeKey(vmOf(name)))
    return done
  }

  #access(name: string, isWrite: boolean): Outcome | undefined {
    const mapping = this.mappings.get(name)
    if (mapping === undefined) return 'waits: not-present'
    if (this.frameOf(name) !== mapping.frame) return fault
    const frame = this.frame(mapping.frame)
    if (!this.#opens(vmOf(name), frame.key)) return 'waits: key'
    return isWrite && !(mapping.writable && frame.state === 'private') ? 'waits: write-protected' : undefined
  }

  #unreadable(name: string): Outcome | undefined {
    const frame = this.frame(this.frameOf(name))
    const isBad = this.#integrity && frame.key !== 'none' && !this.isIntact(frame)
    return isBad ? 'INTEGRITY_FAULT' : undefined
  }

  // --- Steps ---

  #made(name: string): string {
    return `${this.launch(vmOf(name))}:${String(pageOf(name))}`
  }

  /** VMs b and c know the group's key. */
  #opens(vm: VmName, key: Key): boolean {
    return key === 'none' || key === `own ${this.launch(vm)}` || (key === 'group' && vm !== 'a')
  }

  #own(number: number, name: string, key: Key): void {
    const { generation } = this.frame(number)
    const owned = { ...emptyFrame(generation + 1), names: new Set([name]), maker: this.#made(name), key }
    this.frames[number] = { ...owned, state: 'private' }
  }

  #write(frame: ModelFrame, key: Key): void {
    frame.key = key
    frame.written = `${key} ${frame.content.join()} ${String(frame.rest)}`
    frame.dram = frame.written
  }

  #drop(number: number, name: string): void {
    const frame = this.frame(number)
    frame.names.delete(name)
    if (frame.names.size === 0) this.#free(number)
  }

  #free(number: number): void {
    this.frames[number] = emptyFrame(this.frame(number).generation + 1)
  }
}
