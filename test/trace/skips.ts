/**
 * A Vitest reporter (vitest.dev/api/advanced/reporters) that names each skipped test with its reason, which neither
 * the default reporter nor the JSON of a passing file shows. A skip that nobody sees is a proof that nobody made.
 */
import type { Reporter, TestCase } from 'vitest/node'

/** Prints `skipped FILE > TITLE: REASON` for each, at the end of the run. */
export class SkipReporter implements Reporter {
  readonly #lines: string[] = []

  onTestCaseResult(test: TestCase): void {
    const result = test.result()
    if (result.state !== 'skipped') return
    this.#lines.push(
      `skipped ${test.module.relativeModuleId} > ${test.fullName}: ${result.note ?? 'no reason given'}`,
    )
  }

  onTestRunEnd(): void {
    for (const line of this.#lines) console.log(line)
  }
}
