// `palimpsest tpm checkquote`: what a quote proves, one check after the other, without a TPM.
// Source: TPM 2.0 Library, Part 3, clause 18.4 (TPM2_Quote), revision 1.59; sdk/attest/appraise-tpm.ts does the checking.

import { existsSync } from 'node:fs'
import { Command, Option } from 'commander'
import {
  appraiseTpm,
  Refusal,
  type RefusalCode,
  type TpmAppraisal,
  type TpmEvidence,
  type TpmExpectations,
} from '../../../../sdk/attest/index.ts'
import { selectionsText } from '../../../../sdk/evidence/index.ts'
import { marshal, type TPML_PCR_SELECTION, TPMT_PUBLIC } from '../../../../sdk/tpm2/index.ts'
import { CommandFailure, EXIT, Output } from '../../output.ts'
import { pcrBanks, pcrsJson, type PcrValue } from '../../tpm/pcrs.ts'
import { quotePaths, readPcrValues, readPublic } from '../../tpm/quote-files.ts'
import { readInput, selectionsValue } from '../../tpm/values.ts'
import { hexValue } from '../../values.ts'

interface CheckFlags {
  readonly message?: string
  readonly signature?: string
  readonly public?: string
  readonly anyKey?: boolean
  readonly values?: string
  readonly eventlog?: string
  readonly nonce: Uint8Array
  readonly pcrs?: TPML_PCR_SELECTION
  readonly json?: boolean
}

/** What is checked, in this order: after one that fails, nothing that follows means anything. */
const CHECKS = {
  key: 'the key signs only what its TPM made, and strongly',
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

  constructor(check: CheckName, cause: Error) {
    super(cause.message, { cause })
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
    .option(
      '--any-key',
      "take the folder's own ak.public: shows that the files fit together, not whose TPM it was",
    )
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
A folder's own ak.public proves nothing: anyone can make a key and sign with it. Give --public a key that you learned in
a trusted way.
  palimpsest tpm checkquote proof --nonce 2f0c9a51 --pcrs sha256:0,7 --public trusted-ak.public`,
    )
    .action(checkquote)
}

interface Files {
  readonly attest: Uint8Array
  readonly signature: Uint8Array
  readonly publicPath: string
  readonly valuesPath: string | undefined
  readonly eventLog: Uint8Array | undefined
}

function checkquote(folder: string | undefined, flags: CheckFlags): void {
  const files = filesOf(folder, flags)
  const out = new Output({ json: flags.json === true })
  const { checks, appraisal, values } = check(files, flags)
  const ok = checks.every(({ verdict }) => verdict !== 'bad')
  if (!ok) process.exitCode = EXIT.failed
  const json = {
    ok,
    checks,
    pcrs: appraisal === undefined ? null : selectionsText(appraisal.selection),
    values: values === undefined ? null : pcrsJson(values),
    clockInfo: appraisal?.clockInfo ?? null,
    firmwareVersion: appraisal?.firmwareVersion ?? null,
  }
  out.result(json, () => [...checks.map((one) => checkLine(out, one)), verdictLine(out, ok, flags)])
}

function verdictLine(out: Output, ok: boolean, { public: trusted }: CheckFlags): string {
  if (!ok) return out.bad('the quote is refused')
  return trusted === undefined
    ? 'the files fit together; nobody knows whose key it is'
    : out.good('the quote is good')
}

function checkLine(out: Output, { check: name, verdict, detail }: Check): string {
  const mark = { good: out.good('good'), bad: out.bad('BAD '), unchecked: out.dim('-   ') }[verdict]
  return `${mark}  ${CHECKS[name]}${detail === null ? '' : `: ${detail}`}`
}

function filesOf(folder: string | undefined, flags: CheckFlags): Files {
  const paths = folder === undefined ? undefined : quotePaths(folder)
  const [message, signature, publicPath] = [
    flags.message ?? paths?.message,
    flags.signature ?? paths?.signature,
    flags.public ?? paths?.public,
  ]
  if (folder !== undefined && flags.public === undefined && flags.anyKey !== true) {
    const expected = 'expected --public with the attestation key that you trust, or --any-key'
    throw new CommandFailure(EXIT.usage, `${expected}: the key beside a quote may be anyone's`)
  }
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
    eventLog: flags.eventlog === undefined ? undefined : readInput(flags.eventlog),
  }
}

interface Checked {
  readonly checks: readonly Check[]
  /** what may be believed: only there when the key signed it */
  readonly appraisal: TpmAppraisal | undefined
  readonly values: readonly PcrValue[] | undefined
}

/** Judges the quote by itself, then with values, then with the log, so that a refusal tells which of them is bad. */
function check(files: Files, flags: CheckFlags): Checked {
  const { attest, signature, publicPath, valuesPath, eventLog } = files
  const unchecked = new Map<CheckName, string>()
  if (flags.public === undefined) unchecked.set('key', "the quote's own key: --public tells whose it is")
  if (flags.pcrs === undefined) unchecked.set('selection', 'any PCRs will do without --pcrs')
  if (valuesPath === undefined) unchecked.set('values', 'no --values were given')
  if (eventLog === undefined) unchecked.set('eventlog', 'no --eventlog was given')
  const expected = expectations(publicPath, flags)
  let appraisal: TpmAppraisal | undefined
  let values: readonly PcrValue[] | undefined
  const judge = (part: Partial<TpmEvidence>, checkOf: (code: RefusalCode) => CheckName | undefined) => {
    appraisal = appraised({ attest, signature, ...part }, expected, checkOf)
    return appraisal
  }
  try {
    const { selection } = judge({}, (code) => CHECK_OF[code])
    if (valuesPath !== undefined) {
      const found = readPcrValues(valuesPath, selection)
      judge({ pcrValues: pcrBanks(found) }, () => 'values')
      values = found
    }
    if (eventLog !== undefined) {
      judge({ eventLog, pcrValues: values === undefined ? undefined : pcrBanks(values) }, () => 'eventlog')
    }
    return { checks: checksUpTo(undefined, unchecked, remarksOn(flags)), appraisal, values }
  } catch (error) {
    if (!(error instanceof Bad)) throw error
    return { checks: checksUpTo(error, unchecked, remarksOn(flags)), appraisal, values }
  }
}

function expectations(publicPath: string, { nonce, pcrs }: CheckFlags): TpmExpectations {
  return {
    akPublic: marshal(TPMT_PUBLIC, readPublic(publicPath)),
    qualifyingData: nonce,
    ...(pcrs === undefined ? { pcrs: [], coverage: 'minimum' } : { pcrs }),
  }
}

/** What a refusal of the quote by itself is about. */
const CHECK_OF: Readonly<Partial<Record<RefusalCode, CheckName>>> = {
  REFUSED_SIZE: 'message',
  REFUSED_ENROLMENT: 'key',
  REFUSED_SIGNATURE: 'signature',
  REFUSED_QUOTE: 'message',
  REFUSED_BINDING: 'nonce',
  REFUSED_PCRS: 'selection',
}

function appraised(
  evidence: TpmEvidence,
  expected: TpmExpectations,
  checkOf: (code: RefusalCode) => CheckName | undefined,
): TpmAppraisal {
  try {
    return appraiseTpm(evidence, expected)
  } catch (error) {
    const name = error instanceof Refusal ? checkOf(error.code) : undefined
    if (name === undefined || !(error instanceof Refusal)) throw error
    throw new Bad(name, error)
  }
}

/** What a good check does not show. */
function remarksOn(flags: CheckFlags): ReadonlyMap<CheckName, string> {
  const remarks = new Map<CheckName, string>()
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
