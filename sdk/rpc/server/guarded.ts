/** One check before every handler of a service, so that none can be forgotten. */
import type { CallContext } from './context.ts'

type AnyHandler = (input: unknown, context: CallContext) => unknown

/** The same handlers, each of which first runs `check`; what it throws is the answer. */
export function guarded<H extends object>(handlers: H, check: (context: CallContext) => void): H {
  const wrapped = Object.entries(handlers).map(([name, handler]: [string, AnyHandler]) => {
    const checked: AnyHandler = (input, context) => {
      check(context)
      return handler(input, context)
    }
    return [name, checked] as const
  })
  return Object.fromEntries(wrapped) as H
}
