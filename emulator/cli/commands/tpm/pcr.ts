// `palimpsest tpm pcr`: PCRs of a TPM.
// Source: TPM 2.0 Library, Part 3, clauses 17.7 (TPM2_EventSequenceComplete) and 22 (PCRs), revision 1.59.

import { Argument, Command, InvalidArgumentError } from 'commander'
import { fromHex, hex } from '../../../../sdk/crypto/index.ts'
import { bankName } from '../../../../sdk/evidence/index.ts'
import {
  digestSize,
  hash,
  passwordSession,
  selectPcrs,
  TPM2_EventSequenceComplete,
  TPM2_HashSequenceStart,
  TPM2_PCR_Event,
  TPM2_PCR_Extend,
  TPM2_PCR_Reset,
  TPM2_SequenceUpdate,
  TPM_ALG,
  type TPMS_PCR_SELECTION,
} from '../../../../sdk/tpm2/index.ts'
import { CommandFailure, EXIT, type Output } from '../../output.ts'
import { allocatedPcrs, pcrsJson, type PcrValue, readPcrs } from '../../tpm/pcrs.ts'
import { onTpm, type TpmFlags, type TpmSession, withTpm } from '../../tpm/session.ts'
import { AUTH_HELP, authValue, bankWord, pcrValue, readInput, selectionsValue } from '../../tpm/values.ts'

const NONE = new Uint8Array(0)
/** One TPM2B_EVENT, and one TPM2B_MAX_BUFFER of any TPM. */
const EVENT_SIZE = 1024

/** A digest for a bank. */
interface BankDigest {
  readonly hashAlg: number
  readonly digest: Uint8Array
}

interface AuthFlags extends TpmFlags {
  readonly auth?: string
}

interface ExtendFlags extends AuthFlags {
  readonly file?: string
  readonly event?: string
}

/** `palimpsest tpm pcr` */
export function tpmPcrCommand(): Command {
  return new Command('pcr')
    .description('Read, extend and reset PCRs of the TPM.')
    .addCommand(readCommand())
    .addCommand(extendCommand())
    .addCommand(resetCommand())
}

function readCommand(): Command {
  return withTpm(new Command('read'))
    .description('Print PCRs; without arguments all of all banks.')
    .addArgument(
      new Argument('[pcrs...]', 'like sha256:0,7 or sha384:all; more than one for more banks').argParser(
        selectionsValue,
      ),
    )
    .action(async (selected: readonly TPMS_PCR_SELECTION[], flags: TpmFlags) => {
      await onTpm(flags, async ({ client, out }) => {
        const values = await readPcrs(client, selected.length > 0 ? selected : await allocatedPcrs(client))
        out.result({ values: pcrsJson(values) }, () => valueLines(out, values))
      })
    })
}

/** As tpm2_pcrread prints them, so that what reads its output reads ours. */
function valueLines(out: Output, values: readonly PcrValue[]): string[] {
  return values.flatMap(({ bank, pcr, value }, at) => [
    ...(values[at - 1]?.bank === bank ? [] : [out.strong(`  ${bankName(bank)}:`)]),
    `    ${String(pcr).padEnd(2)}: 0x${hex(value).toUpperCase()}`,
  ])
}

function extendCommand(): Command {
  return withTpm(new Command('extend'))
    .description('Extend a PCR with digests, or with what a file hashes to, and print its new values.')
    .argument('<pcr>', 'the PCR, 0 to 23', pcrValue)
    .addArgument(
      new Argument(
        '[digests...]',
        'a digest for a bank, like sha256=HEX; more than one for more banks',
      ).argParser(digestValue),
    )
    .option('--file <file>', 'hash this file here, for every bank of the TPM')
    .option('--event <file>', 'have the TPM hash this file, for every bank of its own (TPM2_PCR_Event)')
    .option('--auth <value>', `authorization value of the PCR: ${AUTH_HELP}`)
    .addHelpText(
      'after',
      '\nPCR 16 and 23 are for trying things: "palimpsest tpm pcr reset 16" takes back what was extended.',
    )
    .action(extend)
}

function digestValue(text: string, before: readonly BankDigest[] = []): BankDigest[] {
  const [, name = '', digits = ''] = /^(\w+)=(?:0x)?([0-9a-fA-F]+)$/.exec(text) ?? []
  if (name === '') throw new InvalidArgumentError('expected a bank and a digest, like sha256=HEX')
  const hashAlg = bankWord(name)
  if (digits.length !== 2 * digestSize(hashAlg)) {
    throw new InvalidArgumentError(
      `expected ${String(2 * digestSize(hashAlg))} hexadecimal digits for ${name}, found ${String(digits.length)}`,
    )
  }
  if (before.some((one) => one.hashAlg === hashAlg)) {
    throw new InvalidArgumentError('expected one digest for each bank')
  }
  return [...before, { hashAlg, digest: fromHex(digits.toLowerCase()) }]
}

