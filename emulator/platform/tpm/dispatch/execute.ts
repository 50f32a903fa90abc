// The way of a command through the TPM: header, handles, sessions, parameters, the command, its response. One step after
// the other as Part 3 orders them; the first that fails ends it with a response code and, but for what failed
// authorizations count, no change of state.
// Source: TPM 2.0 Library, Part 3, clause 5 (command processing), revision 1.59.

import {
  type AnyCommand,
  handleCode,
  isFormatOne,
  parameterCode,
  Reader,
  TPM_CC,
  TPM_RC,
  TPM_ST,
  TPMA_SESSION,
  Tpm2Error,
  Writer,
} from '../../../../sdk/tpm2/index.ts'
import { checkLoaded, entityOf } from '../entities/entity.ts'
import { asRefusal, TpmError } from '../errors.ts'
import { heal } from '../state/dictionary.ts'
import { changed, type TpmState } from '../state/tpm-state.ts'
import { checkCommandAudit } from './audit.ts'
import { authorize } from './authorize.ts'
import { Call } from './call.ts'
import { type Areas, type Header, readAreas, readHeader, successResponse } from './frame.ts'
import { type Implementation } from './implementation.ts'
import { decryptFirst } from './parameter-encryption.ts'
import { acknowledge } from './respond.ts'
import { readSessions } from './session-area.ts'

/** The commands that a TPM has, by TPM_CC. */
export type Registry = ReadonlyMap<number, Implementation>

/** Commands that a TPM in failure mode still answers (Part 1, 10.3). */
const IN_FAILURE_MODE: ReadonlySet<number> = new Set([TPM_CC.GetTestResult, TPM_CC.GetCapability])
/** Commands whose row says that they may write NV memory, and that do not here: PCRs are stored at shutdown only. */
const WITHOUT_NV: ReadonlySet<number> = new Set([
  TPM_CC.PCR_Extend,
  TPM_CC.PCR_Event,
  TPM_CC.PCR_Reset,
  TPM_CC.EventSequenceComplete,
])
/** Commands that leave what TPM2_Shutdown stored as it is. */
const AFTER_SHUTDOWN: ReadonlySet<number> = new Set([
  TPM_CC.Shutdown,
  TPM_CC.GetCapability,
  TPM_CC.GetTestResult,
  TPM_CC.GetRandom,
  TPM_CC.PCR_Read,
  TPM_CC.ReadClock,
  TPM_CC.ReadPublic,
  TPM_CC.NV_ReadPublic,
])

/** Executes one command. Throws TpmError with the whole response code. */
export function executeCommand(tpm: TpmState, registry: Registry, command: Uint8Array): Uint8Array {
  const header = readHeader(command, tpm.limits.bufferSize)
  if (tpm.volatile.failed && !IN_FAILURE_MODE.has(header.code)) {
    throw new TpmError(
      TPM_RC.FAILURE,
      'expected a TPM that works, found one in failure mode: cycle its power',
    )
  }
  if (!tpm.volatile.started && header.code !== TPM_CC.Startup && !tpm.volatile.failed) {
    throw new TpmError(TPM_RC.INITIALIZE, 'expected TPM2_Startup first, found another command')
  }
  const implementation = registry.get(header.code)
  if (implementation === undefined) {
    throw new TpmError(
      TPM_RC.COMMAND_CODE,
      `expected a command that is implemented, found 0x${header.code.toString(16)}`,
    )
  }
  try {
    return run(tpm, implementation, header)
  } catch (cause) {
    const error = asRefusal(cause)
    throw error instanceof TpmError && error.at !== undefined ? located(implementation, error) : error
  }
}

function run(tpm: TpmState, implementation: Implementation, header: Header): Uint8Array {
  const { row } = implementation
  if (!tpm.volatile.failed) passTime(tpm)
  const call = prepare(tpm, implementation, header)
  const request = readParameters(implementation, call, decryptedParameters(call))
  checkNv(tpm, row)
  const response = implementation.run(tpm, request, { uses: call.uses }) as Record<string, unknown>
  if (!AFTER_SHUTDOWN.has(row.code)) noLongerOrderly(tpm)
  const writer = new Writer()
  for (const { name, value } of row.response) value.write(writer, response[name])
  const handles = row.responseHandles.map(({ name }) => response[name] as number)
  const { parameters, authorization } = acknowledge(tpm, call, writer.finish())
  return successResponse(handles, parameters, authorization)
}

