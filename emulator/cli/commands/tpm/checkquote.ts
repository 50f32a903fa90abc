// `palimpsest tpm checkquote`: what a quote proves, one check after the other, without a TPM.
// Source: TPM 2.0 Library, Part 3, clause 18.4 (TPM2_Quote), revision 1.59; sdk/tpm2/quote.ts, which does the checking.

import { existsSync } from 'node:fs'
import { Command, Option } from 'commander'
import { equalBytes } from '../../../../sdk/crypto/index.ts'
import {
  bankName,
  EvidenceError,
  type FirmwareLog,
  pcrText,
  readFirmwareLog,
  replay,
  selectionsText,
} from '../../../../sdk/evidence/index.ts'
import {
  isHash,
  pcrDigest,
  type Quote,
  selectedPcrs,
  signatureHash,
  Tpm2Error,
  type Tpm2ErrorCode,
  type TPML_PCR_SELECTION,
  TPMS_ATTEST,
  TPMT_SIGNATURE,
  unmarshal,
  verifyQuote,
} from '../../../../sdk/tpm2/index.ts'
import { CommandFailure, EXIT, Output } from '../../output.ts'
import { pcrBanks, pcrsJson, type PcrValue } from '../../tpm/pcrs.ts'
import { quotePaths, readPcrValues, readPublic } from '../../tpm/quote-files.ts'
import { readInput, selectionsValue } from '../../tpm/values.ts'
import { hexValue } from '../../values.ts'

interface CheckFlags {
  readonly message?: string
  readonly signature?: string
  readonly public?: string
  readonly values?: string
  readonly eventlog?: string
  readonly nonce: Uint8Array
  readonly pcrs?: TPML_PCR_SELECTION
  readonly json?: boolean
}

/** What is checked, in this order: after one that fails, nothing that follows means anything. */
const CHECKS = {
  key: 'the key signs only what its TPM made',
  signature: 'the signature is by this key',
  message: 'the message is a quote of a TPM',
  nonce: 'the quote has this nonce',
  selection: 'the quote is of these PCRs',
  values: 'the PCRs had these values',
  eventlog: 'the event log leads to these PCRs',
} as const
type CheckName = keyof typeof CHECKS

interface Check {
  readonly check: CheckName
  readonly verdict: 'good' | 'bad' | 'unchecked'
  /** why it is bad or unchecked, or what it does not show although it is good */
  readonly detail: string | null
}

/** Why a check failed. */
class Bad extends Error {
  readonly check: CheckName

  constructor(check: CheckName, message: string) {
    super(message)
    this.check = check
  }
}

