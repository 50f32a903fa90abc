// The copy stream: requests of one hypervisor, each a session, worked on a few at a time and answered as they end. A
// refused session is answered with its error, so that one bad request does not end the stream.

import { type CopyRequest, type CopyResponse, type Logger, PalimpsestError } from '../rpc/index.ts'
import { Refusal } from '../attest/index.ts'

/** Sessions worked on at once: enough to keep the platform busy while answers travel. */
const IN_FLIGHT = 8

/** Answers each request of `requests` with `session`, in the order of completion. */
export async function* copyStream(
  requests: AsyncIterable<CopyRequest>,
  session: (request: CopyRequest) => Promise<CopyResponse['result']>,
  log: Logger,
): AsyncGenerator<CopyResponse> {
  const incoming = requests[Symbol.asyncIterator]()
  const working = new Map<number, Promise<Step>>()
  let serial = 0
  let reading: Promise<Step> | undefined = next(incoming)
  while (reading !== undefined || working.size > 0) {
    const candidates = [...working.values()]
    if (reading !== undefined && working.size < IN_FLIGHT) candidates.unshift(reading)
    const step = await Promise.race(candidates)
    if (step.kind === 'answer') {
      working.delete(step.serial)
      yield step.response
    } else if (step.kind === 'end') reading = undefined
    else {
      serial += 1
      working.set(serial, answer(serial, step.request, session, log))
      reading = next(incoming)
    }
  }
}

type Step =
  | { readonly kind: 'request'; readonly request: CopyRequest }
  | { readonly kind: 'end' }
  | { readonly kind: 'answer'; readonly serial: number; readonly response: CopyResponse }

async function next(incoming: AsyncIterator<CopyRequest>): Promise<Step> {
  const result = await incoming.next()
  return result.done === true ? { kind: 'end' } : { kind: 'request', request: result.value }
}

async function answer(
  serial: number,
  request: CopyRequest,
  session: (request: CopyRequest) => Promise<CopyResponse['result']>,
  log: Logger,
): Promise<Step> {
  try {
    const result = await session(request)
    return { kind: 'answer', serial, response: { session: request.session, result } }
  } catch (error) {
    const value = refusalOf(error, log)
    return {
      kind: 'answer',
      serial,
      response: { session: request.session, result: { case: 'error', value } },
    }
  }
}

/** Code and message of what went wrong. An unknown cause goes to the log, never to the caller. */
function refusalOf(error: unknown, log: Logger): { code: string; message: string } {
  if (error instanceof PalimpsestError || error instanceof Refusal)
    return { code: error.code, message: error.message }
  log.error({ err: error }, 'copy session failed')
  return { code: 'INTERNAL', message: 'the worker failed; see its log' }
}
