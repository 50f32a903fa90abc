// Every operation on a frame in every state (systems, 2.7): what it does where it is legal, and with what it is refused
// where it is not, changing nothing. Remap attacks are operations like the others: the host may map what it likes.

import { describe, expect, it } from 'vitest'
import { PAGE, rejection, TestMachine } from './memory/memory-fixture.ts'

/** The frame that everything is done to; in all states where VM a has it, as page 2. */
const FRAME = 5
/** A frame that a (page 7) shares with b (page 11), and one that is reserved for b: what copies need besides. */
const SHARED = 20
const RESERVED = 8

const states = {
  FREE: () => undefined,
  RESERVED: (machine: TestMachine) => {
    machine.memory.reserve('r', 'b', [FRAME])
  },
  PRIVATE: owned,
  SHARED_RO: async (machine: TestMachine) => {
    await owned(machine)
    machine.share(machine.memory.guest('a'), 2, machine.memory.guest('b'), 9)
  },
  /** SHARED_RO, with a's name alone. */
  LAST_NAME: async (machine: TestMachine) => {
    await owned(machine)
    machine.share(machine.memory.guest('a'), 2, machine.guest('gone'), 9)
    machine.memory.removeGuest(machine.memory.guest('gone'))
  },
} satisfies Record<string, (machine: TestMachine) => unknown>

async function owned(machine: TestMachine): Promise<void> {
  machine.give(machine.memory.guest('a'), 2, FRAME)
  await machine.store(machine.memory.guest('a'), 2, 'secret of a')
}

type State = keyof typeof states
const columns: readonly State[] = ['FREE', 'RESERVED', 'PRIVATE', 'SHARED_RO', 'LAST_NAME']

/** An operation, and per state the state that it leads to, or how it is refused. */
interface Operation {
  readonly rows: string
  readonly what: string
  readonly run: (machine: TestMachine) => unknown
  readonly leadsTo: readonly [string, string, string, string, string]
}

const fault = 'OWNERSHIP_FAULT'
const never = [fault, fault, fault, fault, fault] as const
const inUse = 'DEST_IN_USE'
const writable = 'NOT_WRITE_PROTECTED'

const copyOut = {
  firstFrame: FRAME,
  first: { vm: 'a', index: 2 },
  secondFrame: RESERVED,
  second: { vm: 'b', index: 9 },
}
const copyIn = {
  firstFrame: SHARED,
  first: { vm: 'a', index: 7 },
  secondFrame: FRAME,
  second: { vm: 'b', index: 11 },
}

function copy(machine: TestMachine, one: typeof copyOut, registration = 'r'): void {
  const { generations, ciphertext } = machine.memory.beginCopies(registration, [one])
  machine.memory.commitCopies('worker-1', registration, [one], generations, ciphertext)
}

function map(machine: TestMachine, vm: string, index: number): void {
  machine.memory.setMappings(vm, [{ index, frame: FRAME, writable: true }], [])
}

/** An access of a guest to a page that the host has mapped to the frame, writable. */
const access = (kind: 'load' | 'store', vm: string, index: number) => (machine: TestMachine) => {
  map(machine, vm, index)
  const guest = machine.memory.guest(vm)
  return kind === 'load' ? machine.load(guest, index, 6) : machine.store(guest, index, 'change')
}

