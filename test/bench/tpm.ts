// What TPM commands cost: swtpm's process beside ours, over one persistent connection each and the same client, ours
// in this process, and a bare echo server as the floor. Targets take turns in every round, so that what else the machine
// does hits all of them; a ratio is the median of the rounds' ratios.

import * as commands from './tpm-commands.ts'
import type { Row } from './measure.ts'
import { inProcess, type Opened, openEcho, openServed, openSwtpm, type Target } from './tpm-targets.ts'

/** A TPM in this process: `execute` takes a command and a locality. */
export interface TpmInProcess {
  readonly name: string
  execute(command: Uint8Array, locality: number): Uint8Array
}

type Send = Target['send']

/** The attestation keys that quotes are made with. */
type Keys = Readonly<Record<commands.KeyKind, number>>

interface Operation {
  readonly what: string
  /** one command that is always the same: an echo server can stand in for it */
  readonly single?: Uint8Array
  /** how many in a round; without it, as many as fit into ROUND_MS */
  readonly times?: number
  /** does it once, and answers what is to be flushed outside the measured time */
  run(send: Send, keys: Keys): Promise<number | undefined>
}

/** What was measured of one operation on one target, a value per round. */
interface Samples {
  /** operations a second */
  readonly rates: number[]
  /** processor time of the TPM per operation, in microseconds */
  readonly cpu: number[]
}

const ROUNDS = 6
const ROUND_MS = 150
/** once per operation and target, so that compilers and caches have done their part; then a little each round */
const WARM_UP_MS = 600
const WARM_UP = 20
const RSA_PRIMARIES = 8
const ECC_PRIMARIES = 40

let serial = 0

function single(what: string, command: Uint8Array): Operation {
  return {
    what,
    single: command,
    run: async (send) => {
      await commands.ask(send, what, command)
      return undefined
    },
  }
}

function quoting(kind: commands.KeyKind): Operation {
  const what = `TPM2_Quote, ${kind}`
  return {
    what,
    run: async (send, keys) => {
      await commands.ask(send, what, commands.quote(keys[kind]))
      return undefined
    },
  }
}

/** Every one with a template of its own, so that a TPM that remembers primary keys has to make each of them. */
function creating(kind: commands.KeyKind, times: number): Operation {
  const what = `TPM2_CreatePrimary, ${kind}, another template each time`
  return {
    what,
    times,
    run: async (send) => {
      serial += 1
      return commands.handleOf(await commands.ask(send, what, commands.createPrimary(kind, serial)))
    },
  }
}

const policySession: Operation = {
  what: 'StartAuthSession + PolicyPCR + FlushContext',
  run: async (send) => {
    const session = commands.handleOf(
      await commands.ask(send, 'TPM2_StartAuthSession', commands.startPolicySession),
    )
    await commands.ask(send, 'TPM2_PolicyPCR', commands.policyPcr(session))
    await commands.ask(send, 'TPM2_FlushContext', commands.flush(session))
    return undefined
  },
}

const OPERATIONS: readonly Operation[] = [
  single('TPM2_GetRandom(32)', commands.getRandom),
  single('TPM2_GetCapability, fixed properties', commands.getFixedProperties),
  single('TPM2_PCR_Read, nine PCRs', commands.pcrRead),
  single('TPM2_PCR_Extend, SHA-256', commands.pcrExtend),
  policySession,
  quoting('P-256'),
  quoting('RSA-2048'),
  creating('P-256', ECC_PRIMARIES),
  creating('RSA-2048', RSA_PRIMARIES),
]

/** One call of an operation on a target. */
function callOf(operation: Operation, target: Target, keys: Keys): () => Promise<number | undefined> {
  const send: Send = (command) => target.send(command)
  const { single: echoed } = operation
  return async () => {
    if (target.echo !== true) return operation.run(send, keys)
    if (echoed !== undefined) await send(echoed)
    return undefined
  }
}

async function warmUp(operation: Operation, target: Target, keys: Keys): Promise<void> {
  const once = callOf(operation, target, keys)
  const end = performance.now() + WARM_UP_MS
  while (operation.times === undefined && performance.now() < end) await once()
}

/** Runs an operation for one round on one target. */
async function round(operation: Operation, target: Target, keys: Keys, samples: Samples): Promise<void> {
  const send: Send = (command) => target.send(command)
  const once = callOf(operation, target, keys)
  for (let call = 0; call < (operation.times === undefined ? WARM_UP : 0); call += 1) await once()
  let [spent, used, calls] = [0, 0, 0]
  const enough = () => (operation.times === undefined ? spent >= ROUND_MS : calls >= operation.times)
  while (!enough()) {
    // The clocks are read once per batch: reading them would cost as much as a cheap command.
    const batch = operation.times === undefined ? 32 : 1
    const [cpu, started] = [target.cpu(), performance.now()]
    let made: number | undefined
    for (let call = 0; call < batch; call += 1) made = await once()
    spent += performance.now() - started
    used += (target.cpu() ?? NaN) - (cpu ?? NaN)
    calls += batch
    if (made !== undefined) await commands.ask(send, 'TPM2_FlushContext', commands.flush(made))
  }
  samples.rates.push((calls / spent) * 1000)
  samples.cpu.push(used / calls)
}

