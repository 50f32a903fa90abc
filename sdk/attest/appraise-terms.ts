// Steps about what was agreed: the quote and the worker's report answer this challenge, and the terms name the VM that
// judges, the blocks that it approved, and the block ids that the host showed (claim 1a).

import { type BlockId, type BlockKind, RangeMap } from '../block/index.ts'
import { equalBytes, hex } from '../crypto/index.ts'
import {
  selectPcrs,
  signatureHash,
  Tpm2Error,
  type Tpm2ErrorCode,
  TPMT_PUBLIC,
  TPMT_SIGNATURE,
  unmarshal,
  verifyQuote,
} from '../tpm2/index.ts'
import { type AppraisalInput, type Findings, known } from './appraisal.ts'
import { checkReportDigest } from './appraise-platform.ts'
import { bindingDigest, type Role, roles } from './binding.ts'
import type { Selection } from './challenge.ts'
import { selectionOf } from './policy.ts'
import { Refusal, type RefusalCode } from './refusal.ts'

const QUOTE_REFUSALS: Partial<Record<Tpm2ErrorCode, RefusalCode>> = {
  BAD_AK: 'REFUSED_ENROLMENT',
  BAD_SIGNATURE: 'REFUSED_SIGNATURE',
  BAD_QUALIFYING_DATA: 'REFUSED_BINDING',
  PCR_SELECTION: 'REFUSED_PCRS',
}

/**
 * The quote is the enrolled key's, of this challenge, over exactly the policy's PCRs.
 * Throws Refusal REFUSED_SIGNATURE, REFUSED_QUOTE, REFUSED_BINDING or REFUSED_PCRS.
 */
export function checkQuote(input: AppraisalInput, findings: Findings): string {
  const { policy, enrolment, challenge, delivery } = input
  const { attest, signature } = delivery.quote
  const selection = selectionOf(policy)
  requireSelection(challenge.selection, selection)
  try {
    const quote = verifyQuote({
      attest,
      signature,
      akPublic: unmarshal(TPMT_PUBLIC, enrolment.akPublic),
      qualifyingData: expectedBinding(input),
      expectedSelection: [selectPcrs(selection.hash, selection.pcrs)],
    })
    findings.quotedClock = quote.clockInfo
    findings.quotedPcrDigest = quote.attested.pcrDigest
    findings.quoteHash = signatureHash(unmarshal(TPMT_SIGNATURE, signature))
    return `clock ${quote.clockInfo.clock.toString()} ms, reset count ${String(quote.clockInfo.resetCount)}`
  } catch (cause) {
    if (!(cause instanceof Tpm2Error)) throw cause
    const code = QUOTE_REFUSALS[cause.code] ?? 'REFUSED_QUOTE'
    const expected = "the enrolled attestation key's quote of this challenge"
    throw new Refusal(code, 'quote', { expected, found: `one that is refused (${cause.message})` }, { cause })
  }
}

function requireSelection(asked: Selection, wanted: Selection): void {
  const same = asked.hash === wanted.hash && asked.pcrs.join() === wanted.pcrs.join()
  if (same) return
  throw new Refusal('REFUSED_PCRS', 'challenge', {
    expected: `the policy's PCRs ${wanted.pcrs.join(', ')} of bank 0x${wanted.hash.toString(16)}`,
    found: `${asked.pcrs.join(', ')} of bank 0x${asked.hash.toString(16)}`,
    action: 'make the challenge from the same policy',
  })
}

function expectedBinding({ transcript, role, challenge }: AppraisalInput): Uint8Array {
  return bindingDigest(transcript, role, challenge.nonce)
}

/**
 * The worker that signs itself answers this challenge of these terms, and so holds the key that the terms name. Any host
 * can have a quote with any qualifying data; only the worker can have a report with this report data.
 * Throws Refusal REFUSED_BINDING.
 */
export function checkWorkerBinding(input: AppraisalInput, findings: Findings): string {
  const wanted = expectedBinding(input)
  const { reportData } = known(findings, 'worker')
  if (equalBytes(reportData, wanted)) return `worker key ${hex(input.open.workerKey)}`
  throw new Refusal('REFUSED_BINDING', 'worker report', {
    expected: `report data ${hex(wanted)} for these terms, role and nonce`,
    found: hex(reportData),
    action: 'have the worker that opened the registration answer the challenge',
  })
}

/** The terms are of this VM, of what it approved, and of the block ids beside them. Throws Refusal REFUSED_BINDING. */
export function checkTerms(input: AppraisalInput): string {
  const { open, role, own, approved, delivery } = input
  requireSame(`${role} in the terms`, own.vm, open[role].vm)
  requireSame(`identity of the ${role} in the terms`, hex(own.identity), hex(open[role].identity))
  checkReportDigest(input)
  checkApproved(input)
  const [first] = open.pairs
  requireBlock('source', open.source.vm, open.kind, first?.first, delivery.firstBlock)
  requireBlock('destination', open.destination.vm, open.kind, first?.second, delivery.secondBlock)
  return `${String(approved.pairs.length)} approved ranges`
}

function checkApproved({ open, approved }: AppraisalInput): void {
  requireSame('kind of block in the terms', approved.kind, open.kind)
  const agreed = RangeMap.from(approved.pairs)
  for (const { first, second, count } of RangeMap.from(open.pairs).pairs) {
    const [found, ...more] = agreed.withinFirst({ first, count })
    if (found?.first === first && found.second === second && found.count === count && more.length === 0)
      continue
    throw new Refusal('REFUSED_BINDING', 'blocks in the terms', {
      expected: 'only pairs of blocks that this VM approved',
      found: `${count.toString()} blocks from ${first.toString()} to ${second.toString()}`,
      action: 'ask for the copy with these blocks first',
    })
  }
  if (approved.volumes === undefined || open.disk === null) return
  const { sourceVolume, destinationVolume } = open.disk
  requireSame('source volume in the terms', approved.volumes.source, sourceVolume)
  requireSame('destination volume in the terms', approved.volumes.destination, destinationVolume)
}

function requireBlock(
  side: Role,
  vm: string,
  kind: BlockKind,
  index: bigint | undefined,
  shown: BlockId,
): void {
  const subject = `${side === roles[0] ? 'first' : 'second'} block`
  const wanted = `${vm}/${kind}/${String(index)}`
  requireSame(subject, wanted, `${shown.vm}/${shown.kind}/${shown.index.toString()}`)
}

function requireSame(subject: string, expected: string, found: string): void {
  if (expected === found) return
  throw new Refusal('REFUSED_BINDING', subject, {
    expected,
    found,
    action: 'relay the terms and block ids unchanged',
  })
}
