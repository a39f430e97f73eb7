// The dependency direction of the repository. DESIGN in one line: native <- codec <- artifact,
// native <- engine, protocol is a leaf, apps use libraries, nothing uses an app.
// test/structure/dependencies.test.ts plants one violation of each rule and sees it fire.

/** Each library with what it may import of the others. */
const ALLOWED = {
  'libs/protocol': [],
  'libs/native': [],
  'libs/codec': ['libs/native'],
  'libs/artifact': ['libs/native', 'libs/codec'],
  'libs/engine': ['libs/native'],
  'libs/calibration': ['libs/native', 'libs/artifact', 'libs/engine'],
  'libs/client': [],
  'libs/distribution': ['libs/protocol'],
  'apps/controller': [
    'libs/protocol',
    'libs/distribution',
    'libs/artifact',
    'libs/calibration',
    'libs/codec',
    'libs/engine',
    'libs/native',
  ],
  'apps/agent': [
    'libs/protocol',
    'libs/distribution',
    'libs/artifact',
    'libs/codec',
    'libs/engine',
    'libs/native',
  ],
  'apps/cli': [
    'libs/protocol',
    'libs/artifact',
    'libs/calibration',
    'libs/client',
    'libs/codec',
    'libs/engine',
    'libs/native',
  ],
};

const TEST = '\\.test\\.ts$';
const PURE = '\\.(plan|waves|table)\\.ts$';
const DRIVERS = '^node_modules/(bullmq|ioredis|mqtt|pg|@electric-sql/pglite)/';

const directions = Object.entries(ALLOWED).map(([part, allowed]) => ({
  name: `direction-of-${part.replace('/', '-')}`,
  comment: `${part} may import of our packages only: ${allowed.join(', ') || 'none'}`,
  severity: 'error',
  from: { path: `^${part}/` },
  to: { path: '^(libs|apps)/', pathNot: [part, ...allowed].map((p) => `^${p}/`) },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...directions,
    {
      name: 'engine-only-in-compression',
      comment: 'The controller evaluates models in its compressor process and nowhere else.',
      severity: 'error',
      from: { path: '^apps/controller/src/', pathNot: ['^apps/controller/src/compression/', TEST] },
      to: { path: '^libs/(engine|native)/' },
    },
    {
      name: 'protocol-is-a-leaf',
      comment: 'The protocol imports zod and nothing else, so that anything may import it.',
      severity: 'error',
      from: { path: '^libs/protocol/', pathNot: TEST },
      to: { pathNot: ['^libs/protocol/', '^node_modules/zod/'] },
    },
    {
      name: 'pure-files-stay-pure',
      comment:
        'A plan decides from values: it imports the protocol and files beside it, else only types.',
      severity: 'error',
      from: { path: `^(.+)/[^/]+${PURE}` },
      to: {
        pathNot: ['^$1/[^/]+$', '^libs/protocol/'],
        dependencyTypesNot: ['type-only', 'type-import'],
      },
    },
    {
      name: 'drivers-only-in-adapters',
      comment: 'Queue, broker and database drivers are imported by adapters alone.',
      severity: 'error',
      from: { path: '^(libs|apps)/', pathNot: ['^apps/[^/]+/src/adapters/', TEST] },
      to: { path: DRIVERS },
    },
    {
      name: 'queries-only-in-stores',
      comment: 'The query builder is used by adapters and by files that hold queries.',
      severity: 'error',
      from: {
        path: '^(libs|apps)/',
        pathNot: ['^apps/[^/]+/src/adapters/', '\\.(store|sql|references)\\.ts$', TEST],
      },
      to: { path: '^node_modules/kysely/' },
    },
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-orphan',
      comment: 'A file that nothing imports and that imports nothing is dead.',
      severity: 'error',
      from: { orphan: true, pathNot: [TEST, '\\.d\\.ts$', '/(main|index)\\.ts$'] },
      to: {},
    },
    {
      name: 'not-resolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-development-packages',
      comment: 'What ships imports only what its package.json lists under dependencies.',
      severity: 'error',
      from: { path: '^(libs|apps)/[^/]+/src/', pathNot: TEST },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
        dependencyTypesNot: ['type-only', 'type-import'],
      },
    },
    {
      name: 'no-tests-in-sources',
      severity: 'error',
      from: { path: '^(libs|apps)/', pathNot: TEST },
      to: { path: [TEST, '^(test|deploy)/'] },
    },
  ],
  options: {
    parser: 'swc',
    combinedDependencies: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/(dist|build)/' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['entrofleet-source', 'import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.json', '.node', '.d.ts'],
    },
  },
};
