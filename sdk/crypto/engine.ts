// The engine interface: decrypting with one key and encrypting with another over caller-owned buffers, many sectors a
// call, synchronously. All engines give the same bytes; they differ in speed and in what they need from the machine.

import { type KeyBytes, useKey } from './secret.ts'
import type { EngineCore, RawCipher } from './xts-core.ts'
import { nobleCore } from './xts-noble.ts'
import { nodeCore } from './xts-node.ts'
import { checkBuffers, checkLayout, checkXtsKey, type SectorBuffers, type SectorLayout } from './xts.ts'

/** A layout and the 64-byte key for it. */
export interface KeyedLayout extends SectorLayout {
  readonly key: KeyBytes
}

/**
 * One key, many calls: the key schedule is set up once. For a disk, or a frame's location key while it is in use.
 * Errors are those of {@link ReencryptEngine}; after {@link XtsSectorCipher.close} every call throws TypeError.
 */
export interface XtsSectorCipher {
  encrypt(call: SectorLayout & SectorBuffers): void
  decrypt(call: SectorLayout & SectorBuffers): void
  /** Wipes the cipher's copy of the key. Closing twice is harmless. */
  close(): void
}

/** A fixed pair of keys, many calls: the bulk copy of one disk to another. */
export interface SectorReencryptor {
  run(call: SectorBuffers & { readonly source: SectorLayout; readonly destination: SectorLayout }): void
  /** Wipes both copies of keys. Closing twice is harmless. */
  close(): void
}

/**
 * AES-256-XTS over sectors. `source` and `destination` may differ in everything: key, tweaks and sector size.
 *
 * Every method throws, before it touches `output`: TypeError or RangeError for arguments of a wrong type, length or
 * range, and WeakKeyError `WEAK_KEY` for a key whose halves are equal. Engines keep no key after a call, except in the
 * objects made by {@link ReencryptEngine.cipher} and {@link ReencryptEngine.reencryptor} until they are closed.
 *
 * @example
 * selectEngine().run({
 *   source: { key: k1, firstSector: 18n, sectorSize: 4096, tweakStep: 1n },
 *   destination: { key: k2, firstSector: 77n, sectorSize: 4096, tweakStep: 1n },
 *   input, output,
 * })
 */
export interface ReencryptEngine {
  /** Name for {@link selectEngine} and for reports. */
  readonly name: string
  /** output = encrypt(destination, decrypt(source, input)). */
  run(call: SectorBuffers & { readonly source: KeyedLayout; readonly destination: KeyedLayout }): void
  encrypt(call: KeyedLayout & SectorBuffers): void
  decrypt(call: KeyedLayout & SectorBuffers): void
  cipher(key: KeyBytes): XtsSectorCipher
  reencryptor(keys: { readonly source: KeyBytes; readonly destination: KeyBytes }): SectorReencryptor
}

function openKey(core: EngineCore, key: KeyBytes): RawCipher {
  checkXtsKey(key)
  return useKey(key, (bytes) => core.open(bytes))
}

function checkCall(buffers: SectorBuffers, ...layouts: readonly SectorLayout[]): void {
  checkBuffers(buffers)
  for (const layout of layouts) checkLayout(layout, buffers.input.length)
}

/** The public face over a core: all checks are made here, once for all engines. */
function engineOver(core: EngineCore): ReencryptEngine {
  const engine: ReencryptEngine = {
    name: core.name,

    cipher(key) {
      const raw = openKey(core, key)
      return {
        encrypt(call) {
          checkCall(call, call)
          raw.encrypt(call, call.input, call.output)
        },
        decrypt(call) {
          checkCall(call, call)
          raw.decrypt(call, call.input, call.output)
        },
        close() {
          raw.close()
        },
      }
    },

    reencryptor(keys) {
      const source = openKey(core, keys.source)
      const destination = openKey(core, keys.destination)
      return {
        run(call) {
          checkCall(call, call.source, call.destination)
          core.reencrypt(
            { cipher: source, layout: call.source },
            { cipher: destination, layout: call.destination },
            call.input,
            call.output,
          )
        },
        close() {
          source.close()
          destination.close()
        },
      }
    },

    run(call) {
      const pair = engine.reencryptor({ source: call.source.key, destination: call.destination.key })
      try {
        pair.run(call)
      } finally {
        pair.close()
      }
    },

    encrypt(call) {
      const cipher = engine.cipher(call.key)
      try {
        cipher.encrypt(call)
      } finally {
        cipher.close()
      }
    },

    decrypt(call) {
      const cipher = engine.cipher(call.key)
      try {
        cipher.decrypt(call)
      } finally {
        cipher.close()
      }
    },
  }
  return engine
}

/** All engines, fastest first. */
const engines: readonly ReencryptEngine[] = [nodeCore, nobleCore].map(engineOver)

/** Names that {@link selectEngine} takes, fastest first. */
export const engineNames: readonly string[] = engines.map(({ name }) => name)

/** The engine of that name, by default the fastest. Throws RangeError for an unknown name. */
export function selectEngine(name?: string): ReencryptEngine {
  const engine = name === undefined ? engines[0] : engines.find((candidate) => candidate.name === name)
  if (!engine) throw new RangeError(`"name" expected one of ${engineNames.join(', ')}, got "${String(name)}"`)
  return engine
}
