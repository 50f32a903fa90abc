// Copies disk blocks: ciphertext comes from the host's store and goes back to it under the other volume's key. That a
// first block is frozen, and a second unwritten, is the host's word (the platform is not in the path for disks).

import { BLOCK_SIZE } from '../block/index.ts'
import type { ReencryptEngine, SectorSize } from '../crypto/index.ts'
import type { KeyKind } from '../grant/index.ts'
import {
  type BlockRun,
  type ClientOf,
  type CopyRequest,
  PalimpsestError,
  type Role,
  type WorkerDataService,
} from '../rpc/index.ts'
import type { Copier, CopyOutcome } from './copy.ts'
import type { FaultPoints } from './fault-points.ts'
import type { PlatformPort } from './platform-port.ts'
import type { Registration } from './registration.ts'

/** plain64 tweaks count 512-byte units whatever the sector size (dm-crypt's "plain64" IV). */
const TWEAK_UNIT = 512

interface FirstBlocks {
  readonly ciphertext: Uint8Array
  readonly generations: readonly bigint[]
}

/** Re-encrypts disk blocks over the host's data plane. */
export class DiskCopier implements Copier {
  readonly #platform: PlatformPort
  readonly #data: ClientOf<typeof WorkerDataService>
  readonly #engine: ReencryptEngine
  readonly #points: FaultPoints

  constructor(
    platform: PlatformPort,
    data: ClientOf<typeof WorkerDataService>,
    engine: ReencryptEngine,
    points: FaultPoints,
  ) {
    this.#platform = platform
    this.#data = data
    this.#engine = engine
    this.#points = points
  }

  async copy(registration: Registration, writer: Role, request: CopyRequest): Promise<CopyOutcome> {
    if (writer !== 'destination') {
      throw new PalimpsestError(
        'INVALID_ARGUMENT',
        'writer expected destination: a source keeps its own ciphertext',
      )
    }
    await this.#points.reached('copier.beforeRead')
    if (request.mode === 'transient') {
      const first = await this.#read(registration, request)
      return { kind: 'transient', ciphertext: this.#reencrypt(registration, request, first.ciphertext) }
    }
    return this.#store(registration, request)
  }

  async #store(registration: Registration, request: CopyRequest): Promise<CopyOutcome> {
    const spent: bigint[] = []
    try {
      for (const block of request.blocks) {
        registration.spend('destination', block.first)
        spent.push(block.first)
      }
      const first = await this.#read(registration, request)
      const secondCiphertext = this.#reencrypt(registration, request, first.ciphertext)
      const keys = volumeKeys(registration)
      await this.#points.reached('copier.afterDecrypt')
      const positions = await this.#put(registration, request, secondCiphertext, first.generations)
      await this.#points.reached('copier.afterStore')
      registration.stored(positions.length)
      return {
        kind: 'stored',
        copies: positions.map((position) => ({
          first: request.blocks[position]?.first ?? 0n,
          second: request.blocks[position]?.second ?? 0n,
          generation: first.generations[position] ?? 0n,
          secondGeneration: 0n,
        })),
        positions,
        firstCiphertext: first.ciphertext,
        secondCiphertext,
        keys,
      }
    } catch (error) {
      for (const first of spent) registration.unspend('destination', first)
      throw error
    }
  }

  async #read(registration: Registration, request: CopyRequest): Promise<FirstBlocks> {
    const ciphertext = new Uint8Array(request.blocks.length * BLOCK_SIZE)
    const generations: bigint[] = []
    let filled = 0
    const runs = runsFrom(request.blocks.map((block) => block.first))
    for await (const piece of this.#data.readFirstBlocks({ registration: registration.id, runs })) {
      if (filled + piece.ciphertext.length > ciphertext.length) break
      ciphertext.set(piece.ciphertext, filled)
      filled += piece.ciphertext.length
      generations.push(...piece.generations)
    }
    // After the read, which lasts as long as the host likes: a lease that ended meanwhile allows nothing.
    registration.checkLive(await this.#platform.state())
    if (filled === ciphertext.length && generations.length === request.blocks.length)
      return { ciphertext, generations }
    throw new PalimpsestError(
      'DATA_LOSS',
      `the host's data plane expected to give ${String(ciphertext.length)} bytes, gave ${String(filled)}`,
    )
  }

  #reencrypt(registration: Registration, request: CopyRequest, input: Uint8Array): Uint8Array {
    const output = new Uint8Array(input.length)
    const sectorSize = {
      read: registration.sectorSize('source'),
      write: registration.sectorSize('destination'),
    }
    let position = 0
    for (const run of pairRuns(request)) {
      const from = position * BLOCK_SIZE
      const to = from + run.count * BLOCK_SIZE
      registration.useReadKey(run.first, (readKey) => {
        registration.useWriteKey('destination', run.second, (writeKey) => {
          this.#engine.run({
            source: sectors(readKey, run.first, sectorSize.read),
            destination: sectors(writeKey, run.second, sectorSize.write),
            input: input.subarray(from, to),
            output: output.subarray(from, to),
          })
        })
      })
      position += run.count
    }
    return output
  }

  async #put(
    registration: Registration,
    request: CopyRequest,
    ciphertext: Uint8Array,
    generations: readonly bigint[],
  ): Promise<readonly number[]> {
    const runs = runsFrom(request.blocks.map((block) => block.second))
    const answer = await this.#data.putSecondBlocks({
      registration: registration.id,
      runs,
      ciphertext,
      generations,
    })
    return answer.stored
  }
}

/** What kinds of keys a session uses: a volume has one, whichever block it is asked for. */
function volumeKeys(registration: Registration): KeyKind[] {
  const { read, write } = registration.kinds(0n, 'destination', 0n)
  return [read, write]
}

function sectors(key: Uint8Array, block: bigint, sectorSize: SectorSize) {
  const firstSector = block * BigInt(BLOCK_SIZE / TWEAK_UNIT)
  return { key, firstSector, sectorSize, tweakStep: BigInt(sectorSize / TWEAK_UNIT) }
}

/** Runs of consecutive blocks, in the order given. */
function runsFrom(blocks: readonly bigint[]): BlockRun[] {
  const runs: { first: bigint; count: number }[] = []
  for (const block of blocks) {
    const last = runs.at(-1)
    if (last !== undefined && last.first + BigInt(last.count) === block) last.count += 1
    else runs.push({ first: block, count: 1 })
  }
  return runs
}

/** Runs in which both sides are consecutive. */
function pairRuns(request: CopyRequest): { first: bigint; second: bigint; count: number }[] {
  const runs: { first: bigint; second: bigint; count: number }[] = []
  for (const { first, second } of request.blocks) {
    const last = runs.at(-1)
    const next = last === undefined ? 0n : BigInt(last.count)
    if (last !== undefined && last.first + next === first && last.second + next === second) last.count += 1
    else runs.push({ first, second, count: 1 })
  }
  return runs
}