async function extend(pcr: number, given: readonly BankDigest[], flags: ExtendFlags): Promise<void> {
  const digests = given.length > 0 ? given : undefined
  const sources = [digests, flags.file, flags.event].filter((source) => source !== undefined)
  if (sources.length !== 1) {
    throw new CommandFailure(EXIT.usage, 'expected digests, --file or --event, and only one of them')
  }
  const auth = authValue(flags.auth)
  await onTpm(flags, async (tpm) => {
    const extended =
      flags.event === undefined
        ? await extendWith(tpm, pcr, auth, digests ?? (await digestsOf(tpm, readInput(flags.file ?? '-'))))
        : await extendByEvent(tpm, pcr, auth, readInput(flags.event))
    const selection = extended.map(({ hashAlg }) => selectPcrs(hashAlg, [pcr]))
    const values = await readPcrs(tpm.client, selection)
    const json = {
      pcr,
      digests: extended.map(({ hashAlg, digest }) => ({ bank: bankName(hashAlg), digest })),
      values: pcrsJson(values),
    }
    tpm.out.result(json, () => valueLines(tpm.out, values))
  })
}

async function digestsOf(tpm: TpmSession, bytes: Uint8Array): Promise<BankDigest[]> {
  const banks = await allocatedPcrs(tpm.client)
  return banks.map(({ hash: hashAlg }) => ({ hashAlg, digest: hash(hashAlg, bytes) }))
}

async function extendWith(
  tpm: TpmSession,
  pcrHandle: number,
  auth: Uint8Array,
  digests: readonly BankDigest[],
): Promise<readonly BankDigest[]> {
  // A TPM passes over digests for banks that it does not keep; whoever gave one would think it extended.
  const kept = (await allocatedPcrs(tpm.client)).map((bank) => bank.hash)
  const lost = digests.filter(({ hashAlg }) => !kept.includes(hashAlg))
  if (lost.length > 0) {
    const names = lost.map(({ hashAlg }) => bankName(hashAlg)).join(', ')
    throw new CommandFailure(
      EXIT.usage,
      `the TPM keeps no bank ${names}; it has ${kept.map(bankName).join(', ')}`,
    )
  }
  await tpm.authorized(TPM2_PCR_Extend, { pcrHandle, digests }, { auth })
  return digests
}

/** What is too large for one TPM2_PCR_Event goes in pieces. */
async function extendByEvent(
  tpm: TpmSession,
  pcrHandle: number,
  auth: Uint8Array,
  eventData: Uint8Array,
): Promise<readonly BankDigest[]> {
  if (eventData.length <= EVENT_SIZE) {
    return (await tpm.authorized(TPM2_PCR_Event, { pcrHandle, eventData }, { auth })).digests
  }
  if (auth.length > 0) {
    const advice = 'use --file, which needs no sequence'
    throw new CommandFailure(
      EXIT.usage,
      `an event of more than ${String(EVENT_SIZE)} bytes for a PCR with --auth: ${advice}`,
    )
  }
  const { sequenceHandle } = await tpm.client.call(TPM2_HashSequenceStart, {
    auth: NONE,
    hashAlg: TPM_ALG.NULL,
  })
  tpm.keep(sequenceHandle)
  let at = 0
  for (; eventData.length - at > EVENT_SIZE; at += EVENT_SIZE) {
    const buffer = eventData.subarray(at, at + EVENT_SIZE)
    await tpm.authorized(TPM2_SequenceUpdate, { sequenceHandle, buffer })
  }
  const { results } = await tpm.client.call(
    TPM2_EventSequenceComplete,
    { pcrHandle, sequenceHandle, buffer: eventData.subarray(at) },
    { sessions: [passwordSession(), passwordSession()] },
  )
  return results
}

function resetCommand(): Command {
  return withTpm(new Command('reset'))
    .description(
      'Reset a PCR: 16 and 23 at any locality, 17 to 22 at those that the platform profile gives them.',
    )
    .argument('<pcr>', 'the PCR, 16 to 23', pcrValue)
    .option('--auth <value>', `authorization value of the PCR: ${AUTH_HELP}`)
    .action(async (pcrHandle: number, flags: AuthFlags) => {
      const auth = authValue(flags.auth)
      await onTpm(flags, async (tpm) => {
        await tpm.authorized(TPM2_PCR_Reset, { pcrHandle }, { auth })
        tpm.out.result({ pcr: pcrHandle, reset: true }, () => [`PCR ${String(pcrHandle)} is reset`])
      })
    })
}
