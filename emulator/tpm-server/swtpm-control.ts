// swtpm's control channel: a code and a body, answered by a result and a body. What is here is what swtpm_ioctl, QEMU,
// libvirt and tpm2-tss send. All integers are unsigned, most significant byte first.
// Source: swtpm 0.7.1 and 0.8, tpm_ioctl.h (the numbers) and observed answers (order of checks, result codes).

import type { ByteQueue } from './byte-queue.ts'
import type { Protocol, Step } from './protocol.ts'
import type { SwtpmState } from './swtpm-state.ts'
import type { StateKind } from './tpm-port.ts'
import { describeTpm } from './swtpm-information.ts'
import { message, reasonOf } from './wire.ts'

const ok = 0
const badParameter = 0x03
const failed = 0x09
const badOrdinal = 0x0a
const ioError = 0x1f
const badLocality = 0x3d
/** TPM_RETRY, a result that is not fatal: how swtpm says that there is no such blob. */
const noSuchBlob = 0x800

/** One bit for each request, in their order: INIT is 1. SET_DATAFD (0x1000) only where descriptors can be received. */
const capabilities = 0x1_efff
const setDataDescriptor = 0x1000

const stateKinds: Readonly<Record<number, StateKind>> = { 1: 'permanent', 2: 'volatile', 3: 'savestate' }

/** GET_INFO gives at most this much of its text at once. */
const infoChunk = 3072

/** A request: how long it is, and what it does. */
interface Request {
  /** Bytes of its body that are always there. */
  readonly body: number
  /** Where in the body the length of more data is. */
  readonly lengthAt?: number
  /** Clients also send it padded to four bytes, as the C union around it is. */
  readonly padded?: boolean
  readonly handle: (control: ControlRequest) => Step
}

/**
 * For transports that receive descriptors: makes a data connection of the socket that came with the request. 'none' when
 * none came, 'connected' when there is a data connection already.
 */
export type TakeDescriptor = () => 'taken' | 'none' | 'connected'

/** A request that came whole. `body` holds its fixed part, `data` what follows. */
interface ControlRequest {
  readonly state: SwtpmState
  readonly body: DataView
  readonly data: Uint8Array
  readonly takeDescriptor: TakeDescriptor | undefined
}

/** A client of the control channel. */
export class SwtpmControl implements Protocol {
  readonly #state: SwtpmState
  readonly #takeDescriptor: TakeDescriptor | undefined
  #paddingMayFollow = false

  /** Without `takeDescriptor` SET_DATAFD is refused. */
  constructor(state: SwtpmState, takeDescriptor?: TakeDescriptor) {
    this.#state = state
    this.#takeDescriptor = takeDescriptor
  }

  take(input: ByteQueue): Step {
    // No request has code 0, so four zeros are three bytes of padding and the first byte of the next request.
    if (this.#paddingMayFollow && input.length >= 4 && input.u32(0) === 0) {
      input.drop(3)
      this.#paddingMayFollow = false
    }
    if (input.length < 4) return { kind: 'wait', resting: this.#paddingMayFollow }
    const code = input.u32(0)
    const request = requests[code]
    if (request === undefined) return this.#unknown(input, code)
    if (input.length < 4 + request.body) return { kind: 'wait' }
    const length = request.lengthAt === undefined ? 0 : input.u32(4 + request.lengthAt)
    if (length > this.#state.limits.message) {
      return { ...result(badParameter), close: true }
    }
    if (input.length < 4 + request.body + length) return { kind: 'wait' }
    const body = input.slice(4, request.body)
    const data = input.slice(4 + request.body, length)
    input.drop(4 + request.body + length)
    this.#paddingMayFollow = request.padded === true
    this.#state.log('debug', `control request ${code}`)
    return request.handle({
      state: this.#state,
      body: new DataView(body.buffer),
      data,
      takeDescriptor: this.#takeDescriptor,
    })
  }

  /** How long an unknown request is nobody knows, so all that has come is taken for it. */
  #unknown(input: ByteQueue, code: number): Step {
    this.#state.log('error', `Error: Unknown command: 0x${code.toString(16).padStart(8, '0')}`)
    input.clear()
    return result(badOrdinal)
  }
}

function result(code: number): Extract<Step, { kind: 'reply' }> {
  return { kind: 'reply', bytes: message(code) }
}

/** Runs what the TPM may refuse. */
function attempt(state: SwtpmState, refusal: number, act: () => void): Step {
  try {
    act()
    return result(ok)
  } catch (error) {
    state.log('error', `Error: ${reasonOf(error)}`)
    return result(refusal)
  }
}

function whenRunning(handle: (control: ControlRequest) => Step): (control: ControlRequest) => Step {
  return (control) => (control.state.tpm.powered ? handle(control) : result(badOrdinal))
}

