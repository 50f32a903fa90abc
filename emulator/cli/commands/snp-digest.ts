// `palimpsest snp-digest`: the launch digest of an SEV-SNP guest, from the files that QEMU would launch it with: what a
// verifier compares with the MEASUREMENT of an attestation report, before the first such guest exists.

import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError, Option } from 'commander'
import { hex } from '../../../sdk/crypto/index.ts'
import {
  cpuSignature,
  type DirectBoot,
  EvidenceError,
  readSevFirmware,
  snpFirmwareDigest,
  snpLaunchDigest,
} from '../../../sdk/evidence/index.ts'
import { loadFirmware } from '../../platform/index.ts'
import { CommandFailure, EXIT, Output, table } from '../output.ts'
import { bigintValue, integerValue } from '../values.ts'

interface Flags {
  readonly vcpus: number
  readonly cpu: { readonly name: string; readonly signature: number }
  readonly guestFeatures: bigint
  readonly kernel?: string
  readonly initrd?: string
  readonly append?: string
  readonly withoutMetadata?: boolean
  readonly json?: boolean
}

const DEFAULT_CPU = 'EPYC-v4'

export function snpDigestCommand(): Command {
  return new Command('snp-digest')
    .description(
      'Print the launch digest of an SEV-SNP guest that QEMU would launch with this firmware; and the SHA-256 of the file, which is that of a plain SEV guest that boots from its disk.',
    )
    .argument('<firmware>', 'firmware image with SEV metadata, like OVMF.fd')
    .addOption(new Option('--vcpus <n>', 'virtual processors').argParser(integerValue).default(1))
    .addOption(
      new Option('--cpu <model>', "QEMU's CPU model, or a signature as 0x800f12")
        .argParser(cpuValue)
        .default(cpuValue(DEFAULT_CPU), DEFAULT_CPU),
    )
    .addOption(
      new Option('--guest-features <bits>', 'SEV_FEATURES of the vCPUs')
        .argParser(bigintValue)
        .default(1n, '0x1'),
    )
    .option('--kernel <file>', 'kernel that is booted directly, with kernel-hashes=on')
    .option('--initrd <file>', 'its initial RAM disk')
    .option('--append <text>', 'its command line')
    .option('--without-metadata', 'also for firmware that would not boot as an SEV-SNP guest')
    .option('--json', 'print JSON')
    .action(snpDigest)
}

function cpuValue(text: string): Flags['cpu'] {
  if (/^0x[0-9a-fA-F]{1,8}$/.test(text)) return { name: 'CPU', signature: Number(text) }
  try {
    return { name: text, signature: cpuSignature(text) }
  } catch (cause) {
    throw new InvalidArgumentError(cause instanceof Error ? cause.message : 'expected a CPU model')
  }
}

async function snpDigest(path: string, flags: Flags): Promise<void> {
  const { vcpus, cpu, guestFeatures } = flags
  const { image: firmware, digest: sha256 } = await loadFirmware(path)
  const { sections, ...digests } = ofFile(path, () => {
    const directBoot = directBootOf(flags)
    const { sections } = readSevFirmware(firmware)
    if (sections === undefined && flags.withoutMetadata !== true) noMetadata(path)
    const guest = { firmware, vcpus, cpuSignature: cpu.signature, guestFeatures, directBoot }
    return { sections, launchDigest: snpLaunchDigest(guest), firmwareDigest: snpFirmwareDigest(firmware) }
  })
  const json = {
    ...digests,
    sha256,
    vcpus,
    cpuSignature: cpu.signature,
    guestFeatures,
    sections: sections ?? [],
  }
  new Output({ json: flags.json === true }).result({ ...json, bootsAsSnp: sections !== undefined }, () => [
    `launch digest   ${hex(digests.launchDigest)}`,
    `firmware alone  ${hex(digests.firmwareDigest)}`,
    `SHA-256         ${hex(sha256)}`,
    `vCPUs           ${String(vcpus)} ${cpu.name}, signature ${hexText(cpu.signature)}, features ${hexText(guestFeatures)}`,
    '',
    ...(sections === undefined
      ? ['The firmware has no SEV metadata: it would not boot as an SEV-SNP guest.']
      : table(
          ['section', 'address', 'bytes'],
          sections.map(({ type, address, length }) => [type, hexText(address), hexText(length)]),
        )),
  ])
}

function hexText(value: number | bigint): string {
  return `0x${value.toString(16)}`
}

/** What goes wrong with a firmware file, said with its name. */
function ofFile<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (!(cause instanceof EvidenceError)) throw cause
    throw new CommandFailure(EXIT.usage, `${path}: ${cause.message}`, { cause })
  }
}

function noMetadata(path: string): never {
  throw new CommandFailure(
    EXIT.usage,
    `${path}: expected firmware with SEV metadata, found none: it would not boot as an SEV-SNP guest; ` +
      'take a build for SEV-SNP (Debian: /usr/share/ovmf/OVMF.fd), or compute the digest anyway with --without-metadata',
  )
}

function directBootOf({ kernel, initrd, append }: Flags): DirectBoot | undefined {
  const read = (path: string) => new Uint8Array(readFileSync(path))
  if (kernel !== undefined) {
    return {
      kernel: read(kernel),
      initrd: initrd === undefined ? undefined : read(initrd),
      commandLine: append,
    }
  }
  if (initrd === undefined && append === undefined) return undefined
  throw new CommandFailure(
    EXIT.usage,
    'expected --kernel with --initrd and --append, found none: name the kernel',
  )
}
