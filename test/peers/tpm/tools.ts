// A TPM, a folder and the unmodified programs of other projects, as the flows of this folder use them: one line of shell
// words per step, which must succeed, or must be refused with the response code that the TPM 2.0 Library gives.

import { execFile, type ExecFileException } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, type TestContext } from 'vitest'
import { describeResponseCode } from '../../../sdk/tpm2/index.ts'
import { type Outcome, requireTool } from '../tool.ts'
import { targets, type TpmOptions, type TpmTarget, type TpmUnderTest } from './tpm-under-test.ts'

/** A step that takes longer than this hangs. */
const STEP_LIMIT = 30_000

/** What a flow works with. */
export class Tools {
  readonly #tpm: TpmUnderTest
  readonly #target: TpmTarget
  readonly folder: string

  constructor(target: TpmTarget, tpm: TpmUnderTest, folder: string) {
    this.#target = target
    this.#tpm = tpm
    this.folder = folder
  }

  get tpm(): TpmUnderTest {
    return this.#tpm
  }

  /** swtpm: what ours is compared with. */
  get isReference(): boolean {
    return this.#target.reference
  }

  /** Runs `line` (words between spaces) and resolves to how it ended. */
  async run(line: string, input?: Uint8Array | string): Promise<Outcome> {
    if (this.isReference && line.startsWith('tpm2_')) await this.#makeRoom()
    return this.runAsIs(line, input)
  }

