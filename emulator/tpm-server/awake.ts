// Keeps the process awake for a moment after an answer. A client's next command mostly follows within microseconds, and
// waking a sleeping processor costs more than most commands do (measured: GetRandom 103 against 42 µs). The event loop
// looks for new bytes without sleeping, as a kernel does that polls busily (SO_BUSY_POLL of socket(7)); what it spends
// on that is at most the moment per burst of commands.

import { availableParallelism } from 'node:os'

const momentMs = 0.1
/** On a single processor the client could not send while we look. */
const worthwhile = availableParallelism() > 1

// One of each for the process, since it has one event loop.
let until = 0
let looking = false

/** Looks for the next command at once, for a moment, before the event loop may sleep. */
export function stayAwake(): void {
  if (!worthwhile) return
  until = performance.now() + momentMs
  if (looking) return
  looking = true
  setImmediate(look)
}

function look(): void {
  looking = performance.now() < until
  if (looking) setImmediate(look)
}
