// A command as it comes in and a response as it goes out: header, handle area, authorization area, parameters.
// Source: TPM 2.0 Library, Part 1, clause 18 (command/response structure), and Part 3, clause 5, revision 1.59.

import { type AnyCommand, handleCode, Reader, TPM_RC, TPM_ST, Writer } from '../../../../sdk/tpm2/index.ts'
import { TpmError } from '../errors.ts'

const HEADER_BYTES = 10
/** The smallest authorization area: one password session without a password. */
const MIN_AUTH_BYTES = 9

/** A command's header. */
export interface Header {
  readonly tag: number
  readonly code: number
  /** everything after the header */
  readonly body: Uint8Array
}

/** Reads the header of a command of at most `most` bytes. Throws TpmError BAD_TAG or COMMAND_SIZE (Part 3, 5.2). */
export function readHeader(command: Uint8Array, most: number): Header {
  if (command.length < HEADER_BYTES) {
    throw new TpmError(TPM_RC.COMMAND_SIZE, `expected at least 10 bytes, found ${String(command.length)}`)
  }
  const view = new DataView(command.buffer, command.byteOffset, command.byteLength)
  const tag = view.getUint16(0)
  if (tag !== TPM_ST.NO_SESSIONS && tag !== TPM_ST.SESSIONS) {
    const found = `expected TPM_ST_NO_SESSIONS or TPM_ST_SESSIONS, found 0x${tag.toString(16)}`
    throw new TpmError(TPM_RC.BAD_TAG, found)
  }
  const size = view.getUint32(2)
  if (size !== command.length || size > most) {
    const expected = `the command's ${String(command.length)} bytes and at most ${String(most)}`
    throw new TpmError(TPM_RC.COMMAND_SIZE, `expected commandSize to be ${expected}, found ${String(size)}`)
  }
  return { tag, code: view.getUint32(6), body: command.subarray(HEADER_BYTES) }
}

/** The three areas of a command's body. */
export interface Areas {
  readonly handles: readonly number[]
  /** undefined: the tag says that there is none */
  readonly authorization: Uint8Array | undefined
  readonly parameters: Uint8Array
}

/** Splits a body. Throws TpmError INSUFFICIENT or VALUE for handles, AUTHSIZE for the authorization area. */
export function readAreas(row: AnyCommand, header: Header): Areas {
  const reader = new Reader(header.body, row.name)
  const handles = row.handles.map(({ name, value }, index) => {
    if (reader.remaining < 4) {
      const rc = handleCode(TPM_RC.INSUFFICIENT, index + 1)
      throw new TpmError(rc, `expected the handle ${name}, found the end of the command`)
    }
    const handle = reader.uint32()
    if (!value.type.accepts(handle)) {
      const found = `expected ${name} to be a ${value.type.name}, found 0x${handle.toString(16)}`
      throw new TpmError(TPM_RC.VALUE, found, name)
    }
    return handle
  })
  if (header.tag === TPM_ST.NO_SESSIONS) {
    return { handles, authorization: undefined, parameters: header.body.subarray(reader.offset) }
  }
  if (reader.remaining < 4) throw wrongAuthSize('expected authorizationSize, found the end of the command')
  const size = reader.uint32()
  if (size < MIN_AUTH_BYTES || size > reader.remaining) {
    throw wrongAuthSize(
      `expected authorizationSize from 9 to ${String(reader.remaining)}, found ${String(size)}`,
    )
  }
  const start = reader.offset
  return {
    handles,
    authorization: header.body.subarray(start, start + size),
    parameters: header.body.subarray(start + size),
  }
}

function wrongAuthSize(message: string): TpmError {
  return new TpmError(TPM_RC.AUTHSIZE, message)
}

/**
 * A response that is only a header. The text has TPM 1.2's tag go with BAD_TAG, a code of TPM 1.2 (Part 2,
 * TPM_ST_RSP_COMMAND). swtpm does not, and OVMF (EDK II, Tcg2ConfigPei) relies on it: it asks in the words of TPM 1.2,
 * and takes whoever answers with TPM 1.2's tag for one.
 */
export function errorResponse(rc: number): Uint8Array {
  const writer = new Writer()
  writer.uint16(TPM_ST.NO_SESSIONS)
  writer.uint32(HEADER_BYTES)
  writer.uint32(rc)
  return writer.finish()
}

/** A successful response; `authorization` is undefined for a command without sessions. */
export function successResponse(
  handles: readonly number[],
  parameters: Uint8Array,
  authorization: Uint8Array | undefined,
): Uint8Array {
  const sessions = authorization !== undefined
  const size =
    HEADER_BYTES + 4 * handles.length + parameters.length + (sessions ? 4 + authorization.length : 0)
  const writer = new Writer()
  writer.uint16(sessions ? TPM_ST.SESSIONS : TPM_ST.NO_SESSIONS)
  writer.uint32(size)
  writer.uint32(TPM_RC.SUCCESS)
  for (const handle of handles) writer.uint32(handle)
  if (sessions) writer.uint32(parameters.length)
  writer.bytes(parameters)
  if (sessions) writer.bytes(authorization)
  return writer.finish()
}
