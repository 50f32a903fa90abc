/**
 * What is wrong with a message, field by field, in the form of google.rpc.BadRequest: a path such as
 * `blocks[3].index` and a sentence. Paths are kept as segments and joined only when something is wrong.
 */

/** One fault in a message. */
export interface Violation {
  /** Path from the message, for example `blocks[3].index`; empty for the message itself. */
  readonly field: string
  /** What was expected and what was found; never the content of bytes or text. */
  readonly description: string
}

/** More than this is not reported: the caller mends the first ones first. */
const maxViolations = 16

/** A message that may not be sent, or that was received and may not be used. */
export class InvalidMessage extends Error {
  override readonly name = 'InvalidMessage'
  /** At least one. */
  readonly violations: readonly Violation[]

  constructor(messageName: string, violations: readonly Violation[]) {
    const first = violations[0]
    const where = first?.field ? `${first.field}: ` : ''
    super(`${messageName} is not valid: ${where}${first?.description ?? 'no reason given'}`)
    this.violations = violations
  }
}

/** Collects violations while a message is walked; `enter` and `leave` keep the path. */
export class Findings {
  readonly violations: Violation[] = []
  private readonly path: (string | number)[] = []

  enter(segment: string | number): void {
    this.path.push(segment)
  }

  leave(): void {
    this.path.pop()
  }

  add(description: string, ...segments: readonly (string | number)[]): void {
    if (this.violations.length < maxViolations) {
      this.violations.push({ field: joinPath([...this.path, ...segments]), description })
    }
  }
}

function joinPath(segments: readonly (string | number)[]): string {
  let path = ''
  for (const segment of segments) {
    if (typeof segment === 'number') path += `[${segment}]`
    else path += path === '' ? segment : `.${segment}`
  }
  return path
}
