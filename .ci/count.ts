/**
 * Sums result files of Vitest's json reporter for `.ci/run`: `node --import tsx .ci/count.ts FILE...` prints
 * `N passed, N failed, N skipped`, and names what failed above it.
 */
import { count, readResults } from '../test/trace/results.ts'

const results = readResults(process.argv.slice(2))
for (const { file, title } of results.filter((result) => result.outcome === 'failed')) {
  console.log(`failed: ${file} > ${title}`)
}
const { passed, failed, skipped } = count(results)
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