/** TPM2_Startup and the attestation keys; an echo server needs neither. */
async function prepare(target: Target): Promise<Keys> {
  if (target.echo === true) return { 'P-256': 0, 'RSA-2048': 0 }
  const send: Send = (command) => target.send(command)
  await commands.ask(send, 'TPM2_Startup', commands.startup)
  const make = async (kind: commands.KeyKind) =>
    commands.handleOf(await commands.ask(send, 'TPM2_CreatePrimary', commands.createPrimary(kind, 0)))
  return { 'P-256': await make('P-256'), 'RSA-2048': await make('RSA-2048') }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const [low = NaN, high = NaN] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]]
  return (low + high) / 2
}

const count = (value: number) => Math.round(value).toLocaleString('en')

function rowOf(operation: Operation, target: Target, samples: Samples, reference: Samples | undefined): Row {
  const [typical, best] = [median(samples.rates), Math.max(...samples.rates)]
  const speed =
    operation.times === undefined
      ? `${count(typical)}/s [best ${count(best)}]`
      : `${(1000 / typical).toFixed(1)} ms [best ${(1000 / best).toFixed(1)}]`
  const cpu = Math.min(...samples.cpu)
  return {
    what: `${operation.what}: ${target.name}`,
    measured: Number.isNaN(cpu) ? speed : `${speed}, ${count(cpu)} us of processor`,
    peer: reference === undefined ? '' : besides(samples, reference),
  }
}

/** Speed beside swtpm's, of the same round each time; and processor time, which a busy machine disturbs less. */
function besides(samples: Samples, reference: Samples): string {
  const faster = median(samples.rates.map((rate, turn) => rate / (reference.rates[turn] ?? NaN)))
  const cpu = Math.min(...samples.cpu) / Math.min(...reference.cpu)
  return `${faster.toFixed(2)}x swtpm${Number.isNaN(cpu) ? '' : `, ${cpu.toFixed(2)}x its processor time`}`
}

/** Opens what can be opened; the others are rows that say why not. */
async function openAll(own: TpmInProcess | undefined): Promise<{ targets: Target[]; skipped: Row[] }> {
  const here: Opened[] = own === undefined ? [] : [{ target: inProcess(own.name, own.execute.bind(own)) }]
  const targets: Target[] = []
  const skipped: Row[] = []
  for (const opened of [await openSwtpm(), await openServed(), await openEcho(), ...here]) {
    if ('target' in opened) targets.push(opened.target)
    else skipped.push({ what: 'TPM commands', measured: 'skipped', peer: opened.skipped })
  }
  return { targets, skipped }
}

/** Measures all operations on swtpm, on `palimpsest tpm serve`, on the echo server, and on `own` when it is given. */
export async function tpmRows(own?: TpmInProcess): Promise<Row[]> {
  const { targets, skipped } = await openAll(own)
  try {
    const keys = new Map<Target, Keys>()
    for (const target of targets) keys.set(target, await prepare(target))
    return [...(await measureAll(targets, keys)), ...skipped]
  } finally {
    for (const target of targets) await target.close()
  }
}

async function measureAll(targets: readonly Target[], keys: ReadonlyMap<Target, Keys>): Promise<Row[]> {
  const rows: Row[] = []
  for (const operation of OPERATIONS) {
    const able = targets.filter(({ echo }) => echo !== true || operation.single !== undefined)
    const samples = new Map<Target, Samples>(able.map((target) => [target, { rates: [], cpu: [] }]))
    for (const target of able) {
      const known = keys.get(target)
      if (known !== undefined) await warmUp(operation, target, known)
    }
    for (let turn = 0; turn < ROUNDS; turn += 1) {
      // Another one begins each round.
      const first = turn % able.length
      for (const target of [...able.slice(first), ...able.slice(0, first)]) {
        const [known, into] = [keys.get(target), samples.get(target)]
        if (known !== undefined && into !== undefined) await round(operation, target, known, into)
      }
    }
    const reference = able.find(({ name }) => name.startsWith('swtpm'))
    for (const [target, taken] of samples) {
      rows.push(rowOf(operation, target, taken, reference === undefined ? undefined : samples.get(reference)))
    }
  }
  return rows
}
