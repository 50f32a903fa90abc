/**
 * Lint rules (eslint.org flat configuration). typescript-eslint's strictTypeChecked is the base: most faults it finds
 * here are promises nobody waits for and values of a type nobody checked, which is where a copy gets lost.
 */
import js from '@eslint/js'
import { defineConfig, globalIgnores } from 'eslint/config'
import tseslint from 'typescript-eslint'
import house from './.ci/eslint-house.js'

/** Programs that talk to a person on a terminal, so that `console` is their output and not a stray print. */
const terminalPrograms = [
  'emulator/cli/**/*.ts',
  'emulator/images/build.ts',
  'examples/**/*.ts',
  'protos/generate.ts',
  'test/bench/**/*.ts',
  'test/trace.ts',
  'test/trace/skips.ts',
  '.ci/*.ts',
]

export default defineConfig(
  globalIgnores(['dist/', 'coverage/', 'test/.results/', 'sdk/rpc/contract/', 'test/vectors/']),

  { linterOptions: { reportUnusedDisableDirectives: 'error', reportUnusedInlineConfigs: 'error' } },

  {
    files: ['**/*.js', '**/*.cjs'],
    extends: [js.configs.recommended],
    plugins: { house },
    rules: { 'house/file-header': 'error' },
  },
  { files: ['**/*.cjs'], languageOptions: { sourceType: 'commonjs', globals: { module: 'writable' } } },

  {
    files: ['**/*.ts'],
    extends: [js.configs.recommended, tseslint.configs.strictTypeChecked],
    plugins: { house },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'house/file-header': 'error',
      'no-console': 'error',
      eqeqeq: 'error',
      'no-warning-comments': ['error', { terms: ['todo', 'fixme', 'xxx'], location: 'anywhere' }],
      // Long files are two jobs in one; 400 lines is the aim, 600 the end of patience.
      'max-lines': ['error', { max: 600 }],
      'max-lines-per-function': ['error', { max: 80, skipBlankLines: true, skipComments: true }],
      // A suppressed type error is a wrong type: mend the type.
      '@typescript-eslint/ban-ts-comment': [
        'error',
        { 'ts-ignore': true, 'ts-expect-error': true, 'ts-nocheck': true, 'ts-check': false },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      // Numbers print one way only; everything else (bigint, objects, undefined) must say how it is to be shown.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // A new member of a string union must show every switch that does not know it yet.
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: true },
      ],
      // `while (true)` is how a loop that ends by return or break is written.
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
    },
  },

  // What our users import is explained at the declaration.
  { files: ['sdk/**/*.ts'], rules: { 'house/exported-doc': 'error' } },

  { files: terminalPrograms, rules: { 'no-console': 'off' } },

  {
    files: ['test/**/*.ts'],
    rules: {
      // A suite is one long function by nature: describe(() => { ... }).
      'max-lines-per-function': 'off',
      // Vitest's asymmetric matchers (expect.any, expect.objectContaining) are typed `any`.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      // A lone test left in focus silences all others, also in CI.
      'no-restricted-syntax': [
        'error',
        {
          selector: "MemberExpression[property.name='only'][object.name=/^(describe|it|test|suite|bench)$/]",
          message: 'Remove .only: the other tests would not run.',
        },
        {
          selector:
            'MemberExpression[property.name=/^(skip|skipIf|runIf|todo)$/][object.name=/^(describe|it|test|suite)$/]',
          message: "Say why: (context) => context.skip(condition, 'reason'), in the test or in beforeEach.",
        },
      ],
    },
  },
)
