// Whether an owner agreed to a new sharer: its signed statement must name the peer's identity and cover every page, and
// be in time (design, section 6). Without it a host could let its own VM into another's frames.

import { BlockError, RangeMap, type RangePair } from '../../sdk/block/index.ts'
import { equalBytes, hex, type PublicKey } from '../../sdk/crypto/index.ts'
import { EvidenceError, verifyShareStatement, type ShareStatement } from '../../sdk/evidence/index.ts'
import { PalimpsestError } from '../../sdk/rpc/index.ts'

/** What a host wants to share, and the owner's word for it. */
export interface ShareRequest {
  readonly owner: PublicKey
  readonly peer: PublicKey
  readonly pairs: readonly RangePair[]
  readonly statement: Uint8Array
  /** Milliseconds of platform time. */
  readonly now: bigint
}

/** Checks the owner's consent. @throws REFUSED_PEER when the statement does not allow exactly this */
export function expectConsent({ owner, peer, pairs, statement, now }: ShareRequest): void {
  const allowed = verified(statement, owner)
  if (!equalBytes(allowed.peer, peer.digest)) {
    throw refused(`a statement for the peer ${hex(peer.digest)}`, `one for ${hex(allowed.peer)}`)
  }
  if (allowed.notAfter < now) {
    throw refused(
      `a statement that holds at ${now} ms of platform time`,
      `one that ended at ${allowed.notAfter}`,
    )
  }
  const map = rangesOf(allowed)
  for (const { first, second, count } of pairs) {
    const pieces = map.withinFirst({ first, count })
    const covered = pieces.reduce((sum, piece) => sum + piece.count, 0n)
    const isSame = pieces.every((piece) => piece.second - piece.first === second - first)
    if (covered !== count || !isSame) {
      throw refused(`a statement for ${count} pages from ${first} to ${second}`, 'one for other pages')
    }
  }
}

function verified(statement: Uint8Array, owner: PublicKey): ShareStatement {
  try {
    return verifyShareStatement(statement, owner)
  } catch (cause) {
    if (!(cause instanceof EvidenceError)) throw cause
    throw refused(`a statement signed by the owner ${hex(owner.digest)}`, cause.message, cause)
  }
}

function rangesOf({ pairs }: ShareStatement): RangeMap {
  try {
    return RangeMap.from(pairs)
  } catch (cause) {
    if (!(cause instanceof BlockError)) throw cause
    throw refused('a statement that names each page once', cause.message, cause)
  }
}

function refused(expected: string, found: string, cause?: unknown): PalimpsestError {
  const message = `expected ${expected}, found ${found}: ask the owner's plugin for a statement`
  return new PalimpsestError('REFUSED_PEER', message, { metadata: { expected, found }, cause })
}
