// `palimpsest eventlog predict`: the log and the PCRs that UEFI firmware leads to on a machine, from its flash file and
// without booting it: what a verifier has to know before the first machine of a kind exists.

import { writeFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { hex } from '../../../sdk/crypto/index.ts'
import {
  bankName,
  digestsOf,
  EventLogWriter,
  eventTypeName,
  parseEventLog,
  replay,
} from '../../../sdk/evidence/index.ts'
import { TPM_ALG } from '../../../sdk/tpm2/index.ts'
import { loadFirmware, uefiMeasurements, type UefiMeasurements } from '../../platform/index.ts'
import { type MachineFlags, machineOf, machineText, withMachine } from '../machine-flags.ts'
import { bytesText, EXIT, Output, table } from '../output.ts'
import { sizeValue } from '../values.ts'

interface PredictFlags extends MachineFlags {
  readonly json?: boolean
  readonly variables?: string
  readonly memory: number
  readonly machine: 'q35' | 'pc'
  readonly asInFile?: boolean
  readonly out?: string
}

const BANKS = [TPM_ALG.SHA1, TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512]

/** `palimpsest eventlog predict` */
export function eventlogPredictCommand(): Command {
  return withMachine(new Command('predict'))
    .description(
      'Print what UEFI firmware measures of itself on a machine, and the PCRs of that, without booting it. ' +
        'Boot options (PCR 1) and what is started then (PCR 4) are not among it. ' +
        'Exit code 1 when a boot would measure bytes that can not be known.',
    )
    .argument('<firmware>', 'flash file, like OVMF_CODE_4M.fd')
    .option(
      '--variables <file>',
      'flash file with the variables (default: those of the firmware file, or none)',
    )
    .addOption(new Option('--machine <type>', "QEMU's machine type").choices(['q35', 'pc']).default('q35'))
    .addOption(new Option('--memory <size>', 'RAM').argParser(sizeValue).default(256 << 20, '256MiB'))
    .option('--as-in-file', 'as the firmware lies in its file, whatever a machine would make of it')
    .option('--out <file>', 'write the log there, for "eventlog diff" and TPM tools')
    .option('--json', 'print JSON')
    .action((firmware: string, _: PredictFlags, command: Command) =>
      predict(firmware, command.optsWithGlobals<PredictFlags>()),
    )
}

async function predict(path: string, flags: PredictFlags): Promise<void> {
  const { image: flash, digest } = await loadFirmware(path)
  const variables = flags.variables === undefined ? undefined : (await loadFirmware(flags.variables)).image
  const predicted = uefiMeasurements({ flash, variables, shape: shapeOf(flags) })
  const unknown = flags.asInFile === true ? [] : predicted.unknown
  if (unknown.length > 0) process.exitCode = EXIT.failed
  const log = logOf(predicted)
  if (flags.out !== undefined) writeFileSync(flags.out, log)
  const pcrs = pcrsOf(log)
  const { events } = parseEventLog(log)
  const out = new Output({ json: flags.json === true })
  const json = {
    image: digest,
    events: events.map(({ pcrIndex, eventType, digests }) => ({
      pcr: pcrIndex,
      type: eventTypeName(eventType),
      digests: Object.fromEntries([...digests].map(([bank, value]) => [bankName(bank), value])),
    })),
    pcrs,
    unknown,
  }
  out.result(json, () => [
    `image    ${hex(digest)}`,
    `machine  ${shapeText(flags)}`,
    '',
    ...table(
      ['PCR', 'event', 'SHA-256'],
      events.map(({ pcrIndex, eventType, digests }) => [
        String(pcrIndex),
        eventTypeName(eventType),
        hex(digests.get(TPM_ALG.SHA256) ?? new Uint8Array()),
      ]),
    ),
    '',
    ...pcrs
      .filter(({ bank }) => bank === 'sha256')
      .map(({ pcr, value }) => `PCR ${String(pcr).padStart(2)}  ${hex(value)}`),
    out.dim('PCR 1 and 4 go on with boot options and with what is started'),
    ...unknownLines(out, predicted.unknown, flags.asInFile === true),
  ])
}

function shapeOf(flags: PredictFlags) {
  if (flags.asInFile === true) return undefined
  const chipset = flags.machine === 'q35' ? 'q35' : 'i440fx'
  return { chipset, memory: BigInt(flags.memory), ...machineOf(flags) } as const
}

function shapeText(flags: PredictFlags): string {
  if (flags.asInFile === true) return 'none: as it lies in the file'
  return `${flags.machine}, ${bytesText(flags.memory)}, ${machineText(machineOf(flags))}`
}

function logOf({ measurements }: UefiMeasurements): Uint8Array {
  const log = new EventLogWriter(BANKS)
  for (const { pcr, eventType, measured, data } of measurements) {
    log.append({ pcrIndex: pcr, eventType, digests: digestsOf(BANKS, measured), data })
  }
  return log.bytes()
}

/** A boot goes on in these, with its boot options and with what it starts. */
const UNFINISHED = [1, 4]

/** Values of the PCRs that only the firmware measures into. */
function pcrsOf(bytes: Uint8Array): { bank: string; pcr: number; value: Uint8Array }[] {
  const log = parseEventLog(bytes)
  const used = new Set(log.events.map(({ pcrIndex }) => pcrIndex))
  return BANKS.flatMap((bank) =>
    [...replay(log, bank)]
      .filter(([pcr]) => used.has(pcr) && !UNFINISHED.includes(pcr))
      .map(([pcr, value]) => ({ bank: bankName(bank), pcr, value })),
  )
}

function unknownLines(out: Output, unknown: UefiMeasurements['unknown'], chosen: boolean): string[] {
  if (unknown.length === 0) return []
  const heading = 'A boot may write these bytes otherwise, and so lead to another PCR 0:'
  return [
    '',
    chosen ? out.dim(heading) : out.bad(heading),
    ...unknown.map(
      ({ volume, offset, length, field }) =>
        `  ${volume} + 0x${offset.toString(16)}, ${String(length)} bytes: ${field}`,
    ),
  ]
}
