// How the commands reach a TPM: over the sockets of the swtpm and mssim protocols, or in this process.
// Source: swtpm, tpm_ioctl.h (SET_LOCALITY); TPM 2.0 Library, Part 4, annex D.3 (simulator, TCP server); tpm2-tss, whose
// habits servers are written for: a new connection for each command of swtpm, power on at the start of mssim.

import {
  callDirectly,
  type Execute,
  TPM2_Shutdown,
  TPM2_Startup,
  TPM_SU,
  TpmResponseError,
  type Transport,
  Writer,
} from '../../../sdk/tpm2/index.ts'
import { type Tpm } from '../../platform/tpm/index.ts'
import { CommandFailure, EXIT } from '../output.ts'
import { type AnswerLength, Line, type LineAddress, LineError } from './line.ts'
import { lockPlace, openTpm } from './served-tpm.ts'
import { type Tcti, tctiText } from './tcti.ts'

/** A way to a TPM that is to be closed. */
export interface OpenTransport extends Transport {
  send(command: Uint8Array): Promise<Uint8Array>
  /** Says goodbye; a TPM in a folder is shut down in order. */
  close(): Promise<void>
}

/** Numbers of the mssim protocol. */
const MSSIM = { POWER_ON: 1, SEND_COMMAND: 8, NV_ON: 11, SESSION_END: 20 } as const
/** CMD_SET_LOCALITY of swtpm's control channel. */
const SET_LOCALITY = 5
const HEADER = 10

const fixed =
  (length: number): AnswerLength =>
  () =>
    length
/** A TPM's response: its header has its size. */
const response: AnswerLength = (soFar) =>
  soFar.length < HEADER ? HEADER : Math.max(HEADER, soFar.readUInt32BE(2))
/** SEND_COMMAND's answer: size, response, zero. */
const framed: AnswerLength = (soFar) => (soFar.length < 4 ? 4 : soFar.readUInt32BE(0) + 8)

/**
 * The TPM on a socket, its commands at `locality`. Throws CommandFailure `unavailable` when nothing listens, here or in
 * send(), or when what listens speaks otherwise.
 */
export async function openSocket(tcti: Tcti, locality: number): Promise<OpenTransport> {
  const opened = await reaching(tcti, () =>
    tcti.protocol === 'swtpm' ? openSwtpm(tcti, locality) : openMssim(tcti, locality),
  )
  return {
    send: (command) => reaching(tcti, () => opened.send(command)),
    close: () => reaching(tcti, () => opened.close()),
  }
}

/** Runs what needs the TPM's server, and says what to do when that fails. */
async function reaching<T>(tcti: Tcti, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (!(cause instanceof LineError)) throw cause
    const other = tcti.protocol === 'swtpm' ? 'mssim' : 'swtpm'
    const advice = [
      'start one with "palimpsest tpm serve"',
      'name another with --tcti, TPM2TOOLS_TCTI or --tpm FOLDER',
      `or, if this one speaks the other protocol, write ${other} for ${tcti.protocol}`,
    ].join(', ')
    const message = `no TPM answers at ${tctiText(tcti)}: ${cause.message}; ${advice}`
    throw new CommandFailure(EXIT.unavailable, message, { cause })
  }
}

function addressesOf(tcti: Tcti): { readonly commands: LineAddress; readonly control: LineAddress } {
  if (tcti.kind === 'unix') {
    return { commands: { path: tcti.path }, control: { path: `${tcti.path}.ctrl` } }
  }
  const { host, port } = tcti
  return { commands: { host, port }, control: { host, port: port + 1 } }
}

