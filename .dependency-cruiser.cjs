// The rooms of src/, lowest first: a folder imports only from those before it (and from src/errors.ts).
const rooms = [
  'tensor',
  'linalg',
  'graph',
  'ops',
  'formats',
  'passes',
  'autodiff',
  'engine',
  'decompose',
  'squeeze',
  'data',
  'models',
  'train',
  'explain',
  'metrics',
  'report',
  'node',
  'verbs',
  'cli',
];

/** What each room may import besides itself; everything not listed is refused. */
const allowed = {
  tensor: [],
  linalg: ['tensor'],
  graph: ['tensor'],
  ops: ['tensor', 'graph'],
  formats: ['tensor', 'graph'],
  passes: ['tensor', 'graph', 'ops'],
  autodiff: ['tensor', 'graph', 'ops', 'passes', 'engine'],
  engine: ['tensor', 'linalg', 'graph', 'ops', 'passes', 'formats'],
  decompose: ['tensor', 'linalg', 'graph', 'ops', 'passes', 'engine'],
  squeeze: ['tensor', 'linalg', 'graph', 'ops', 'passes', 'engine', 'decompose'],
  data: ['tensor'],
  models: ['tensor', 'graph', 'ops', 'passes', 'decompose', 'data'],
  train: ['tensor', 'graph', 'ops', 'passes', 'autodiff', 'engine', 'data', 'metrics'],
  explain: ['tensor', 'graph', 'ops', 'passes', 'autodiff', 'engine', 'data'],
  metrics: ['tensor'],
  report: ['tensor', 'graph', 'metrics', 'models'],
  node: rooms.filter((room) => !['verbs', 'cli'].includes(room)),
  verbs: rooms.filter((room) => room !== 'cli'),
  cli: rooms,
};

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    ...rooms.map((room) => ({
      name: `${room}-imports`,
      severity: 'error',
      comment: `src/${room} may import: ${allowed[room].join(', ') || 'nothing'}`,
      from: { path: `^src/${room}/` },
      to: {
        path: '^src/',
        pathNot: [`^src/${room}/`, '^src/errors\\.ts$', ...allowed[room].map((other) => `^src/${other}/`)],
      },
    })),
    {
      name: 'isomorphic-core',
      severity: 'error',
      comment: 'Only these places may use Node: everything else also runs in a browser.',
      from: { path: '^src/', pathNot: ['^src/(node|verbs|cli)/', '^src/engine/node\\.ts$', '^src/node\\.ts$'] },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: ['^src/(index|node)\\.ts$'] },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      extensions: ['.ts', '.js'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
    },
  },
};
