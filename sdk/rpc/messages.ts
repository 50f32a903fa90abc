/** One rpc's messages in both directions, with the tap and the size limit. Shared by client and server. */
import type { Buffer } from 'node:buffer'
import { PalimpsestError } from './errors.ts'
import type { Tap } from './transcript.ts'
import { decodeMessage } from './codec/decode.ts'
import { encodeMessage } from './codec/encode.ts'
import type { MessageSchema, MethodSchema } from './codec/schema.ts'
import { InvalidMessage } from './codec/violations.ts'

/** What the codec of a client or server is set up with. */
export interface CodecOptions {
  readonly maxMessageBytes: number
  readonly tap?: Tap | undefined
}

/** Encodes a message to be sent. @throws PalimpsestError INVALID_ARGUMENT or RESOURCE_EXHAUSTED; nothing is sent. */
export function encodeOutgoing(
  schema: MessageSchema,
  message: unknown,
  method: MethodSchema,
  options: CodecOptions,
): Buffer {
  const bytes = orInvalidArgument(() => encodeMessage(schema, message))
  if (bytes.length > options.maxMessageBytes) {
    throw new PalimpsestError(
      'RESOURCE_EXHAUSTED',
      `expected ${schema.fullName} of at most ${options.maxMessageBytes} bytes, found ${bytes.length}`,
    )
  }
  options.tap?.({ direction: 'out', method: method.path, bytes, decoded: message })
  return bytes
}

/** Decodes a received message. @throws PalimpsestError INVALID_ARGUMENT with the violations. */
export function decodeIncoming(
  schema: MessageSchema,
  bytes: Uint8Array,
  method: MethodSchema,
  options: CodecOptions,
): unknown {
  let decoded: unknown
  try {
    decoded = orInvalidArgument(() => decodeMessage(schema, bytes))
    return decoded
  } finally {
    options.tap?.({ direction: 'in', method: method.path, bytes, decoded })
  }
}

function orInvalidArgument<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof InvalidMessage)) throw error
    throw new PalimpsestError('INVALID_ARGUMENT', error.message, { violations: error.violations })
  }
}
