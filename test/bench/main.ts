// `npm run bench`: what things cost on this machine, each beside a peer measured in the same run. It asserts nothing:
// ratios on one machine in one run can be compared, times of different days can not.
//
//   npm run bench [-- [engines] [memory] [clones] [tpm] [paging] [--json]]

import { cpus } from 'node:os'
import { bytesText, table } from '../../emulator/cli/output.ts'
import { Tpm } from '../../emulator/platform/tpm/index.ts'
import { startTestbed, type Testbed, type TestVm } from '../../emulator/testbed/index.ts'
import { engineNames, Secret, selectEngine } from '../../sdk/crypto/index.ts'
import { type Latency, latency, type Row, throughput, wall } from './measure.ts'
import { startEcho } from './echo.ts'
import { memoryRows } from './memory.ts'
import { pagingRows } from './paging.ts'
import { tpmRows } from './tpm.ts'

const FAULTS = 300
const WARM_UP = 20
const FAULTED_PAGES = FAULTS + WARM_UP
const BULK_BYTES = 64 << 20

const ms = (value: number) => `${value.toFixed(2)} ms`
const spread = ({ p50, p99 }: Latency) => `p50 ${ms(p50)}, p99 ${ms(p99)}`

function engines(): Row[] {
  const unit = { firstSector: 0n, sectorSize: 4096, tweakStep: 1n } as const
  const input = new Uint8Array(64 << 10).fill(3)
  const output = new Uint8Array(input.length)
  const source = { ...unit, key: Secret.random(64) }
  const destination = { ...unit, key: Secret.random(64) }
  const rates = engineNames.map((name) => {
    const engine = selectEngine(name)
    return {
      name,
      rate: throughput(input.length, 500, () => {
        engine.run({ source, destination, input, output })
      }),
    }
  })
  const slowest = Math.min(...rates.map(({ rate }) => rate))
  return rates.map(({ name, rate }) => ({
    what: `engine ${name}, re-encrypt 64 KiB in 4 KiB units, one core`,
    measured: `${bytesText(rate)}/s of processor time`,
    peer: `${(rate / slowest).toFixed(1)}x the slowest`,
  }))
}

async function faults(source: TestVm, destination: TestVm, bed: Testbed): Promise<Row[]> {
  const echo = await startEcho()
  const trip = await latency(FAULTS, 50, () => echo.call())
  await echo.close()
  const plain = await latency(FAULTS, WARM_UP, (call) =>
    source.guest.store(BigInt(call % FAULTED_PAGES) * 4096n, new Uint8Array(64)),
  )
  await bed.cloneMemory('faults', source, destination, BigInt(FAULTED_PAGES))
  const copied = await latency(FAULTS, WARM_UP, (call) =>
    destination.guest.store(BigInt(call) * 4096n, new Uint8Array(64)),
  )
  const ratio = (of: Latency) => `${(of.p50 / trip.p50).toFixed(1)}x a bare round trip`
  return [
    { what: 'bare grpc-js unary round trip, UNIX socket', measured: spread(trip), peer: '1.0x' },
    { what: 'store of 64 bytes, no fault', measured: spread(plain), peer: ratio(plain) },
    {
      what: 'store that faults: copied by the worker, landed',
      measured: spread(copied),
      peer: ratio(copied),
    },
  ]
}

async function bulk(source: TestVm, destination: TestVm, bed: Testbed): Promise<Row[]> {
  const rate = (blocks: bigint, time: number) =>
    `${String(Math.round((Number(blocks) / time) * 1000))} blocks/s`
  let blocks = 0n
  const first = BigInt(FAULTED_PAGES)
  const pair = { first, second: first, count: BigInt(BULK_BYTES / 4096) - first }
  await bed.hypervisor.createClone(
    {
      clone: 'bulk-memory',
      source: source.name,
      destination: destination.name,
      storage: { case: 'memory', value: { pairs: [pair] } },
    },
    { deadlineMs: 60_000 },
  )
  const memory = await wall(async () => {
    blocks = await bed.finish('bulk-memory')
  })
  const rows = [
    {
      what: `background copy of memory, ${blocks.toString()} pages`,
      measured: rate(blocks, memory),
      peer: '',
    },
  ]
  const disk = await source.createVolume('bulk', BULK_BYTES)
  await disk.write(0n, new Uint8Array(BULK_BYTES).fill(5))
  await disk.flush()
  await bed.cloneVolume('bulk-copy', source, destination, { source: 'bulk', destination: 'bulk-copy' })
  const time = await wall(async () => {
    blocks = await bed.finish('bulk-copy')
  })
  rows.push({
    what: `background copy of a volume, ${blocks.toString()} blocks`,
    measured: rate(blocks, time),
    peer: '',
  })
  return rows
}

async function creation(source: TestVm, destination: TestVm, bed: Testbed): Promise<Row[]> {
  const times: number[] = []
  for (const [name, size] of [
    ['one-gib', 2 ** 30],
    ['one-tib', 2 ** 40],
  ] as const) {
    await source.createVolume(name, size)
    times.push(
      await wall(() =>
        bed.cloneVolume(`${name}-copy`, source, destination, { source: name, destination: `${name}-copy` }),
      ),
    )
  }
  const [small = 0, large = 0] = times
  return [
    { what: 'clone of a 1 GiB volume, attested', measured: ms(small), peer: '1.0x' },
    {
      what: 'clone of a 1 TiB volume, attested',
      measured: ms(large),
      peer: `${(large / small).toFixed(1)}x the 1 GiB`,
    },
  ]
}

async function clones(): Promise<Row[]> {
  const bed = await startTestbed({ memoryBytes: BULK_BYTES * 3 })
  try {
    const source = await bed.vm('source', { memoryBytes: BULK_BYTES })
    const destination = await bed.vm('destination', { memoryBytes: BULK_BYTES, unmapped: true })
    await source.guest.store(0n, new Uint8Array(BULK_BYTES).fill(1))
    await source.serveSource({ peers: [destination.identity] })
    await destination.serveDestination({ peers: [source.identity] })
    const rows = await faults(source, destination, bed)
    rows.push(...(await bulk(source, destination, bed)), ...(await creation(source, destination, bed)))
    return rows
  } finally {
    await bed.close()
  }
}

/** TPM commands, of ours in this process and served, beside swtpm. */
function tpm(): Promise<Row[]> {
  const own = new Tpm()
  own.powerOn()
  return tpmRows({
    name: 'palimpsest in process',
    execute: (command, locality) => own.execute(command, locality),
  })
}

const parts = {
  engines: () => Promise.resolve(engines()),
  memory: memoryRows,
  clones,
  tpm,
  paging: () => Promise.resolve(pagingRows()),
}
const wanted = process.argv.slice(2).filter((one) => one !== '--json')
const rows: Row[] = []
for (const [name, measure] of Object.entries(parts)) {
  if (wanted.length === 0 || wanted.includes(name)) rows.push(...(await measure()))
}

const machine = `${String(cpus().length)} x ${cpus()[0]?.model ?? 'unknown'}, node ${process.version}`
if (process.argv.includes('--json')) console.log(JSON.stringify({ machine, rows }))
else
  for (const line of [
    machine,
    '',
    ...table(
      ['what', 'measured', 'beside its peer'],
      rows.map((row) => [row.what, row.measured, row.peer]),
    ),
  ])
    console.log(line)
