// `palimpsest pcr`, `quote` and `eventlog`: what the platform measured, as its TPM says it.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { hex } from '../../../sdk/crypto/index.ts'
import { eventTypeName, parseEventLog, replay } from '../../../sdk/evidence/index.ts'
import { selectPcrs, TPM_ALG, TPMT_PUBLIC, unmarshal, verifyQuote } from '../../../sdk/tpm2/index.ts'
import { PalimpsestError } from '../../../sdk/rpc/index.ts'
import { type ConnectionFlags, withConnection, withSession } from '../connection.ts'
import { table } from '../output.ts'
import { hexValue, selectionValue } from '../values.ts'
import { eventlogFileCommands } from './eventlog.ts'
import { eventlogPredictCommand } from './eventlog-predict.ts'

interface SelectionFlags extends ConnectionFlags {
  readonly pcrs: { hash: number; pcrs: number[] }
}

interface QuoteFlags extends SelectionFlags {
  readonly nonce: Uint8Array
  readonly out?: string
}

const DEFAULT_SELECTION = { hash: TPM_ALG.SHA256, pcrs: [0, 4, 7] }

function pcrsOption(): Option {
  return new Option('--pcrs <selection>', 'bank and PCRs, like sha384:0,7')
    .argParser(selectionValue)
    .default(DEFAULT_SELECTION, 'sha256:0,4,7')
}

/** `palimpsest pcr` */
export function pcrCommand(): Command {
  return withConnection(new Command('pcr'))
    .description('Read PCRs of the platform.')
    .addOption(pcrsOption())
    .action((flags: SelectionFlags) =>
      withSession(flags, async ({ client, out }) => {
        const { values } = await client.getPcrs({ selection: flags.pcrs })
        out.result({ values }, () =>
          values.map(({ pcr, value }) => `PCR ${String(pcr).padStart(2)}  ${hex(value)}`),
        )
      }),
    )
}

/** `palimpsest quote` */
export function quoteCommand(): Command {
  return withConnection(new Command('quote'))
    .description('Get a quote and check its signature with the attestation key that the platform names.')
    .addOption(pcrsOption())
    .addOption(
      new Option('--nonce <hex>', 'qualifying data, at most 34 bytes')
        .argParser(hexValue)
        .default(new Uint8Array(32), '32 zeros'),
    )
    .option(
      '--out <folder>',
      'write quote.attest, quote.signature and ak.public there, as tpm2_checkquote reads them',
    )
    .action(quote)
}

async function quote(flags: QuoteFlags): Promise<void> {
  await withSession(flags, async ({ client, out }) => {
    const [{ quote: answer }, { endorsement }] = await Promise.all([
      client.getQuote({ selection: flags.pcrs, qualifyingData: flags.nonce }),
      client.getPlatform({}),
    ])
    if (answer === undefined || endorsement === undefined) {
      throw new PalimpsestError('UNAVAILABLE', 'the hypervisor gave no quote')
    }
    const { hash, pcrs } = flags.pcrs
    const attest = verifyQuote({
      attest: answer.attest,
      signature: answer.signature,
      akPublic: unmarshal(TPMT_PUBLIC, endorsement.akPublic),
      qualifyingData: flags.nonce,
      expectedSelection: [selectPcrs(hash, pcrs)],
    })
    if (flags.out !== undefined) save(flags.out, { ...answer, akPublic: endorsement.akPublic })
    const { clockInfo, attested } = attest
    out.result({ pcrDigest: attested.pcrDigest, clockInfo, ...answer }, () => [
      `the signature is by the attestation key of this platform`,
      `pcrDigest   ${hex(attested.pcrDigest)}`,
      `clock       ${clockInfo.clock.toString()} ms, ${String(clockInfo.resetCount)} resets, ${String(clockInfo.restartCount)} restarts`,
      ...(flags.out === undefined ? [] : [`written to ${flags.out}`]),
    ])
  })
}

function save(
  folder: string,
  parts: { attest: Uint8Array; signature: Uint8Array; akPublic: Uint8Array },
): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'quote.attest'), parts.attest)
  writeFileSync(join(folder, 'quote.signature'), parts.signature)
  // Tools keep public areas with their length before them: TPM2B_PUBLIC.
  const size = Buffer.alloc(2)
  size.writeUInt16BE(parts.akPublic.length)
  writeFileSync(join(folder, 'ak.public'), Buffer.concat([size, parts.akPublic]))
}

/** `palimpsest eventlog`: of the platform, and with a word more, of files. */
export function eventlogCommand(): Command {
  const command = withConnection(new Command('eventlog'))
    .description(
      'Print the TCG event log of the platform and what it replays to; or read and compare log files.',
    )
    .option('--out <file>', 'write the log as it is, for TPM tools')
    .action((flags: ConnectionFlags & { readonly out?: string }) =>
      withSession(flags, async ({ client, out }) => {
        const { log } = await client.getEventLog({})
        if (flags.out !== undefined) writeFileSync(flags.out, log)
        const parsed = parseEventLog(log)
        const events = parsed.events.map((event) => ({
          pcr: event.pcrIndex,
          type: eventTypeName(event.eventType),
          digest: event.digests.get(TPM_ALG.SHA256),
        }))
        const pcrs = [...replay(parsed, TPM_ALG.SHA256)].map(([pcr, value]) => ({ pcr, value }))
        out.result({ events, pcrs }, () => [
          ...table(
            ['PCR', 'event', 'SHA-256'],
            events.map(({ pcr, type, digest }) => [String(pcr), type, hex(digest ?? new Uint8Array())]),
          ),
          '',
          'replays to',
          ...pcrs.map(({ pcr, value }) => `PCR ${String(pcr).padStart(2)}  ${hex(value)}`),
        ])
      }),
    )
  for (const one of eventlogFileCommands()) command.addCommand(one)
  command.addCommand(eventlogPredictCommand())
  return command
}
