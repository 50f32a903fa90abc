/**
 * Test projects (vitest.dev/config). Each runs in forked processes, because tests spawn, signal and kill others.
 *
 * - `npx vitest run test/unit/sdk/crypto` runs some files; `--project unit` runs one project.
 * - `TRACE=FILE` also writes the results as JSON to FILE, which `npm run trace -- --from FILE` and `.ci/run` read.
 */
import { defineConfig } from 'vitest/config'
import { SkipReporter } from './test/trace/skips.ts'

/**
 * `import 'palimpsest'` in tests and examples means the sources (package.json "exports"), so no build is needed.
 * The others are Vite's own conditions for code that runs on a server: setting the option replaces them.
 */
const conditions = ['palimpsest-source', 'module', 'node', 'development|production']

/** `peers` needs real clients of other projects (tpm2-tools ...), so `npm test` leaves it to `npm run test:peers`. */
const projects = ['unit', 'integration', 'examples', 'adversary', 'model', 'peers']

const traceFile = process.env.TRACE

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Tests mostly wait for the processes they started, so one core less (Vitest's default) would lie idle.
    maxWorkers: '100%',
    reporters: traceFile ? ['default', ['json', { outputFile: traceFile }], new SkipReporter()] : ['default'],
    coverage: {
      provider: 'v8',
      include: ['sdk/**/*.ts', 'emulator/**/*.ts'],
      exclude: ['sdk/rpc/contract/**'],
    },
    projects: projects.map((name) => ({
      extends: true as const,
      test: { name, include: [`test/${name}/**/*.test.ts`] },
    })),
  },
})
