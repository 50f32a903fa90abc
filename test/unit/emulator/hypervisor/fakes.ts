/**
 * A platform and a worker in a few lines, for the hypervisor's unit tests: frames with states and names, mappings,
 * faults. They refuse what the real ones refuse, so that a host that breaks the rules fails its tests.
 */
import {
  type CopyReceipt,
  type CopyRequest,
  type Fault,
  type FrameRow,
  type Mapping,
  PalimpsestError,
  type RangePair,
  type Sharer,
} from '../../../../sdk/rpc/index.ts'

interface Row {
  state: FrameRow['state']
  names: Sharer[]
  registration: string
  vm: string
  /** Whose key the frame is under. */
  maker: string
}

function fault(message: string): PalimpsestError {
  return new PalimpsestError('OWNERSHIP_FAULT', message)
}

/** Ownership, mappings and faults of an emulated machine. */
export class FakePlatform {
  readonly rows: Row[]
  readonly maps = new Map<string, Mapping>()
  readonly calls: string[] = []
  readonly retried: bigint[] = []
  readonly failed: { id: bigint; code: string; message: string }[] = []
  /** VMs whose slot opens frames of others: upgrades of a last sharer succeed for them. */
  readonly opensForeign = new Set<string>()
  #nextFault = 1n

  constructor(frames: number) {
    this.rows = Array.from({ length: frames }, () => ({
      state: 'free',
      names: [],
      registration: '',
      vm: '',
      maker: '',
    }))
  }

  row(frame: bigint): Row {
    const row = this.rows[Number(frame)]
    if (!row) throw new PalimpsestError('OUT_OF_RANGE', `no frame ${String(frame)}`)
    return row
  }

  count(state: Row['state']): number {
    return this.rows.filter((row) => row.state === state).length
  }

  mapping(vm: string, index: bigint): Mapping | undefined {
    return this.maps.get(`${vm}/${String(index)}`)
  }

