/**
 * Block data: one sparse file per layer, each block at its own offset (design.md section 8).
 *
 * Reads and writes are synchronous. They move bytes between the page cache and the caller, which costs less than a
 * trip through libuv's thread pool, and they make "check, then write" one step that nothing can come between.
 * Only syncing waits for the disk, and that is asynchronous.
 */
import { closeSync, constants, fdatasync, mkdirSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { BLOCK_SIZE } from './bitmap.ts'
import { StorageError } from './errors.ts'

const fdatasyncAsync = promisify(fdatasync)
const OPEN_FILES = 256

/** The layer files of a store. A file comes into being with its layer's first write. */
export class DataFiles {
  readonly #directory: string
  /** Least recently used first. */
  readonly #open = new Map<number, number>()
  readonly #pinned = new Map<number, number>()
  /** Layers whose file was created and whose name is not on disk yet. */
  readonly #unsyncedNames = new Set<number>()

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#directory = directory
  }

  /**
   * Fills `out` from the block on.
   * @throws StorageError LAYER_DAMAGED when the file ends too early.
   */
  read(layer: number, block: number, out: Uint8Array): void {
    const fd = this.#fd(layer, false)
    const position = block * BLOCK_SIZE
    for (let done = 0; done < out.length;) {
      const got = readSync(fd, out, done, out.length - done, position + done)
      if (got === 0) throw damaged(layer, block)
      done += got
    }
  }

  /**
   * Writes bytes at a byte position.
   * @throws the system's error (ENOSPC, EIO); some of the bytes may then have been written.
   */
  write(layer: number, position: number, bytes: Uint8Array): void {
    const fd = this.#fd(layer, true)
    for (let done = 0; done < bytes.length;) {
      done += writeSync(fd, bytes, done, bytes.length - done, position + done)
    }
  }

  /** Resolves when everything written to the layer so far is on disk, its file's name included. */
  async sync(layer: number): Promise<void> {
    const fd = this.#fd(layer, true)
    this.#pinned.set(layer, (this.#pinned.get(layer) ?? 0) + 1)
    try {
      await fdatasyncAsync(fd)
      if (this.#unsyncedNames.has(layer)) await this.#syncName(layer)
    } finally {
      const pins = (this.#pinned.get(layer) ?? 1) - 1
      if (pins === 0) this.#pinned.delete(layer)
      else this.#pinned.set(layer, pins)
    }
  }

  /** Deletes a layer's file, if there is one. */
  remove(layer: number): void {
    const fd = this.#open.get(layer)
    if (fd !== undefined) {
      this.#open.delete(layer)
      closeSync(fd)
    }
    rmSync(this.#path(layer), { force: true })
  }

  /** Closes every file. */
  close(): void {
    for (const fd of this.#open.values()) closeSync(fd)
    this.#open.clear()
  }

  #fd(layer: number, create: boolean): number {
    const known = this.#open.get(layer)
    if (known !== undefined) {
      if (this.#open.size < OPEN_FILES / 2) return known
      this.#open.delete(layer)
      this.#open.set(layer, known)
      return known
    }
    this.#makeRoom()
    const fd = this.#openFile(layer, create)
    this.#open.set(layer, fd)
    return fd
  }

  #openFile(layer: number, create: boolean): number {
    try {
      return openSync(this.#path(layer), constants.O_RDWR)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      if (!create) throw damaged(layer, 0)
      const fd = openSync(this.#path(layer), constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600)
      this.#unsyncedNames.add(layer)
      return fd
    }
  }

  /** Closing loses nothing: a later sync through a new descriptor covers the same pages. */
  #makeRoom(): void {
    if (this.#open.size < OPEN_FILES) return
    for (const [layer, fd] of this.#open) {
      if (this.#pinned.has(layer)) continue
      this.#open.delete(layer)
      closeSync(fd)
      return
    }
  }

  async #syncName(layer: number): Promise<void> {
    const directory = await open(this.#directory, 'r')
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
    this.#unsyncedNames.delete(layer)
  }

  #path(layer: number): string {
    return join(this.#directory, `${String(layer)}.data`)
  }
}

function damaged(layer: number, block: number): StorageError {
  return new StorageError(
    'LAYER_DAMAGED',
    `layer ${String(layer)} promises data from block ${String(block)} on, but its file ends before; ` +
      'restore the file from a backup',
    { layer, block },
  )
}
