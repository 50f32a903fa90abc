// `palimpsest demo`: the whole flow on real data, then six refusals, and a verdict.

import { Command } from 'commander'
import { runAttacks } from '../attack/attacks.ts'
import { Demo } from '../demo/demo.ts'
import { EXIT, Output, timeText } from '../output.ts'

interface DemoFlags {
  readonly data: string
  readonly firmware?: string
  readonly refusals: boolean
  readonly json?: boolean
}

export function demoCommand(): Command {
  return new Command('demo')
    .description('Clone real data between two encrypted VMs, check every block, then show six refusals.')
    .option('--data <file>', 'file whose bytes are cloned', process.execPath)
    .option('--firmware <file>', 'firmware image to boot and measure (default: a built-in one)')
    .option('--no-refusals', 'leave the refusals out')
    .option('--json', 'print JSON')
    .action(async (flags: DemoFlags) => {
      const started = performance.now()
      const out = new Output({ json: flags.json === true })
      const firmware = flags.firmware === undefined ? {} : { firmware: flags.firmware }
      const demo = new Demo({ data: flags.data, ...firmware }, out)
      let ok = await demo.run()
      const refusals = flags.refusals ? await runAttacks(out, firmware) : []
      ok &&= refusals.every((refusal) => refusal.ok)
      const ms = Math.round(performance.now() - started)
      if (!ok) process.exitCode = EXIT.failed
      out.result({ verdict: ok ? 'ok' : 'failed', ms, ...demo.findings, refusals }, () => [
        '',
        `${out.strong('verdict')}: ${ok ? out.good('ok') : out.bad('FAILED')}, after ${timeText(ms)}`,
        out.dim(
          'An emulated platform shows the flow; it does not isolate processes of one user on this machine.',
        ),
      ])
    })
}
