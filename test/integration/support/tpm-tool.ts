/** `palimpsest tpm …` on TPMs that `palimpsest tpm serve` serves, or in folders, with a folder for the files of a test. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect } from 'vitest'
import { hex, sha256 } from '../../../sdk/crypto/index.ts'
import { type Ended, PalimpsestCommand, type Started } from './command.ts'

/** As `palimpsest --help` lists them. */
export const EXIT = { ok: 0, failed: 1, usage: 2, unavailable: 3, refused: 4 }

/** The command, the servers it started, and a folder: all of it goes with close(). */
export class Workshop {
  readonly command: PalimpsestCommand
  readonly folder = mkdtempSync(path.join(tmpdir(), 'palimpsest-tpm-'))
  readonly #servers: Started[] = []
  #names = 0

  private constructor(command: PalimpsestCommand) {
    this.command = command
  }

  static async open(): Promise<Workshop> {
    return new Workshop(await PalimpsestCommand.bundle())
  }

  /** Where there is no file yet. */
  place(name: string): string {
    return path.join(this.folder, `${String((this.#names += 1))}-${name}`)
  }

  /** A new file with this content. */
  file(name: string, content: Uint8Array | string): string {
    const at = this.place(name)
    writeFileSync(at, content)
    return at
  }

  /** The TPM that --tcti or --tpm names. */
  tpm(...where: readonly string[]): TpmTool {
    return new TpmTool(this.command, where)
  }

  /** Serves a new TPM, on a free port where `options` do not say otherwise; its TCTI. */
  async served(protocol: 'swtpm' | 'mssim', ...options: readonly string[]): Promise<string> {
    const where = options.includes('--unix') ? [] : ['--port', '0']
    const server = await this.command.start(
      ...['tpm', 'serve', '--protocol', protocol, '--json', ...where, ...options],
    )
    this.#servers.push(server)
    return (JSON.parse(server.firstLine) as { tcti: string }).tcti
  }

  async close(): Promise<void> {
    for (const server of this.#servers) {
      server.process.kill('SIGTERM')
      await server.ended
    }
    this.command.remove()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** `palimpsest tpm` on one TPM. */
export class TpmTool {
  readonly #command: PalimpsestCommand
  readonly #where: readonly string[]

  constructor(command: PalimpsestCommand, where: readonly string[]) {
    this.#command = command
    this.#where = where
  }

  run(...args: readonly string[]): Promise<Ended> {
    return this.#command.run('tpm', ...args, ...this.#where)
  }

  /** What a command prints that has to succeed. */
  async says(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args)
    expect({ args, code, stderr }).toEqual({ args, code: EXIT.ok, stderr: '' })
    return stdout
  }

  /** The JSON document of a command that has to succeed. */
  async json(...args: readonly string[]): Promise<Record<string, unknown>> {
    return JSON.parse(await this.says(...args, '--json')) as Record<string, unknown>
  }

  /** The complaint of a command that has to end with this exit code, and print nothing. */
  async fails(code: number, ...args: readonly string[]): Promise<string> {
    const ended = await this.run(...args)
    expect({ args, ...ended }).toEqual({ args, code, stdout: '', stderr: ended.stderr })
    return ended.stderr
  }

  /** A SHA-256 PCR. */
  async pcr(pcr: number): Promise<string | undefined> {
    const { values } = await this.json('pcr', 'read', `sha256:${String(pcr)}`)
    return (values as { value: string }[])[0]?.value
  }
}

/** A PCR of zeros. */
export const ZEROS = '00'.repeat(32)

/** A SHA-256 PCR that was extended with these digests. */
export function extended(...digests: readonly Uint8Array[]): string {
  const value = digests.reduce<Uint8Array>(
    (before, digest) => sha256(Uint8Array.from([...before, ...digest])),
    new Uint8Array(32),
  )
  return hex(value)
}
