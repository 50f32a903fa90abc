// Faults on purpose: what a client must survive and what no healthy TPM shows on demand. Each fault waits for commands
// that it fits, happens a number of times, and is gone.

import { errorResponse } from './dispatch/frame.ts'

/** What goes wrong. */
export type FaultKind =
  /** the command is not executed and answered with a response code, such as TPM_RC_RETRY or TPM_RC_TESTING */
  | { readonly kind: 'response-code'; readonly rc: number }
  /** the TPM takes this many milliseconds longer */
  | { readonly kind: 'slow'; readonly milliseconds: number }
  /** the command is executed; its response has one bit changed, at this byte */
  | { readonly kind: 'corrupt-response'; readonly offset: number }
  /** the command is executed; only the first bytes of its response come out */
  | { readonly kind: 'short-response'; readonly bytes: number }
  /** the TPM loses power before the command, and is powered on again: TPM2_Startup is needed */
  | { readonly kind: 'reset' }
  /** the TPM finds itself broken before the command: from here on only TPM2_GetTestResult and TPM2_GetCapability */
  | { readonly kind: 'failure-mode' }

/** A fault and when it happens. */
export type Fault = FaultKind & {
  /** TPM_CC that it waits for; default any command */
  readonly command?: number
  /** commands that fit and pass before it happens; default 0 */
  readonly after?: number
  /** how often it happens; default once */
  readonly times?: number
}

interface Waiting {
  readonly fault: Fault
  passes: number
  times: number
}

/** What faults can do to their TPM. */
export interface Faulty {
  /** takes the power away and gives it back; what the TPM then answers instead of executing the command */
  reset(): Uint8Array
  enterFailureMode(): void
}

/** The faults that wait. */
export class FaultInjector {
  #waiting: Waiting[] = []

  add(fault: Fault): void {
    this.#waiting.push({ fault, passes: fault.after ?? 0, times: fault.times ?? 1 })
  }

  clear(): void {
    this.#waiting = []
  }

  /** Executes a command through the faults that fit it. */
  apply(command: Uint8Array, tpm: Faulty, execute: () => Uint8Array): Uint8Array {
    if (this.#waiting.length === 0) return execute()
    let work = execute
    for (const fault of this.#due(commandCode(command))) work = through(fault, tpm, work)
    return work()
  }

  #due(code: number | undefined): Fault[] {
    const due: Fault[] = []
    for (const waiting of this.#waiting) {
      if (waiting.fault.command !== undefined && waiting.fault.command !== code) continue
      if (waiting.passes > 0) {
        waiting.passes -= 1
        continue
      }
      waiting.times -= 1
      due.push(waiting.fault)
    }
    this.#waiting = this.#waiting.filter(({ times }) => times > 0)
    return due
  }
}

function commandCode(command: Uint8Array): number | undefined {
  if (command.length < 10) return undefined
  return new DataView(command.buffer, command.byteOffset, command.byteLength).getUint32(6)
}

function through(fault: Fault, tpm: Faulty, work: () => Uint8Array): () => Uint8Array {
  switch (fault.kind) {
    case 'response-code':
      return () => errorResponse(fault.rc)
    case 'slow':
      return () => {
        pause(fault.milliseconds)
        return work()
      }
    case 'corrupt-response':
      return () => work().map((octet, index) => (index === fault.offset ? octet ^ 1 : octet))
    case 'short-response':
      return () => work().slice(0, fault.bytes)
    case 'reset':
      return () => tpm.reset()
    case 'failure-mode':
      return () => {
        tpm.enterFailureMode()
        return work()
      }
  }
}

/** Stands still, as a TPM that is busy does: everything in it waits. */
function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}
