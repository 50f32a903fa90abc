// swtpm's data port: TPM commands and responses as they are. The size in a command's own header says where it ends, so
// a command may come in pieces and several may come at once. A client may also put the reference simulator's prefix
// (8, locality, size) before each command; it then gets the response between its size and a zero.
// Source: swtpm(8), "tpm-send-command-header"; swtpm 0.7.1, observed behaviour.

import type { ByteQueue } from './byte-queue.ts'
import type { Protocol, Step } from './protocol.ts'
import type { SwtpmState } from './swtpm-state.ts'
import { bareResponse, existingLocality, message } from './wire.ts'

const headerSize = 10
const prefixSize = 9
const sendCommand = 8
/** Linux's vTPM proxy tells a TPM its locality by this command (linux/vtpm_proxy.h). */
const setLocality = 0x2000_1000

// TPM_RC of Part 2, clause 6.6.3.
const rcSuccess = 0
const rcInsufficient = 0x09a
const rcFailure = 0x101
const rcLocality = 0x907

const waiting: Step = { kind: 'wait' }

/** A client of the data port. */
export class SwtpmData implements Protocol {
  readonly #state: SwtpmState

  constructor(state: SwtpmState) {
    this.#state = state
  }

  take(input: ByteQueue, ended: boolean): Step {
    if (input.length < headerSize) return waiting
    // No command begins so: its first two bytes are a TPM_ST.
    if (input.u32(0) === sendCommand) return this.#takePrefixed(input)
    const size = input.u32(2)
    if (size > this.#state.limits.message) return { ...this.#answerAll(input), close: true }
    if (size < headerSize) return this.#answerAll(input)
    if (input.length >= size) {
      const command = input.slice(0, size)
      input.drop(size)
      return this.#reply(this.#execute(command, this.#state.locality))
    }
    return ended ? this.#answerAll(input) : waiting
  }

  /**
   * What has come is no command by its own size, and the next one begins who knows where: the TPM judges all of it,
   * which is what swtpm does with whatever one read() gives.
   */
  #answerAll(input: ByteQueue): Extract<Step, { kind: 'reply' }> {
    const bytes = input.slice(0, input.length)
    input.clear()
    return this.#reply(this.#execute(bytes, this.#state.locality))
  }

  #takePrefixed(input: ByteQueue): Step {
    const size = input.u32(5)
    if (size > this.#state.limits.message) {
      return { kind: 'close', why: `it announced ${size} bytes, more than the limit` }
    }
    if (input.length < prefixSize + size) return waiting
    const locality = existingLocality(input.u8(4))
    const command = input.slice(prefixSize, size)
    input.drop(prefixSize + size)
    const response = this.#executePrefixed(command, locality)
    return this.#reply(message(response.length, response, 0))
  }

  #executePrefixed(command: Uint8Array, locality: number): Uint8Array {
    if (this.#state.rejects(locality)) return bareResponse(rcLocality)
    this.#state.locality = locality
    return command.length < headerSize ? bareResponse(rcInsufficient) : this.#execute(command, locality)
  }

  #execute(command: Uint8Array, locality: number): Uint8Array {
    if (!this.#state.tpm.powered) return bareResponse(rcFailure)
    const code = new DataView(command.buffer, command.byteOffset, command.length).getUint32(6)
    if (code === setLocality) return bareResponse(this.#setLocality(command))
    return this.#state.tpm.execute(command, locality)
  }

  #setLocality(command: Uint8Array): number {
    const [locality] = command.subarray(headerSize)
    if (locality === undefined) return rcInsufficient
    if (!this.#state.rules.allowSetLocality) return rcFailure
    return this.#state.setLocality(locality) ? rcSuccess : rcLocality
  }

  #reply(bytes: Uint8Array): Extract<Step, { kind: 'reply' }> {
    return { kind: 'reply', bytes, close: this.#state.rules.disconnect }
  }
}
