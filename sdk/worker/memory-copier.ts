// Copies guest pages: the platform checks and hands out ciphertext, this process decrypts and re-encrypts, the
// platform stores. Decrypt, encrypt and store are this one component's (claim 3).

import { BLOCK_SIZE } from '../block/index.ts'
import { type KeyMode, type ReencryptEngine, tweakFor } from '../crypto/index.ts'
import type { KeyKind } from '../grant/index.ts'
import { type BlockCopy, type CopyRequest, type FrameCopy, PalimpsestError, type Role } from '../rpc/index.ts'
import type { Copier, CopyOutcome, StoredCopy } from './copy.ts'
import type { FaultPoints } from './fault-points.ts'
import { distinctKinds } from './key-ring.ts'
import type { BegunCopies, PlatformPort } from './platform-port.ts'
import type { Registration } from './registration.ts'

/** Re-encrypts guest pages over the platform's worker port. */
export class MemoryCopier implements Copier {
  readonly #platform: PlatformPort
  readonly #engine: ReencryptEngine
  readonly #points: FaultPoints

  constructor(platform: PlatformPort, engine: ReencryptEngine, points: FaultPoints) {
    this.#platform = platform
    this.#engine = engine
    this.#points = points
  }

  async copy(registration: Registration, writer: Role, request: CopyRequest): Promise<CopyOutcome> {
    if (request.mode !== 'store') {
      throw new PalimpsestError(
        'INVALID_ARGUMENT',
        'mode expected store: guest pages are never copied transiently',
      )
    }
    const copies = request.blocks.map((block) => frameCopy(registration, writer, block))
    await this.#points.reached('copier.beforeRead')
    const begun = await this.#platform.begin(registration.id, copies)
    registration.checkLive(begun.state)
    return this.#store(registration, writer, copies, begun)
  }

  async #store(
    registration: Registration,
    writer: Role,
    copies: readonly FrameCopy[],
    begun: BegunCopies,
  ): Promise<CopyOutcome> {
    const spent: bigint[] = []
    try {
      for (const copy of copies) {
        const first = copy.first?.index ?? 0n
        registration.spend(writer, first)
        spent.push(first)
      }
      const keys = checkedKeys(registration, writer, copies, begun)
      const secondCiphertext = this.#reencrypt(registration, writer, copies, begun.ciphertext)
      await this.#points.reached('copier.afterDecrypt')
      const generations = await this.#platform.commit(
        registration.id,
        copies,
        begun.generations,
        secondCiphertext,
      )
      registration.dropWriteKeys(
        writer,
        copies.map((copy) => copy.secondFrame),
      )
      await this.#points.reached('copier.afterStore')
      registration.stored(copies.length)
      return {
        kind: 'stored',
        copies: copies.map((copy, position) =>
          stored(copy, begun.generations[position], generations[position]),
        ),
        positions: copies.map((_copy, position) => position),
        firstCiphertext: begun.ciphertext,
        secondCiphertext,
        keys,
      }
    } catch (error) {
      for (const first of spent) registration.unspend(writer, first)
      throw error
    }
  }

  #reencrypt(
    registration: Registration,
    writer: Role,
    copies: readonly FrameCopy[],
    ciphertext: Uint8Array,
  ): Uint8Array {
    const output = new Uint8Array(ciphertext.length)
    for (const [position, { firstFrame, secondFrame }] of copies.entries()) {
      const from = position * BLOCK_SIZE
      registration.useReadKey(firstFrame, (readKey, read) => {
        registration.useWriteKey(writer, secondFrame, (writeKey, write) => {
          this.#engine.run({
            source: page(readKey, tweakFor(read.mode, firstFrame)),
            destination: page(writeKey, tweakFor(write.mode, secondFrame)),
            input: ciphertext.subarray(from, from + BLOCK_SIZE),
            output: output.subarray(from, from + BLOCK_SIZE),
          })
        })
      })
    }
    return output
  }
}

/**
 * The kinds of keys that a session uses, once it is known that they are of the modes which the platform has for the
 * frames: with any other mode, what is stored would be garbage. @throws PalimpsestError GRANT_MISSING, REFUSED_KEY_MODE
 */
function checkedKeys(
  registration: Registration,
  writer: Role,
  copies: readonly FrameCopy[],
  { firstModes, secondModes }: BegunCopies,
): KeyKind[] {
  const kinds = copies.map(({ firstFrame, secondFrame }) =>
    registration.kinds(firstFrame, writer, secondFrame),
  )
  for (const [position, { read, write }] of kinds.entries()) {
    expectMode(copies[position]?.firstFrame, firstModes[position], read)
    expectMode(copies[position]?.secondFrame, secondModes[position], write)
  }
  return distinctKinds(kinds.flatMap(({ read, write }) => [read, write]))
}

function expectMode(frame = 0n, expected: KeyMode | undefined, { use, mode }: KeyKind): void {
  if (mode === expected) return
  throw new PalimpsestError(
    'REFUSED_KEY_MODE',
    `frame ${frame.toString()}: expected a key of mode ${expected ?? 'none'} to ${use} it, found one of mode ${mode}; register again with the mode that the VM has installed`,
    { metadata: { frame: frame.toString(), expected: expected ?? '', found: mode } },
  )
}

/** A page is one XTS data unit whose tweak is its frame number. */
function page(key: Uint8Array, firstSector: bigint) {
  return { key, firstSector, sectorSize: BLOCK_SIZE, tweakStep: 1n } as const
}

function frameCopy(registration: Registration, writer: Role, block: BlockCopy): FrameCopy {
  const { first, second, firstFrame, secondFrame } = block
  if (firstFrame === undefined || secondFrame === undefined) {
    throw new PalimpsestError('INVALID_ARGUMENT', 'a copy of guest pages expected both frames')
  }
  const { source } = registration.open
  return {
    firstFrame,
    first: { vm: source.vm, index: first },
    secondFrame,
    second: { vm: registration.open[writer].vm, index: second },
  }
}

function stored(copy: FrameCopy, generation = 0n, secondGeneration = 0n): StoredCopy {
  return { first: copy.first?.index ?? 0n, second: copy.second?.index ?? 0n, generation, secondGeneration }
}