  /** As run(), but also the reference keeps what was loaded before. */
  async runAsIs(line: string, input?: Uint8Array | string): Promise<Outcome> {
    const [program = '', ...words] = line.split(' ').filter((word) => word !== '')
    return new Promise((resolve, reject) => {
      const options = {
        cwd: this.folder,
        timeout: STEP_LIMIT,
        encoding: 'buffer' as const,
        env: { ...process.env, TPM2TOOLS_TCTI: this.#tpm.tcti },
      }
      const child = execFile(program, words, options, (error, stdout, stderr) => {
        const code = error === null ? 0 : exitCode(error)
        if (code !== undefined) {
          resolve({ code, stdout: stdout.toString('latin1'), stderr: stderr.toString() })
        } else {
          reject(new Error(`${line}: ${error?.message ?? ''}`))
        }
      })
      child.stdin?.on('error', () => undefined)
      child.stdin?.end(input)
    })
  }

  /** Runs `line`, which has to succeed; its standard output, one character per byte. */
  async ok(line: string, input?: Uint8Array | string): Promise<string> {
    const { code, stdout, stderr } = await this.run(line, input)
    expect({ line, code, complaint: code === 0 ? '' : stderr }).toEqual({ line, code: 0, complaint: '' })
    return stdout
  }

  /**
   * Runs `line`, which has to fail: with this response code of the TPM, such as 'TPM_RC_AUTH_FAIL, session 1', or, where
   * the tool refuses by itself, with such a complaint.
   */
  async refused(line: string, why: string | RegExp): Promise<void> {
    const { code, stderr } = await this.run(line)
    expect({ line, failed: code !== 0 }).toEqual({ line, failed: true })
    if (typeof why === 'string') expect({ line, why: responseCode(stderr) }).toEqual({ line, why })
    else expect(stderr).toMatch(why)
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  read(name: string): Uint8Array {
    return new Uint8Array(readFileSync(this.path(name)))
  }

  hex(name: string): string {
    return readFileSync(this.path(name)).toString('hex')
  }

  write(name: string, content: Uint8Array | string): void {
    writeFileSync(this.path(name), content)
  }

  /** Takes power away, gives it back, and starts the TPM, with all that its owner set up cleared away. */
  async fresh(): Promise<void> {
    await this.#tpm.powerCycle()
    for (const command of [STARTUP, ALLOW_CLEAR, CLEAR]) await this.#succeed(command)
  }

  /**
   * The tools leave what they load, and the sessions of what is refused, where they are, for a resource manager to clear
   * away. swtpm has three slots of each, so between steps the reference gets what such a manager does; ours must do
   * without.
   */
  async #makeRoom(): Promise<void> {
    for (const first of [FIRST_TRANSIENT, FIRST_LOADED_SESSION]) {
      const answer = Buffer.from(await this.#tpm.send(Buffer.concat([GET_HANDLES, first, bytes('00000040')])))
      if (answer.readUInt32BE(6) !== 0) return
      const count = answer.readUInt32BE(15)
      for (let at = 0; at < count; at++) {
        await this.#succeed(Buffer.concat([FLUSH_CONTEXT, answer.subarray(19 + 4 * at, 23 + 4 * at)]))
      }
    }
  }

  async #succeed(command: Uint8Array): Promise<void> {
    const rc = Buffer.from(await this.#tpm.send(command)).readUInt32BE(6)
    if (rc !== 0) throw new Error(`${Buffer.from(command).toString('hex')}: ${describeResponseCode(rc)}`)
  }
}

/** As shells have it, also of a program that crashed, as tpm2_nvreadpublic 5.4 does after it has told of a refusal. */
function exitCode(error: ExecFileException): number | undefined {
  if (typeof error.code === 'number') return error.code
  const { signal } = error
  return error.killed !== true && signal !== undefined ? 128 + constants.signals[signal] : undefined
}

const bytes = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
/** TPM2_Startup(TPM_SU_CLEAR) */
const STARTUP = bytes('8001 0000000c 00000144 0000')
/** TPM2_ClearControl(NO) with the platform's empty password */
const ALLOW_CLEAR = bytes('8002 0000001c 00000127 4000000c 00000009 40000009 0000 00 0000 00')
/** TPM2_Clear with the platform's empty password */
const CLEAR = bytes('8002 0000001b 00000126 4000000c 00000009 40000009 0000 00 0000')
/** TPM2_GetCapability(TPM_CAP_HANDLES), without the first handle and how many are wanted */
const GET_HANDLES = bytes('8001 00000016 0000017a 00000001')
const FIRST_TRANSIENT = bytes('80000000')
const FIRST_LOADED_SESSION = bytes('02000000')
/** TPM2_FlushContext, without its handle */
const FLUSH_CONTEXT = bytes('8001 0000000e 00000165')

/** The response code in what tpm2-tools write to standard error, in words. */
function responseCode(stderr: string): string {
  const [, digits] = /ErrorCode \(0x([0-9a-f]{8})\)/.exec(stderr) ?? []
  if (digits === undefined) return `no response code in: ${stderr}`
  return describeResponseCode(Number.parseInt(digits, 16)).replace(/ \(0x.*/, '')
}

/**
 * Describes flows once for each TPM. `on()`, called inside a test, gives what the test works with: a TPM that was power
 * cycled, started and cleared, and a new folder.
 */
export function onEachTpm(flows: (on: () => Tools) => void, options?: TpmOptions): void {
  for (const target of targets) {
    describe(`on ${target.name}`, () => {
      flows(toolsOn(target, options))
    })
  }
}

function toolsOn(target: TpmTarget, options?: TpmOptions): () => Tools {
  let started: Promise<TpmUnderTest> | undefined
  let tools: Tools | undefined

  beforeEach(async (context: TestContext) => {
    requireTool(context, 'tpm2-tools', 'tpm2_startup')
    if (target.reference) requireTool(context, 'swtpm', 'swtpm')
    started ??= target.start(options)
    tools = new Tools(target, await started, mkdtempSync(join(tmpdir(), 'peers-tpm-')))
    await tools.fresh()
  })
  afterEach(() => {
    if (tools !== undefined) rmSync(tools.folder, { recursive: true, force: true })
    tools = undefined
  })
  afterAll(async () => {
    const tpm = await started?.catch(() => undefined)
    await tpm?.stop()
  })

  return () => {
    if (tools === undefined) throw new Error('expected to be called inside a test')
    return tools
  }
}