/** What time does to the permanent state; while that cannot be stored, the clock stops at its bound. */
function passTime(tpm: TpmState): void {
  if (tpm.clock.keepAhead(tpm.platform.nvAvailable)) changed(tpm)
  if (tpm.platform.nvAvailable) heal(tpm)
}

function checkNv(tpm: TpmState, row: AnyCommand): void {
  if (tpm.platform.nvAvailable) return
  const writes = row.nv === true && !WITHOUT_NV.has(row.code)
  const endsShutdown = tpm.permanent.timing.orderly && !AFTER_SHUTDOWN.has(row.code)
  if (!writes && !endsShutdown) return
  throw new TpmError(TPM_RC.NV_UNAVAILABLE, 'expected NV memory that can be written, found it unavailable')
}

/** What a shutdown stored no longer is the TPM's state. */
function noLongerOrderly(tpm: TpmState): void {
  const { permanent } = tpm
  if (!permanent.timing.orderly) return
  permanent.timing.orderly = false
  permanent.saved = undefined
  changed(tpm)
}

/** Handles are checked, sessions authorize. */
function prepare(tpm: TpmState, { row }: Implementation, header: Header): Call {
  const areas: Areas = readAreas(row, header)
  for (const [index, handle] of areas.handles.entries()) {
    checkLoaded(tpm, handle, index + 1, row.handles[index]?.name ?? '')
  }
  const entities = areas.handles.map((handle) => entityOf(tpm, handle))
  const call = new Call(row, areas.handles, entities, areas.parameters)
  if (header.tag === TPM_ST.SESSIONS && row.noSessions === true) {
    throw new TpmError(TPM_RC.AUTH_CONTEXT, `expected ${row.name} without sessions, found some`)
  }
  if (areas.authorization !== undefined) call.uses = readSessions(tpm, call, areas.authorization)
  authorize(tpm, call)
  checkCommandAudit(tpm, row.code)
  return call
}

function decryptedParameters(call: Call): Uint8Array {
  const use = call.useWith(TPMA_SESSION.decrypt)
  if (use?.session === undefined) return call.parameters
  const { session, nonceCaller, entity } = use
  const authValue = entity?.authValue ?? new Uint8Array(0)
  const exchange = { session, authValue, nonceNewer: nonceCaller, nonceOlder: session.nonceTPM }
  return decryptFirst(exchange, call.parameters)
}

function readParameters({ row }: Implementation, call: Call, parameters: Uint8Array): object {
  const request: Record<string, unknown> = {}
  for (const [index, { name }] of row.handles.entries()) request[name] = call.handles[index]
  const reader = new Reader(parameters, row.name)
  for (const { name, value } of row.parameters) {
    try {
      request[name] = value.read(reader)
    } catch (error) {
      if (!(error instanceof Tpm2Error)) throw error
      throw new TpmError(error.rc ?? TPM_RC.VALUE, error.message, name)
    }
  }
  if (reader.remaining > 0) {
    throw new TpmError(
      TPM_RC.SIZE,
      `expected the end of the parameters, found ${String(reader.remaining)} more bytes`,
    )
  }
  return request
}

/** An error that names a handle or parameter, with that one's number in its code. */
function located({ row }: Implementation, error: TpmError): TpmError {
  const named = ({ name }: { readonly name: string }): boolean => name === error.at
  const handle = row.handles.findIndex(named) + 1
  const parameter = row.parameters.findIndex(named) + 1
  if (!isFormatOne(error.rc) || (handle === 0 && parameter === 0)) return error
  const rc = handle > 0 ? handleCode(error.rc, handle) : parameterCode(error.rc, parameter)
  return new TpmError(rc, error.reason, undefined, { cause: error })
}
