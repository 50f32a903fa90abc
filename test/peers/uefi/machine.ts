// A real machine: QEMU runs the firmware on a processor of its own and swtpm is its TPM, whose log has every TPM2_PCR_Extend
// that the firmware sends.

import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TestContext } from 'vitest'
import { digestSize } from '../../../sdk/tpm2/index.ts'
import { folderWith, requireFile, requireTool } from '../tool.ts'

const TPM_CC_PCR_EXTEND = 0x182
/** The last PCR that the firmware closes before it boots. */
const LAST_PCR = 6
/** The emulated processor takes seconds; a busy machine takes longer. */
const BOOT_MILLISECONDS = 180_000

/** One TPM2_PCR_Extend. */
export interface Extend {
  readonly pcr: number
  /** digests in hexadecimal by bank (TPM_ALG) */
  readonly digests: ReadonlyMap<number, string>
}

/** What a machine is made of. */
export interface Parts {
  readonly code: string
  readonly variables: string
  /** QEMU's arguments: machine type, memory, processors */
  readonly shape: readonly string[]
}

/** Boots until the firmware has closed its PCRs; what it extended up to then, in order. Skips where QEMU or swtpm is missing. */
export async function bootedExtends(
  context: TestContext,
  { code, variables, shape }: Parts,
): Promise<Extend[]> {
  const qemu = requireTool(context, 'qemu-system-x86', 'qemu-system-x86_64')
  const swtpm = requireTool(context, 'swtpm', 'swtpm')
  const folder = folderWith({})
  const [log, control, flash] = [join(folder, 'log'), join(folder, 'control'), join(folder, 'variables')]
  copyFileSync(requireFile(context, 'ovmf', variables), flash)
  const tpm = spawn(swtpm, [
    ...['socket', '--tpm2', '--tpmstate', `dir=${folder}`, '--ctrl', `type=unixio,path=${control}`],
    ...['--flags', 'startup-clear', '--log', `file=${log},level=20`],
  ])
  try {
    await until(() => existsSync(control), tpm)
    const machine = spawn(qemu, [
      ...[...shape, '-display', 'none', '-serial', 'none', '-monitor', 'none', '-net', 'none'],
      ...['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${requireFile(context, 'ovmf', code)}`],
      ...['-drive', `if=pflash,unit=1,format=raw,file=${flash}`],
      ...['-chardev', `socket,id=tpm,path=${control}`, '-tpmdev', 'emulator,id=tpm0,chardev=tpm'],
      ...['-device', 'tpm-tis,tpmdev=tpm0'],
    ])
    try {
      await until(() => extendsIn(log).some(({ pcr }) => pcr === LAST_PCR), machine)
    } finally {
      await ended(machine)
    }
  } finally {
    await ended(tpm)
  }
  const all = extendsIn(log)
  return all.slice(0, all.findIndex(({ pcr }) => pcr === LAST_PCR) + 1)
}

async function until(condition: () => boolean, child: ChildProcess): Promise<void> {
  let error = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    error += chunk.toString()
  })
  const end = performance.now() + BOOT_MILLISECONDS
  while (performance.now() < end) {
    if (condition()) return
    if (child.exitCode !== null) throw new Error(`expected ${child.spawnfile} to run on: ${error}`)
    await sleep(200)
  }
  throw new Error(`expected ${child.spawnfile} to get further in time: ${error}`)
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await exit
}

/** swtpm logs commands as hexadecimal, some octets a line, below a heading. */
function extendsIn(log: string): Extend[] {
  if (!existsSync(log)) return []
  const commands = readFileSync(log, 'latin1').matchAll(/SWTPM_IO_Read: length \d+\n((?:\s*[0-9A-F]{2}\b)+)/g)
  return [...commands].flatMap(([, digits = '']) => {
    const command = Buffer.from(digits.replaceAll(/\s/g, ''), 'hex')
    return command.length > 10 && command.readUInt32BE(6) === TPM_CC_PCR_EXTEND ? [extendOf(command)] : []
  })
}

/** TPM2_PCR_Extend: header, PCR, size of the authorization area, the area, TPML_DIGEST_VALUES. */
function extendOf(command: Buffer): Extend {
  const digests = new Map<number, string>()
  let at = 18 + command.readUInt32BE(14)
  const end = command.readUInt32BE(at)
  at += 4
  for (let count = 0; count < end; count += 1) {
    const bank = command.readUInt16BE(at)
    digests.set(bank, command.toString('hex', at + 2, at + 2 + digestSize(bank)))
    at += 2 + digestSize(bank)
  }
  return { pcr: command.readUInt32BE(10), digests }
}