  /** A fault as the real platform would raise it for this access now. */
  fault(vm: string, index: bigint, access: Fault['access'] = 'write', reason?: Fault['reason']): Fault {
    const mapping = this.mapping(vm, index)
    const found = mapping?.frame === undefined ? 'not-present' : 'write-protected'
    return { id: this.#nextFault++, vm, index, access, reason: reason ?? found }
  }

  launchGuest = (): Promise<{ report: Uint8Array }> => Promise.resolve({ report: Uint8Array.of(1) })

  terminateVm = ({ vm }: { vm: string }): Promise<Record<string, never>> => {
    for (const row of this.rows) {
      const had = row.names.length
      row.names = row.names.filter((name) => name.vm !== vm)
      if (had > 0 && row.names.length === 0) row.state = 'free'
      if (row.state === 'reserved' && row.vm === vm) row.state = 'free'
    }
    return Promise.resolve({})
  }

  assignFrames = (request: {
    vm: string
    runs: readonly { index: bigint; frame: bigint; count: bigint }[]
  }): Promise<Record<string, never>> => {
    for (const run of request.runs) {
      for (let i = 0n; i < run.count; i++) {
        const row = this.row(run.frame + i)
        if (row.state !== 'free') throw fault('assign: not free')
        row.state = 'private'
        row.names = [{ vm: request.vm, index: run.index + i }]
        row.maker = request.vm
      }
    }
    return Promise.resolve({})
  }

  reserveFrames = (request: {
    registration: string
    vm: string
    frames: readonly bigint[]
  }): Promise<Record<string, never>> => {
    this.calls.push('reserve')
    for (const frame of request.frames) {
      const row = this.row(frame)
      if (row.state !== 'free') throw fault('reserve: not free')
      Object.assign(row, { state: 'reserved', registration: request.registration, vm: request.vm })
    }
    return Promise.resolve({})
  }

  releaseFrames = (request: {
    registration: string
    frames: readonly bigint[]
  }): Promise<{ released: bigint }> => {
    let released = 0n
    const all = this.rows.map((_row, frame) => BigInt(frame))
    for (const frame of request.frames.length > 0 ? request.frames : all) {
      const row = this.row(frame)
      if (row.state !== 'reserved' || row.registration !== request.registration) continue
      row.state = 'free'
      released += 1n
    }
    return Promise.resolve({ released })
  }

  shareFrames = (request: {
    owner: string
    peer: string
    pairs: readonly RangePair[]
  }): Promise<{ runs: never[] }> => {
    this.calls.push('share')
    for (const pair of request.pairs) {
      for (let i = 0n; i < pair.count; i++) {
        const row = this.#named(request.owner, pair.first + i)
        if (!row) throw fault('share: not the owner')
        row.state = 'shared-ro'
        row.names.push({ vm: request.peer, index: pair.second + i })
      }
    }
    return Promise.resolve({ runs: [] })
  }

  upgradeFrames = ({
    vm,
    indexes,
  }: {
    vm: string
    indexes: readonly bigint[]
  }): Promise<Record<string, never>> => {
    this.calls.push('upgrade')
    for (const index of indexes) {
      const row = this.#named(vm, index)
      const isMaker = row?.maker === vm || this.opensForeign.has(vm)
      if (row?.state !== 'shared-ro' || row.names.length !== 1 || !isMaker) throw fault('upgrade')
    }
    for (const index of indexes) Object.assign(this.#named(vm, index) ?? {}, { state: 'private' })
    return Promise.resolve({})
  }

  describeFrames = (request: {
    frames: readonly bigint[]
  }): Promise<{ rows: FrameRow[]; totals: undefined }> => {
    const rows = request.frames.map((frame) => {
      const { state, names, registration } = this.row(frame)
      return { frame, state, generation: 1n, sharers: names, registration }
    })
    return Promise.resolve({ rows, totals: undefined })
  }

  setMappings = (request: {
    vm: string
    mappings: readonly Mapping[]
    retry: readonly bigint[]
  }): Promise<Record<string, never>> => {
    for (const mapping of request.mappings) {
      this.maps.set(`${request.vm}/${String(mapping.index)}`, mapping)
    }
    if (request.mappings.length > 0) this.calls.push(`map ${request.vm}`)
    this.retried.push(...request.retry)
    return Promise.resolve({})
  }

  resolveFaults = (request: {
    retry: readonly bigint[]
    fail: readonly { id: bigint; code: string; message: string }[]
  }): Promise<Record<string, never>> => {
    this.retried.push(...request.retry)
    this.failed.push(...request.fail)
    return Promise.resolve({})
  }

  /** What a worker's CommitCopies does. */
  commit(registration: string, first: bigint, second: bigint, name: Sharer): void {
    const from = this.row(first)
    const to = this.row(second)
    const isName = (other: Sharer): boolean => other.vm === name.vm && other.index === name.index
    if (from.state !== 'shared-ro') throw new PalimpsestError('NOT_WRITE_PROTECTED', 'first')
    if (!from.names.some(isName)) throw fault('commit: not a sharer')
    if (to.state !== 'reserved' || to.registration !== registration || to.vm !== name.vm) {
      throw new PalimpsestError('DEST_IN_USE', 'second')
    }
    from.names = from.names.filter((other) => !isName(other))
    if (from.names.length === 0) from.state = 'free'
    Object.assign(to, { state: 'private', names: [name], registration: '', vm: '', maker: name.vm })
  }

  #named(vm: string, index: bigint): Row | undefined {
    return this.rows.find((row) => row.names.some((name) => name.vm === vm && name.index === index))
  }
}

/** A worker that copies at once, unless told to wait or to fail. */
export class FakeWorker {
  readonly running = { name: 'worker-1' }
  readonly sessions: Omit<CopyRequest, 'session' | 'mode'>[] = []
  /** Called before each session; may wait, or throw what the worker would answer. */
  before: (session: Omit<CopyRequest, 'session' | 'mode'>) => Promise<void> = () => Promise.resolve()
  /** Called when the frames are stored and the receipt is not sent yet. */
  after: () => void = () => undefined
  readonly #platform: FakePlatform
  readonly #names: { readonly source: string; readonly destination: string }

  constructor(platform: FakePlatform, names: { readonly source: string; readonly destination: string }) {
    this.#platform = platform
    this.#names = names
  }

  get stream(): { store(session: Omit<CopyRequest, 'session' | 'mode'>): Promise<CopyReceipt> } {
    return {
      store: async (session) => {
        this.sessions.push(session)
        await this.before(session)
        for (const { second, firstFrame = 0n, secondFrame = 0n } of session.blocks) {
          const name = { vm: this.#names[session.writer], index: second }
          this.#platform.commit(session.registration, firstFrame, secondFrame, name)
        }
        this.#platform.calls.push('copied')
        this.after()
        return { receipt: Uint8Array.of(7), stored: session.blocks.map((_block, i) => i) }
      },
    }
  }

  /** Blocks copied in all sessions. */
  get copied(): number {
    return this.sessions.reduce((sum, session) => sum + session.blocks.length, 0)
  }
}

/** Lets everything that can run, run. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise<void>((resolve) => setImmediate(resolve))
}