/** `palimpsest tpm checkquote` */
export function checkquoteCommand(): Command {
  return new Command('checkquote')
    .description(
      'Verify a quote of "tpm quote" or tpm2_quote; exit code 1 when anything is not as it should be.',
    )
    .argument('[folder]', 'folder that "tpm quote --out" wrote; options name other files')
    .option('--message <file>', 'the attestation: TPMS_ATTEST, tpm2_quote -m')
    .option('--signature <file>', 'its signature: TPMT_SIGNATURE, tpm2_quote -s')
    .option('--public <file>', 'the attestation key that you trust: TPM2B_PUBLIC, tpm2_createak -u')
    .option('--values <file>', 'PCR values: of tpm2_quote -o, tpm2_pcrread or "tpm pcr read"')
    .addOption(
      new Option('--pcrs <pcrs>', 'the PCRs that were asked for, like sha256:0,7 (default: any)').argParser(
        (text: string) => selectionsValue(text),
      ),
    )
    .addOption(
      new Option('--nonce <hex>', 'the nonce that was asked for')
        .argParser(hexValue)
        .default(new Uint8Array(0), 'none'),
    )
    .option('--eventlog <file>', 'event log that shall lead to the PCRs')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
A folder's own ak.public proves nothing about whose TPM it was: give --public a key that you learned in a trusted way.
  palimpsest tpm checkquote proof --nonce 2f0c9a51 --pcrs sha256:0,7 --public trusted-ak.public`,
    )
    .action(checkquote)
}

interface Evidence {
  readonly attest: Uint8Array
  readonly signature: Uint8Array
  readonly publicPath: string
  readonly valuesPath: string | undefined
  readonly log: FirmwareLog | undefined
}

function checkquote(folder: string | undefined, flags: CheckFlags): void {
  const evidence = evidenceOf(folder, flags)
  const out = new Output({ json: flags.json === true })
  const { checks, quote, values } = check(evidence, flags)
  const ok = checks.every(({ verdict }) => verdict !== 'bad')
  if (!ok) process.exitCode = EXIT.failed
  const json = {
    ok,
    checks,
    pcrs: quote === undefined ? null : selectionsText(quote.attested.pcrSelect),
    values: values === undefined ? null : pcrsJson(values),
    clockInfo: quote?.clockInfo ?? null,
    firmwareVersion: quote?.firmwareVersion ?? null,
  }
  out.result(json, () => [
    ...checks.map((one) => checkLine(out, one)),
    ok ? out.good('the quote is good') : out.bad('the quote is refused'),
  ])
}

function checkLine(out: Output, { check: name, verdict, detail }: Check): string {
  const mark = { good: out.good('good'), bad: out.bad('BAD '), unchecked: out.dim('-   ') }[verdict]
  return `${mark}  ${CHECKS[name]}${detail === null ? '' : `: ${detail}`}`
}

function evidenceOf(folder: string | undefined, flags: CheckFlags): Evidence {
  const paths = folder === undefined ? undefined : quotePaths(folder)
  const [message, signature, publicPath] = [
    flags.message ?? paths?.message,
    flags.signature ?? paths?.signature,
    flags.public ?? paths?.public,
  ]
  if (message === undefined || signature === undefined || publicPath === undefined) {
    const message = 'expected a folder, or --message, --signature and --public'
    throw new CommandFailure(EXIT.usage, message)
  }
  const beside = paths !== undefined && existsSync(paths.pcrs) ? paths.pcrs : undefined
  return {
    attest: readInput(message),
    signature: readInput(signature),
    publicPath,
    valuesPath: flags.values ?? beside,
    log: flags.eventlog === undefined ? undefined : readLog(flags.eventlog),
  }
}

function readLog(path: string): FirmwareLog {
  try {
    return readFirmwareLog(readInput(path))
  } catch (cause) {
    if (!(cause instanceof EvidenceError)) throw cause
    throw new CommandFailure(EXIT.usage, `${path}: ${cause.message}`, { cause })
  }
}

interface Checked {
  readonly checks: readonly Check[]
  /** what may be believed: only there when the key signed it */
  readonly quote: Quote | undefined
  readonly values: readonly PcrValue[] | undefined
}

function check(evidence: Evidence, flags: CheckFlags): Checked {
  const unchecked = new Map<CheckName, string>()
  if (flags.pcrs === undefined) unchecked.set('selection', 'any PCRs will do without --pcrs')
  if (evidence.valuesPath === undefined) unchecked.set('values', 'no --values were given')
  if (evidence.log === undefined) unchecked.set('eventlog', 'no --eventlog was given')
  const remarks = remarksOn(flags)
  let quote: Quote | undefined
  let values: readonly PcrValue[] | undefined
  try {
    quote = verified(evidence, flags)
    values = checkedValues(evidence, quote)
    if (evidence.log !== undefined) checkLog(evidence, evidence.log, quote, values)
    return { checks: checksUpTo(undefined, unchecked, remarks), quote, values }
  } catch (error) {
    if (error instanceof Bad) return { checks: checksUpTo(error, unchecked, remarks), quote, values }
    throw error
  }
}

/** What a good check does not show. */
function remarksOn(flags: CheckFlags): ReadonlyMap<CheckName, string> {
  const remarks = new Map<CheckName, string>()
  if (flags.public === undefined)
    remarks.set('key', "the quote's own key: give --public to know whose TPM it is")
  if (flags.nonce.length === 0) remarks.set('nonce', 'none, so that it may be an old quote')
  return remarks
}

function checksUpTo(
  bad: Bad | undefined,
  unchecked: ReadonlyMap<CheckName, string>,
  remarks: ReadonlyMap<CheckName, string>,
): Check[] {
  let failed = false
  return (Object.keys(CHECKS) as CheckName[]).map((name) => {
    if (failed) return { check: name, verdict: 'unchecked', detail: 'not reached' }
    if (bad?.check === name) {
      failed = true
      return { check: name, verdict: 'bad', detail: bad.message }
    }
    const why = unchecked.get(name)
    return why === undefined
      ? { check: name, verdict: 'good', detail: remarks.get(name) ?? null }
      : { check: name, verdict: 'unchecked', detail: why }
  })
}

const CHECK_OF: Readonly<Partial<Record<Tpm2ErrorCode, CheckName>>> = {
  BAD_AK: 'key',
  BAD_SIGNATURE: 'signature',
  UNSUPPORTED: 'signature',
  BAD_MAGIC: 'message',
  BAD_TYPE: 'message',
  MALFORMED: 'message',
  BAD_QUALIFYING_DATA: 'nonce',
  PCR_SELECTION: 'selection',
}

/** The quote, when its key signed it and it answers the nonce. Throws Bad. */
function verified({ attest, signature, publicPath }: Evidence, { nonce, pcrs }: CheckFlags): Quote {
  const akPublic = readPublic(publicPath)
  if (tried(() => unmarshal(TPMT_SIGNATURE, signature)) === undefined) {
    throw new Bad(
      'signature',
      'expected a TPMT_SIGNATURE, found other bytes; tpm2_quote writes one without -f',
    )
  }
  try {
    const expectedSelection = pcrs ?? selectionIn(attest)
    return verifyQuote({ attest, signature, akPublic, qualifyingData: nonce, expectedSelection })
  } catch (error) {
    const name = error instanceof Tpm2Error ? CHECK_OF[error.code] : undefined
    if (name === undefined || !(error instanceof Tpm2Error)) throw error
    throw new Bad(name, error.message)
  }
}

/** What the message says it is of; nothing is concluded from it before the signature is verified. */
function selectionIn(attest: Uint8Array): TPML_PCR_SELECTION {
  const message = tried(() => unmarshal(TPMS_ATTEST, attest))
  return message !== undefined && 'pcrSelect' in message.attested ? message.attested.pcrSelect : []
}

function tried<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof Tpm2Error) return undefined
    throw error
  }
}

/** The values of the quoted PCRs, when there is a file of them. Throws Bad. */
function checkedValues({ valuesPath, signature }: Evidence, quote: Quote): readonly PcrValue[] | undefined {
  if (valuesPath === undefined) return undefined
  const selection = quote.attested.pcrSelect
  const found = readPcrValues(valuesPath, selection)
  const values = selection.flatMap((bank) =>
    selectedPcrs(bank).map((pcr) => {
      const one = found.find((value) => value.bank === bank.hash && value.pcr === pcr)
      if (one === undefined) {
        throw new Bad('values', `expected a value of ${pcrText({ bank: bank.hash, pcr })}, found none`)
      }
      return one
    }),
  )
  if (!isQuoted(quote, signature, values)) {
    throw new Bad('values', 'expected values with the digest that was signed, found others')
  }
  return values
}

function isQuoted(quote: Quote, signature: Uint8Array, values: readonly PcrValue[]): boolean {
  const hashAlg = signatureHash(unmarshal(TPMT_SIGNATURE, signature))
  const digest = pcrDigest(quote.attested.pcrSelect, pcrBanks(values), hashAlg)
  return equalBytes(digest, quote.attested.pcrDigest)
}

/** Throws Bad, naming the PCRs that the log does not lead to where their values are known. */
function checkLog(
  { signature }: Evidence,
  log: FirmwareLog,
  quote: Quote,
  values: readonly PcrValue[] | undefined,
): void {
  const replayed = quote.attested.pcrSelect.flatMap((bank) => {
    const pcrs = replayedBank(log, bank.hash)
    return selectedPcrs(bank).map((pcr) => ({
      bank: bank.hash,
      pcr,
      value: pcrs.get(pcr) ?? new Uint8Array(0),
    }))
  })
  const different = (values ?? []).filter(
    ({ value }, at) => !equalBytes(value, replayed[at]?.value ?? new Uint8Array(0)),
  )
  if (different.length > 0) {
    throw new Bad('eventlog', `it leads elsewhere for ${different.map(pcrText).join(', ')}`)
  }
  if (!isQuoted(quote, signature, replayed)) {
    throw new Bad('eventlog', 'it leads elsewhere; --values would tell for which PCRs')
  }
}

function replayedBank(log: FirmwareLog, bank: number): Map<number, Uint8Array> {
  const has = log.algorithms.some(({ algorithmId }) => algorithmId === bank)
  if (!isHash(bank) || !has) {
    throw new Bad('eventlog', `expected a log with bank ${bankName(bank)}, found one without`)
  }
  try {
    return replay(log, bank)
  } catch (cause) {
    if (cause instanceof EvidenceError) throw new Bad('eventlog', cause.message)
    throw cause
  }
}
