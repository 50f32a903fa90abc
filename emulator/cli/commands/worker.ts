// `palimpsest worker`: launch a worker image on the running platform, show the one that runs, or measure an image file.

import { Command } from 'commander'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { hex, sha256 } from '../../../sdk/crypto/index.ts'
import { workerLaunchDigest } from '../../../sdk/evidence/index.ts'
import { defaultWorkerImage } from '../../testbed/index.ts'
import { type ConnectionFlags, withConnection, withSession } from '../connection.ts'
import { Output } from '../output.ts'

interface StartFlags extends ConnectionFlags {
  readonly image?: string
  readonly faultPoints?: boolean
}

export function workerCommand(): Command {
  const worker = new Command('worker').description(
    'Launch a worker image on the platform, show the one that runs, or measure an image file.',
  )
  worker.addCommand(
    withConnection(new Command('start'))
      .description(
        'Launch a worker; the platform measures exactly the bytes that it runs. The one before it is ended.',
      )
      .option('--image <file>', "single-file image (default: the project's)")
      .option('--fault-points', 'allow fault points, for tests')
      .action((flags: StartFlags) =>
        withSession(flags, async ({ client, out }) => {
          const imagePath = resolve(flags.image ?? defaultWorkerImage())
          const started = await client.startWorker({ imagePath, faultPoints: flags.faultPoints ?? false })
          out.result({ ...started }, () => [
            `${started.worker} runs as process ${String(started.pid)}, measurement ${hex(started.measurement)}`,
          ])
        }),
      ),
  )
  worker.addCommand(
    withConnection(new Command('show'))
      .description('Show the worker.')
      .action((flags: ConnectionFlags) =>
        withSession(flags, async ({ client, out }) => {
          const { status, measurement, pid } = await client.getWorker({})
          out.result({ ...status, measurement, pid }, () => [
            `${status?.vm ?? 'worker'}: process ${String(pid)}, engine ${status?.engine ?? ''}`,
            `measurement   ${hex(measurement)}`,
            `copied        ${String(status?.copied ?? 0n)} blocks in ${String(status?.sessions ?? 0n)} sessions`,
            `audit log     entry ${String(status?.auditSequence ?? 0n)}, head ${hex(status?.auditHead ?? new Uint8Array())}`,
          ])
        }),
      ),
  )
  worker.addCommand(
    new Command('measure')
      .description(
        'Print what policies can name a worker image by: its SHA-256 or its SEV-SNP launch digest.',
      )
      .argument('[image]', "single-file image (default: the project's)")
      .option('--json', 'print JSON')
      .action((path: string | undefined, flags: { readonly json?: boolean }) => {
        const image = new Uint8Array(readFileSync(path ?? defaultWorkerImage()))
        const [measurement, launchDigest] = [sha256(image), workerLaunchDigest(image)]
        new Output({ json: flags.json === true }).result({ measurement, launchDigest }, () => [
          `measurement    ${hex(measurement)}`,
          `launch digest  ${hex(launchDigest)}`,
        ])
      }),
  )
  return worker
}
