/**
 * The house's walls (ARCHITECTURE.md), checked by dependency-cruiser in `npm run check`. A "room" is a folder of sdk/
 * or emulator/; its index.ts is its only door. Type-only imports count: a type that leaks ties two rooms together too.
 */

/** Rooms that compute and nothing else: no input or output, so that an auditor need read only them. */
const pureRooms = '^sdk/(crypto|tpm2|block|luks|evidence)/'

/** Programs that put the rooms together. They hold no logic, so they may know everything; nobody imports them. */
const assemblers = '^emulator/(cli|testbed|images)/'

/** The untrusted half of the host, up to and including the image that runs it. */
const hostSoftware = '^emulator/(hypervisor/|storage/|images/hypervisor[^/]*\\.ts$)'

/** @param {string} name @param {string} comment @param {object} from @param {object} to */
const forbid = (name, comment, from, to) => ({ name, severity: 'error', comment, from, to })

/** A room of sdk/ that may import only the named other rooms. @param {string} room @param {string[]} allowed */
const sdkRoom = (room, allowed, why) =>
  forbid(
    `sdk-${room}-imports`,
    `${why} Other rooms that sdk/${room} may import: ${allowed.join(', ') || 'none'}.`,
    { path: `^sdk/${room}/` },
    { path: '^sdk/', pathNot: `^sdk/(${[room, ...allowed].join('|')})/` },
  )

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    // Between the two houses
    forbid(
      'sdk-never-imports-emulator',
      'The SDK runs against any hypervisor that speaks the protos; what it took from the emulator would tie it to ours.',
      { path: '^sdk/' },
      { path: '^emulator/' },
    ),
    forbid(
      'emulator-imports-formats-only',
      'The emulator stands in for hardware and host: it shares formats with the SDK, never the appraisal, grants or ' +
        'copying that judge it. Otherwise both would share one mistake and still agree.',
      { path: '^emulator/', pathNot: assemblers },
      { path: '^sdk/', pathNot: '^sdk/(tpm2|crypto|block|luks|rpc|evidence)/' },
    ),
    forbid(
      'examples-use-the-published-package',
      "An example imports 'palimpsest' and its public subpaths, as a user's program must; a path to a file here is not one.",
      { path: '^examples/([^/]+)/' },
      {
        path: '^(protos|sdk|emulator|test|examples|\\.ci)/',
        pathNot: '^examples/$1/',
        // What resolves through package.json "exports" has no type of its own; a relative path is 'local'.
        dependencyTypes: ['local'],
      },
    ),
    forbid(
      'product-never-imports-tests',
      'Tests, examples and tools look at the product; the product knows nothing of them.',
      { path: '^(sdk|emulator|protos)/' },
      { path: '^(test|examples|\\.ci)/' },
    ),

    // The rooms of sdk/
    sdkRoom('rpc', [], 'Wires know no domain.'),
    sdkRoom('crypto', [], 'Ciphers know no domain.'),
    sdkRoom('tpm2', ['crypto'], 'The TPM library is usable alone.'),
    sdkRoom('block', [], 'Block ids are plain values.'),
    sdkRoom('luks', ['crypto'], 'The LUKS library is usable alone.'),
    sdkRoom('evidence', ['crypto', 'tpm2', 'block'], 'Formats that the platform writes and verifiers read.'),
    sdkRoom(
      'attest',
      ['evidence', 'tpm2', 'crypto', 'block'],
      'Appraisal judges evidence; it transports nothing.',
    ),
    sdkRoom(
      'grant',
      ['crypto', 'block', 'attest'],
      'A grant seals keys for named blocks; it transports nothing.',
    ),
    forbid(
      'pure-rooms-stay-pure',
      'No files, sockets, processes, clocks or logs in these rooms; node:crypto and the types and symbols of node:util ' +
        'are all of Node they need.',
      { path: pureRooms },
      { dependencyTypes: ['core'], pathNot: '^(node:)?(crypto|util)$' },
    ),
    forbid(
      'generated-types-stay-behind-rpc',
      'Generated types show proto-loader habits (longs, enums, optional everything). sdk/rpc turns them into domain ' +
        'types and re-exports what others need from its index.ts.',
      { path: '.', pathNot: '^(sdk/rpc/|test/(unit/sdk|integration)/rpc/)' },
      { path: '^sdk/rpc/contract/' },
    ),
    forbid(
      'grpc-stays-behind-rpc',
      'Handlers, deadlines and shutdown have traps that sdk/rpc solves once; a second use would fall into them again.',
      { path: '^(sdk|emulator)/', pathNot: '^sdk/rpc/' },
      { path: '(^|node_modules/)(@grpc/|grpc-health-check)' },
    ),

    // The rooms of emulator/
    forbid(
      'platform-knows-no-host',
      'The root of trust works whatever the host does: the host reaches it through HostPortService only.',
      { path: '^emulator/platform/' },
      { path: '^emulator/(hypervisor|storage|cloud)/' },
    ),
    forbid(
      'platform-never-reaches-host',
      'As the rule before, along any chain of imports.',
      { path: '^emulator/platform/' },
      { path: '^emulator/(hypervisor|storage|cloud)/', reachable: true },
    ),
    forbid(
      'host-never-imports-platform',
      'The host is untrusted: no plaintext, no key and no code of the platform is within its reach.',
      { path: hostSoftware },
      { path: '^emulator/platform/' },
    ),
    forbid(
      'host-never-imports-trusted-sdk',
      'The host relays evidence and grants as opaque bytes; with their code it could also read or judge them.',
      { path: hostSoftware },
      { path: '^sdk/(attest|grant|worker|plugin)/' },
    ),
    forbid(
      'host-never-reaches-platform',
      'As the two rules before, along any chain of imports: what the hypervisor image bundles is what the host holds.',
      { path: hostSoftware },
      { path: '^(emulator/platform/|sdk/(attest|grant|worker|plugin)/)', reachable: true },
    ),
    forbid(
      'worker-never-reaches-emulator',
      'The worker image must run on any host: what it bundles is the SDK.',
      { path: '^emulator/images/worker[^/]*\\.ts$' },
      { path: '^emulator/(?!images/worker)', reachable: true },
    ),
    forbid(
      'assemblers-are-ends',
      'The command, the images and the testbed put rooms together; a room that imports them has its layers upside down.',
      { path: '^(sdk|emulator/(platform|hypervisor|storage|services))/' },
      { path: assemblers },
    ),

    forbid(
      'tpm-is-usable-alone',
      'The TPM is published as palimpsest/tpm: it knows no platform around it, but for how small files are replaced.',
      { path: '^emulator/platform/tpm/' },
      {
        path: '^(sdk|emulator)/',
        pathNot: '^(emulator/platform/(tpm/|files\\.ts$)|sdk/(tpm2|crypto)/)',
      },
    ),
    forbid(
      'tpm-has-one-door',
      'The platform uses its TPM as everybody does: through its door, and commands through execute().',
      { path: '^emulator/platform/', pathNot: '^emulator/platform/tpm/' },
      { path: '^emulator/platform/tpm/', pathNot: '^emulator/platform/tpm/index\\.ts$' },
    ),
    forbid(
      'tpm-server-knows-no-tpm',
      'The servers put bytes on sockets: any TPM that has the members of TpmPort can stand behind them.',
      { path: '^emulator/tpm-server/' },
      { path: '^(sdk|emulator)/', pathNot: '^emulator/tpm-server/' },
    ),

    // Doors
    forbid(
      'rooms-have-one-door',
      'Another room is imported through its index.ts. Services are the exception: one file per proto service is one door.',
      { path: '^(sdk|emulator)/([^/]+)/' },
      {
        path: '^(sdk|emulator)/[^/]+/',
        pathNot: [
          '^$1/$2/',
          '^(sdk|emulator)/[^/]+/index\\.ts$',
          '^emulator/services/[^/]+\\.ts$',
          '^emulator/platform/tpm/index\\.ts$',
        ],
      },
    ),
    forbid(
      'package-entry-uses-doors',
      "The package's entry gathers what the rooms offer, through their index.ts.",
      { path: '^sdk/index\\.ts$' },
      { path: '^sdk/', pathNot: '^sdk/[^/]+/index\\.ts$' },
    ),
    forbid(
      'nobody-imports-the-package-entry',
      'sdk/index.ts is for users; a room that imports it imports everything, itself included.',
      { path: '^(sdk|emulator|protos)/' },
      { path: '^sdk/index\\.ts$' },
    ),

    // Hygiene
    forbid(
      'no-cycles',
      'Two files that import each other are one file, and neither can be understood or tested alone.',
      {},
      { circular: true },
    ),
    forbid(
      'no-orphans',
      'A file that imports nothing and that nobody imports is dead, or was never connected.',
      { orphan: true, pathNot: ['\\.d\\.ts$', '^examples/', '^sdk/rpc/contract/', '^test/vectors/'] },
      {},
    ),
    forbid('no-unresolvable', 'An import that leads nowhere.', {}, { couldNotResolve: true }),
    forbid(
      'no-undeclared-packages',
      'A package that package.json does not name works only until somebody else stops needing it.',
      {},
      { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    ),
    forbid(
      'published-code-uses-dependencies',
      'A development dependency is not installed at our users. Type-only imports vanish in the build.',
      { path: '^(sdk|emulator)/', pathNot: '^emulator/images/build\\.ts$' },
      { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|coverage|test/\\.results)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['palimpsest-source', 'import', 'types', 'node', 'default'],
    },
  },
}