const operations: readonly Operation[] = [
  {
    rows: '[C-34]',
    what: 'the host gives it to a VM',
    run: ({ memory }) => {
      memory.assign('b', [{ index: 30, frame: FRAME, count: 1 }])
    },
    leadsTo: ['private', fault, fault, fault, fault],
  },
  {
    rows: '[C-34]',
    what: 'the host gives it to the VM that has it, at another page',
    run: ({ memory }) => {
      memory.assign('a', [{ index: 30, frame: FRAME, count: 1 }])
    },
    leadsTo: ['private', fault, fault, fault, fault],
  },
  {
    rows: '[C-34]',
    what: 'the host reserves it for a registration',
    run: ({ memory }) => {
      memory.reserve('s', 'a', [FRAME])
    },
    leadsTo: ['reserved', fault, fault, fault, fault],
  },
  {
    rows: '[C-34]',
    what: 'the registration that reserved it gives it back',
    run: ({ memory }) => memory.release('r', [FRAME]),
    leadsTo: [fault, 'free', fault, fault, fault],
  },
  {
    rows: '[C-34]',
    what: 'another registration gives it back',
    run: ({ memory }) => memory.release('s', [FRAME]),
    leadsTo: never,
  },
  {
    rows: '[C-34]',
    what: 'the VM that made it shares it once more',
    run: ({ memory }) =>
      memory.share(memory.guest('a'), memory.guest('b'), [{ first: 2, second: 30, count: 1 }]),
    leadsTo: [fault, fault, 'shared-ro', 'shared-ro', 'shared-ro'],
  },
  {
    rows: '[C-34]',
    what: 'the VM that made it shares it with a page that has a frame',
    run: ({ memory }) =>
      memory.share(memory.guest('a'), memory.guest('b'), [{ first: 2, second: 11, count: 1 }]),
    leadsTo: never,
  },
  {
    rows: '[C-34]',
    what: 'a VM that shares it shares it with itself at another page',
    run: ({ memory }) =>
      memory.share(memory.guest('b'), memory.guest('b'), [{ first: 9, second: 30, count: 1 }]),
    leadsTo: never,
  },
  {
    rows: '[C-34]',
    what: 'the VM that made it has it alone again',
    run: ({ memory }) => {
      memory.upgrade('a', [2])
    },
    leadsTo: [fault, fault, fault, fault, 'private'],
  },
  {
    rows: '[C-34]',
    what: 'a VM that shares it has it alone',
    run: ({ memory }) => {
      memory.upgrade('b', [9])
    },
    leadsTo: never,
  },
  {
    rows: '[C-34]',
    what: 'a worker copies it',
    run: (machine) => {
      copy(machine, copyOut)
    },
    leadsTo: [writable, writable, writable, 'shared-ro', fault],
  },
  {
    rows: '[C-22] [A-12]',
    what: 'a worker copies into it, for the registration and VM that it is reserved for',
    run: (machine) => {
      copy(machine, copyIn)
    },
    leadsTo: [inUse, 'private', inUse, inUse, inUse],
  },
  {
    rows: '[C-22] [A-12]',
    what: 'a worker copies into it, for another registration',
    run: (machine) => {
      copy(machine, copyIn, 's')
    },
    leadsTo: [inUse, inUse, inUse, inUse, inUse],
  },
  {
    rows: '[C-22] [A-12]',
    what: 'a worker copies into it, for another VM',
    run: (machine) => {
      copy(machine, { ...copyIn, second: copyIn.first })
    },
    leadsTo: [inUse, inUse, inUse, inUse, inUse],
  },
  {
    rows: '[C-21] [A-03]',
    what: 'the VM that made it loads from its page',
    run: access('load', 'a', 2),
    leadsTo: [fault, fault, 'private', 'shared-ro', 'shared-ro'],
  },
  {
    rows: '[C-19]',
    what: 'the VM that made it stores to its page',
    run: access('store', 'a', 2),
    leadsTo: [fault, fault, 'private', 'waits: write-protected', 'waits: write-protected'],
  },
  {
    rows: '[C-19]',
    what: 'a VM that shares it, under another key, stores to its page',
    run: access('store', 'b', 9),
    leadsTo: [fault, fault, fault, 'waits: key', fault],
  },
  {
    rows: '[C-21] [A-03]',
    what: 'the VM that made it loads through a second mapping',
    run: access('load', 'a', 3),
    leadsTo: never,
  },
  {
    rows: '[C-21] [A-03]',
    what: 'the VM that made it stores through a second mapping',
    run: access('store', 'a', 3),
    leadsTo: never,
  },
  {
    rows: '[C-21] [A-03]',
    what: 'another VM loads through a mapping at a page of its own',
    run: access('load', 'b', 2),
    leadsTo: never,
  },
  {
    rows: '[C-34]',
    what: 'the VM that made it ends',
    run: ({ memory }) => {
      memory.removeGuest(memory.guest('a'))
    },
    leadsTo: ['free', 'reserved', 'free', 'shared-ro', 'free'],
  },
  {
    rows: '[C-34]',
    what: 'the VM that shares it, or that it is reserved for, ends',
    run: ({ memory }) => {
      memory.removeGuest(memory.guest('b'))
    },
    leadsTo: ['free', 'free', 'private', 'shared-ro', 'shared-ro'],
  },
  {
    rows: '[C-34]',
    what: 'the host writes to DRAM there',
    run: ({ memory }) => {
      memory.overwrite([FRAME], new Uint8Array(PAGE).fill(9))
    },
    leadsTo: ['free', 'reserved', 'private', 'shared-ro', 'shared-ro'],
  },
]

async function inState(state: State): Promise<TestMachine> {
  const machine = new TestMachine()
  const [a, b] = [machine.guest('a'), machine.guest('b')]
  await states[state](machine)
  machine.give(a, 7, SHARED)
  machine.share(a, 7, b, 11)
  machine.memory.reserve('r', 'b', [RESERVED])
  return machine
}

/** Rows and content of all frames that the operations could touch. */
function snapshot({ memory }: TestMachine): unknown {
  const frames = [FRAME, SHARED, RESERVED]
  return structuredClone([memory.describe(frames), memory.totals, memory.read(frames)])
}

/** Runs an operation: the state that the frame has then, or how the operation was refused. */
async function outcome(machine: TestMachine, run: Operation['run']): Promise<string> {
  let waits: string | undefined
  machine.onFault = ({ id, reason }) => {
    waits = `waits: ${reason}`
    machine.memory.resolveFaults([], [{ id, code: 'STALLED', message: 'nobody helps' }])
  }
  const code = await rejection(Promise.resolve().then(() => run(machine)))
  if (code !== 'none') return waits ?? String(code)
  return machine.memory.describe([FRAME])[0]?.state ?? ''
}

describe('a frame', () => {
  const cells = operations.flatMap(({ rows, what, run, leadsTo }) =>
    columns.map((state, column) => {
      const expected = leadsTo[column] ?? ''
      const isRefused = /[A-Z]|^waits/.test(expected)
      return {
        state,
        what,
        run,
        expected,
        isRefused,
        tags: isRefused ? rows : rows.replaceAll(']', ' control]'),
      }
    }),
  )

  it.each(cells)('$tags $state: $what: $expected', async ({ state, run, expected, isRefused }) => {
    const machine = await inState(state)
    const before = snapshot(machine)
    expect(await outcome(machine, run)).toBe(expected)
    if (isRefused) expect(snapshot(machine)).toEqual(before)
  })
})