/** Locality 0 is where swtpm starts: only for another one is the control channel needed. */
async function openSwtpm(tcti: Tcti, locality: number): Promise<OpenTransport> {
  const { commands, control } = addressesOf(tcti)
  const setLocality = async (number: number): Promise<void> => {
    const answer = await once(control, Uint8Array.of(0, 0, 0, SET_LOCALITY, number), fixed(4))
    const result = answer.readUInt32BE(0)
    if (result !== 0) {
      throw new CommandFailure(
        EXIT.refused,
        `${tctiText(tcti)} refused locality ${String(number)}: result 0x${result.toString(16)}`,
      )
    }
  }
  if (locality !== 0) await setLocality(locality)
  else (await Line.to(commands)).end()
  return {
    send: async (command) => new Uint8Array(await once(commands, command, response)),
    close: async () => {
      if (locality !== 0) await setLocality(0)
    },
  }
}

/** A question on a connection of its own. */
async function once(address: LineAddress, question: Uint8Array, lengthOf: AnswerLength): Promise<Buffer> {
  const line = await Line.to(address)
  try {
    return await line.ask(question, lengthOf)
  } finally {
    line.end()
  }
}

async function openMssim(tcti: Tcti, locality: number): Promise<OpenTransport> {
  const addresses = addressesOf(tcti)
  const commands = await Line.to(addresses.commands)
  const control = await Line.to(addresses.control).catch((error: unknown) => {
    commands.end()
    throw error
  })
  const close = (): void => {
    for (const line of [commands, control]) line.end(uint32s(MSSIM.SESSION_END))
  }
  try {
    for (const signal of [MSSIM.POWER_ON, MSSIM.NV_ON]) {
      const answer = await control.ask(uint32s(signal), fixed(4))
      if (answer.readUInt32BE(0) !== 0) throw new LineError('its answer to POWER_ON is none of this protocol')
    }
  } catch (error) {
    close()
    throw error
  }
  return {
    send: async (command) => {
      const head = [uint32s(MSSIM.SEND_COMMAND), Uint8Array.of(locality), uint32s(command.length)]
      const answer = await commands.ask(Buffer.concat([...head, command]), framed)
      if (answer.length === 8) throw new LineError('it has no power')
      return new Uint8Array(answer.subarray(4, -4))
    },
    close: () => {
      close()
      return Promise.resolve()
    },
  }
}

function uint32s(...values: readonly number[]): Uint8Array {
  const writer = new Writer()
  for (const value of values) writer.uint32(value)
  return writer.finish()
}

/**
 * The TPM in a folder, in this process; made when there is none. Power lasts as long as the command: TPM2_Startup goes
 * on where TPM2_Shutdown(STATE) of the last command left the PCRs, or starts with cleared ones. Without `startup` the
 * TPM waits for it. Throws CommandFailure when the folder is in use or its TPM can not be started.
 */
export async function openFolder(
  folder: string,
  { locality, startup }: { readonly locality: number; readonly startup: boolean },
): Promise<OpenTransport> {
  const place = { kind: 'folder', path: folder, mode: 0o600 } as const
  const unlock = await lockPlace(place)
  try {
    const { tpm } = openTpm(place)
    tpm.powerOn()
    if (startup) start(folder, (command) => tpm.execute(command))
    return {
      send: (command) => Promise.resolve(tpm.execute(command, locality)),
      close: () => {
        shutDown(tpm)
        unlock()
        return Promise.resolve()
      },
    }
  } catch (error) {
    unlock()
    throw error
  }
}

function start(folder: string, execute: Execute): void {
  const succeeds = (startupType: number): boolean => {
    try {
      callDirectly(execute, TPM2_Startup, { startupType })
      return true
    } catch (error) {
      if (error instanceof TpmResponseError) return false
      throw error
    }
  }
  if (succeeds(TPM_SU.STATE) || succeeds(TPM_SU.CLEAR)) return
  throw new CommandFailure(EXIT.refused, `the TPM in ${folder} refused TPM2_Startup`)
}

/** Takes the power after TPM2_Shutdown(STATE), if the TPM still takes that: in failure mode it does not. */
function shutDown(tpm: Tpm): void {
  try {
    callDirectly((command) => tpm.execute(command), TPM2_Shutdown, { shutdownType: TPM_SU.STATE })
  } catch (error) {
    if (!(error instanceof TpmResponseError)) throw error
  } finally {
    tpm.powerOff()
  }
}
