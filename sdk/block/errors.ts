// The error of this room for bad data from outside; TypeError and RangeError mean a wrong call.

/** A block id, range or mapping that does not have the expected form. `code` is stable and meant for programs. */
export class BlockError extends Error {
  readonly code = 'MALFORMED'

  constructor(message: string) {
    super(message)
    this.name = 'BlockError'
  }
}