const requests: Readonly<Record<number, Request>> = {
  // GET_CAPABILITY
  0x01: {
    body: 0,
    handle: ({ takeDescriptor }) => ({
      kind: 'reply',
      bytes: message(0, takeDescriptor === undefined ? capabilities : capabilities | setDataDescriptor),
    }),
  },
  // INIT; bit 0 of its flags forgets the stored volatile state
  0x02: {
    body: 4,
    handle: ({ state, body }) =>
      attempt(state, failed, () => {
        state.initialize((body.getUint32(0) & 1) !== 0)
      }),
  },
  // SHUTDOWN
  0x03: {
    body: 0,
    handle: ({ state }) => {
      if (state.tpm.powered) state.tpm.powerOff()
      return { ...result(ok), end: 'shutdown' }
    },
  },
  // GET_TPMESTABLISHED: the bit, and three bytes of padding
  0x04: {
    body: 0,
    handle: whenRunning(({ state }) => ({
      kind: 'reply',
      bytes: message(ok, Uint8Array.of(state.tpm.established ? 1 : 0, 0, 0, 0)),
    })),
  },
  // SET_LOCALITY
  0x05: {
    body: 1,
    padded: true,
    handle: ({ state, body }) => result(state.setLocality(body.getUint8(0)) ? ok : badLocality),
  },
  // HASH_START
  0x06: {
    body: 0,
    handle: whenRunning(({ state }) =>
      attempt(state, failed, () => {
        state.tpm.hashStart()
      }),
    ),
  },
  // HASH_DATA
  0x07: {
    body: 4,
    lengthAt: 0,
    handle: whenRunning(({ state, data }) =>
      attempt(state, failed, () => {
        state.tpm.hashData(data)
      }),
    ),
  },
  // HASH_END
  0x08: {
    body: 0,
    handle: whenRunning(({ state }) =>
      attempt(state, failed, () => {
        state.tpm.hashEnd()
      }),
    ),
  },
  // CANCEL_TPM_CMD: commands are synchronous, so there is never one to cancel
  0x09: { body: 0, handle: whenRunning(() => result(ok)) },
  // STORE_VOLATILE
  0x0a: {
    body: 0,
    handle: whenRunning(({ state }) =>
      attempt(state, failed, () => {
        state.storeVolatile()
      }),
    ),
  },
  // RESET_TPMESTABLISHED
  0x0b: {
    body: 1,
    padded: true,
    handle: whenRunning(({ state, body }) => {
      const locality = body.getUint8(0)
      return result(locality <= 4 && state.tpm.resetEstablished(locality) ? ok : badLocality)
    }),
  },
  // GET_STATEBLOB
  0x0c: { body: 12, handle: whenRunning(getStateBlob) },
  // SET_STATEBLOB
  0x0d: { body: 12, lengthAt: 8, handle: setStateBlob },
  // STOP
  0x0e: {
    body: 0,
    handle: ({ state }) => {
      if (state.tpm.powered) state.tpm.powerOff()
      return result(ok)
    },
  },
  // GET_CONFIG: bits for a state file key and a migration key, which there are not
  0x0f: { body: 0, handle: () => ({ kind: 'reply', bytes: message(ok, 0) }) },
  // SET_DATAFD
  0x10: { body: 0, handle: setDataFd },
  // SET_BUFFERSIZE
  0x11: {
    body: 4,
    handle: ({ state, body }) => {
      const wanted = body.getUint32(0)
      if (wanted > 0 && state.tpm.powered) return result(badOrdinal)
      return { kind: 'reply', bytes: message(ok, ...state.bufferSizes(wanted)) }
    },
  },
  // GET_INFO
  0x12: { body: 16, handle: getInfo },
  // LOCK_STORAGE: whoever opened the state holds it as long as the process lives
  0x13: { body: 4, handle: () => result(ok) },
}

/** The blob from an offset to its end: no chunks, since QEMU reads all of it or fails. */
function getStateBlob({ state, body }: ControlRequest): Step {
  const kind = stateKinds[body.getUint32(4)]
  const offset = body.getUint32(8)
  let blob = new Uint8Array(0)
  try {
    if (kind !== undefined) blob = Uint8Array.from(state.tpm.saveState(kind))
  } catch (error) {
    state.log('error', `Error: ${reasonOf(error)}`)
    return { kind: 'reply', bytes: message(failed, 0, 0, 0) }
  }
  if (blob.length === 0) return { kind: 'reply', bytes: message(noSuchBlob, 0, 0, 0) }
  const rest = blob.subarray(Math.min(offset, blob.length))
  return { kind: 'reply', bytes: message(ok, 0, rest.length, rest.length, rest) }
}

function setStateBlob({ state, body, data }: ControlRequest): Step {
  if (state.tpm.powered) return result(badOrdinal)
  const type = body.getUint32(4)
  const kind = stateKinds[type]
  if (kind === undefined) {
    state.log('error', `Unknown blob type ${type}`)
    return result(badParameter)
  }
  return attempt(state, badParameter, () => {
    state.loadBlob(kind, data)
  })
}

function setDataFd({ state, takeDescriptor }: ControlRequest): Step {
  switch (takeDescriptor?.()) {
    case 'taken':
      return result(ok)
    case 'none':
      state.log('error', 'Error: SET_DATAFD came without the descriptor of a socket')
      return result(badParameter)
    case 'connected':
      state.log('error', 'Error: SET_DATAFD came while there is a data connection')
      return result(ioError)
    case undefined:
      state.log(
        'error',
        'Error: SET_DATAFD is not supported here: it needs a control channel on a UNIX socket and no data port',
      )
      return result(ioError)
  }
}

function getInfo({ state, body }: ControlRequest): Step {
  // The flags are 64 bits; the ones that mean something are in the lower half.
  const text = describeTpm(state.tpm.information, body.getUint32(4))
  const offset = body.getUint32(8)
  if (offset >= text.length - 1) return result(badParameter)
  const chunk = text.subarray(offset, offset + infoChunk)
  return { kind: 'reply', bytes: message(ok, text.length, chunk.length, chunk) }
}
