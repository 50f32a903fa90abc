// The audit chain: whole logs pass, and every change, cut, insertion or reordering is found.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AuditLog } from '../../../../sdk/worker/audit.ts'
import { AUDIT_START, parseAuditEntry, verifyAudit } from '../../../../sdk/worker/index.ts'

function logOf(events: readonly string[]): { entries: Uint8Array[]; heads: Uint8Array[] } {
  const entries: Uint8Array[] = []
  const heads: Uint8Array[] = []
  const log = new AuditLog((entry) => entries.push(entry))
  events.forEach((event, index) => {
    heads.push(
      log.append(BigInt(index * 10), event, { blocks: BigInt(index), registration: 'clone-1' }).digest,
    )
  })
  return { entries, heads }
}

const some = fc.array(fc.constantFrom('opened', 'granted', 'copied', 'closed'), {
  minLength: 2,
  maxLength: 12,
})

describe('verifyAudit', () => {
  it('accepts a whole log and tells its head', () => {
    const { entries, heads } = logOf(['opened', 'granted', 'copied'])
    expect(verifyAudit(entries)).toEqual({ ok: true, entries: 3n, head: heads[2] })
    expect(verifyAudit(entries, heads[1]).ok).toBe(true)
    expect(verifyAudit([], AUDIT_START)).toEqual({ ok: true, entries: 0n, head: AUDIT_START })
  })

  it('finds a flipped byte in any entry but the last, which only a head can guard', () => {
    fc.assert(
      fc.property(some, fc.nat(), fc.nat(), (events, entryPick, bytePick) => {
        const { entries, heads } = logOf(events)
        const changed = entries.map((entry) => Uint8Array.from(entry))
        const victim = changed[entryPick % changed.length] ?? new Uint8Array()
        const at = bytePick % victim.length
        victim[at] = (victim[at] ?? 0) ^ 1
        expect(verifyAudit(changed, heads.at(-1)).ok).toBe(false)
      }),
    )
  })

  it('finds entries that were cut off, when the head is known', () => {
    const { entries, heads } = logOf(['opened', 'granted', 'copied', 'copied'])
    const verdict = verifyAudit(entries.slice(0, 2), heads[3])
    expect(verdict).toMatchObject({ ok: false, at: 2n })
    expect(verifyAudit(entries.slice(0, 2)).ok, 'without a head, a shorter log is a log').toBe(true)
  })

  it('finds entries that were left out, doubled or exchanged', () => {
    const { entries } = logOf(['opened', 'granted', 'copied'])
    const [a, b, c] = entries as [Uint8Array, Uint8Array, Uint8Array]
    for (const wrong of [
      [a, c],
      [b, c],
      [a, a, b],
      [b, a, c],
    ]) {
      expect(verifyAudit(wrong).ok).toBe(false)
    }
  })

  it('reads an entry back', () => {
    const [entry = new Uint8Array()] = logOf(['opened']).entries
    expect(parseAuditEntry(entry)).toEqual({
      sequence: 1n,
      previous: AUDIT_START,
      at: 0n,
      event: 'opened',
      fields: { blocks: 0n, registration: 'clone-1' },
    })
  })
})
