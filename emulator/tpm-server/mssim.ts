// The protocol of the reference simulator ("mssim"): a command port and, one above it, a platform port. All integers
// are 32 bits, most significant byte first; almost every answer ends with a zero.
// Source: TPM 2.0 Library, Part 4, annex D.3 (simulator, TCP server).

import type { ByteQueue } from './byte-queue.ts'
import type { Limits, Log, Protocol, Step } from './protocol.ts'
import type { TpmPort } from './tpm-port.ts'
import { existingLocality, message } from './wire.ts'

const acknowledged: Step = { kind: 'reply', bytes: message(0) }
const waiting: Step = { kind: 'wait' }
const refused: Step = { kind: 'reply', bytes: message(1), close: true }

const protocolVersion = 1
/** The platform is available (1), commands are raw (4), physical presence can be asserted (8). */
const endPoint = 1 | 4 | 8

/** What the connections to one TPM have in common. */
export class MssimSimulator {
  readonly tpm: TpmPort
  readonly limits: Limits
  readonly log: Log
  #largestCommand = { size: 0, code: 0 }
  #largestResponse = { size: 0, code: 0 }

  constructor(tpm: TpmPort, limits: Limits, log: Log) {
    this.tpm = tpm
    this.limits = limits
    this.log = log
  }

  /** Runs a command and remembers the largest ones for GET_COMMAND_RESPONSE_SIZES. */
  execute(command: Uint8Array, locality: number): Uint8Array {
    if (!this.tpm.powered) return new Uint8Array(0)
    const response = this.tpm.execute(command, existingLocality(locality))
    const code =
      command.length < 10 ? 0 : new DataView(command.buffer, command.byteOffset, command.length).getUint32(6)
    if (command.length > this.#largestCommand.size) this.#largestCommand = { size: command.length, code }
    if (response.length > this.#largestResponse.size) {
      this.#largestResponse = { size: response.length, code }
    }
    return response
  }

  /** The largest command and response since this was last asked, each as size and command code. */
  takeLargest(): Uint8Array {
    const bytes = message(
      this.#largestCommand.size,
      this.#largestCommand.code,
      this.#largestResponse.size,
      this.#largestResponse.code,
    )
    this.#largestCommand = { size: 0, code: 0 }
    this.#largestResponse = { size: 0, code: 0 }
    return bytes
  }
}

/** A client of the command port. */
export class MssimCommands implements Protocol {
  readonly #simulator: MssimSimulator

  constructor(simulator: MssimSimulator) {
    this.#simulator = simulator
  }

  take(input: ByteQueue): Step {
    if (input.length < 4) return waiting
    const code = input.u32(0)
    switch (code) {
      case 5:
        return this.#signal(input, (tpm) => {
          tpm.hashStart()
        })
      case 6:
        return this.#hashData(input)
      case 7:
        return this.#signal(input, (tpm) => {
          tpm.hashEnd()
        })
      case 8:
        return this.#sendCommand(input)
      case 15:
        return handshake(input)
      case 16:
        if (input.length < 8) return waiting
        input.drop(8)
        return acknowledged
      case 20:
        return { kind: 'close' }
      case 21:
        return { kind: 'close', end: 'stop' }
      default:
        return { kind: 'close', why: `the command port knows no code ${code}` }
    }
  }

  #signal(input: ByteQueue, act: (tpm: TpmPort) => void): Step {
    input.drop(4)
    if (this.#simulator.tpm.powered) act(this.#simulator.tpm)
    return acknowledged
  }

  #hashData(input: ByteQueue): Step {
    if (input.length < 8) return waiting
    const length = input.u32(4)
    if (length > this.#simulator.limits.message) return tooLong(length)
    if (input.length < 8 + length) return waiting
    const data = input.slice(8, length)
    input.drop(8 + length)
    if (this.#simulator.tpm.powered) this.#simulator.tpm.hashData(data)
    return acknowledged
  }

  #sendCommand(input: ByteQueue): Step {
    if (input.length < 9) return waiting
    const length = input.u32(5)
    if (length > this.#simulator.limits.message) return tooLong(length)
    if (input.length < 9 + length) return waiting
    const locality = input.u8(4)
    const command = input.slice(9, length)
    input.drop(9 + length)
    const response = this.#simulator.execute(command, locality)
    return { kind: 'reply', bytes: message(response.length, response, 0) }
  }
}

/** A client of the platform port. */
export class MssimPlatform implements Protocol {
  readonly #simulator: MssimSimulator

  constructor(simulator: MssimSimulator) {
    this.#simulator = simulator
  }

  take(input: ByteQueue): Step {
    if (input.length < 4) return waiting
    const code = input.u32(0)
    const act = signals[code]
    if (act !== undefined) {
      input.drop(4)
      act(this.#simulator.tpm)
      return acknowledged
    }
    switch (code) {
      case 20:
        return { kind: 'close' }
      case 21:
        return { kind: 'close', end: 'stop' }
      case 25:
        input.drop(4)
        return { kind: 'reply', bytes: message(16, this.#simulator.takeLargest(), 0) }
      case 26:
        return this.#countdownTimer(input)
      case 35:
      case 36:
        // The firmware's hash and version number decide about firmware-limited objects, which no revision 1.59 TPM has.
        if (input.length < 8) return waiting
        input.drop(8)
        return acknowledged
      default:
        this.#simulator.log('warning', `the platform port knows no code ${code}`)
        return refused
    }
  }

  /** Says whether an authenticated countdown timer has run out; there is none, so none has. */
  #countdownTimer(input: ByteQueue): Step {
    if (input.length < 8) return waiting
    input.drop(8)
    return { kind: 'reply', bytes: message(0, 0) }
  }
}

/** The signals that are a code alone. */
const signals: Readonly<Record<number, (tpm: TpmPort) => void>> = {
  1: (tpm) => {
    tpm.powerOn()
  },
  2: (tpm) => {
    if (tpm.powered) tpm.powerOff()
  },
  3: (tpm) => {
    tpm.setPhysicalPresence(true)
  },
  4: (tpm) => {
    tpm.setPhysicalPresence(false)
  },
  9: (tpm) => {
    tpm.setCancel(true)
  },
  10: (tpm) => {
    tpm.setCancel(false)
  },
  11: (tpm) => {
    tpm.setNvAvailable(true)
  },
  12: (tpm) => {
    tpm.setNvAvailable(false)
  },
  // The reference keeps RSA keys that were generated before; no behaviour of a TPM depends on it.
  13: () => undefined,
  14: () => undefined,
  17: (tpm) => {
    tpm.reset()
  },
  // A restart of the reference's timer, which a client cannot see.
  18: () => undefined,
  30: (tpm) => {
    tpm.enterFailureMode()
  },
}

function handshake(input: ByteQueue): Step {
  if (input.length < 8) return waiting
  const clientVersion = input.u32(4)
  if (clientVersion < protocolVersion) return { kind: 'close', why: 'its handshake names protocol version 0' }
  input.drop(8)
  return { kind: 'reply', bytes: message(protocolVersion, endPoint, 0) }
}

function tooLong(length: number): Step {
  return { kind: 'close', why: `it announced ${length} bytes, more than the limit` }
}
