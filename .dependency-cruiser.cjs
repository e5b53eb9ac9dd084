// The folders of src/, lowest first: a folder imports only from those that its row names (and from src/errors.ts and src/values.ts).
/** What each folder may import besides itself; everything not listed is refused. */
const allowed = {
  tensor: [],
  linalg: ['tensor'],
  graph: ['tensor'],
  ops: ['tensor', 'graph'],
  kernels: ['tensor', 'graph', 'ops'],
  formats: ['tensor', 'graph'],
  passes: ['tensor', 'graph', 'ops', 'kernels'],
  engine: ['tensor', 'linalg', 'graph', 'ops', 'kernels', 'formats'],
  autodiff: ['tensor', 'graph', 'ops', 'passes', 'engine'],
  decompose: ['tensor', 'linalg', 'graph', 'ops', 'passes', 'engine'],
  compression: ['tensor', 'linalg', 'graph', 'ops', 'passes', 'engine', 'autodiff', 'decompose'],
  data: ['tensor'],
  metrics: ['tensor'],
  models: ['tensor', 'graph', 'ops', 'formats', 'passes', 'decompose', 'data'],
  train: ['tensor', 'graph', 'ops', 'passes', 'engine', 'autodiff', 'data', 'metrics'],
  explain: ['tensor', 'graph', 'ops', 'passes', 'engine', 'autodiff', 'data'],
  report: ['metrics'],
  context: ['engine'],
  io: ['tensor', 'graph', 'ops', 'formats', 'passes', 'engine', 'decompose', 'models', 'train', 'report', 'context'],
  images: ['tensor', 'graph', 'ops', 'data', 'models', 'context', 'io'],
  evaluation: ['tensor', 'graph', 'ops', 'passes', 'engine', 'data', 'metrics', 'models', 'explain', 'report', 'context', 'io', 'images'],
  pictures: ['tensor', 'ops', 'formats', 'data', 'metrics', 'models', 'explain', 'report', 'context', 'io', 'images', 'evaluation'],
  recipes: ['tensor', 'graph', 'decompose', 'data', 'train', 'images'],
  'training-run': ['tensor', 'graph', 'ops', 'formats', 'data', 'metrics', 'models', 'train', 'explain', 'context', 'io', 'images', 'evaluation', 'recipes'],
  'compression-run': ['tensor', 'linalg', 'graph', 'ops', 'passes', 'engine', 'decompose', 'compression', 'data', 'metrics', 'models', 'train', 'explain', 'report', 'context', 'io', 'images', 'evaluation', 'recipes', 'training-run'],
  workflows: ['tensor', 'graph', 'ops', 'autodiff', 'decompose', 'data', 'models', 'explain', 'report', 'context', 'io', 'images', 'evaluation', 'pictures', 'recipes', 'training-run', 'compression-run'],
  cli: ['graph', 'compression', 'metrics', 'models', 'train', 'report', 'context', 'io', 'images', 'evaluation', 'recipes', 'training-run', 'compression-run', 'workflows'],
};

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    ...Object.keys(allowed).map((room) => ({
      name: `${room}-imports`,
      severity: 'error',
      comment: `src/${room} may import: ${allowed[room].join(', ') || 'nothing'}`,
      from: { path: `^src/${room}/` },
      to: {
        path: '^src/',
        pathNot: [`^src/${room}/`, '^src/(errors|values)\\.ts$', ...allowed[room].map((other) => `^src/${other}/`)],
      },
    })),
    {
      name: 'isomorphic-core',
      severity: 'error',
      comment: 'Only these places may use Node: everything else also runs in a browser.',
      from: {
        path: '^src/',
        pathNot: [
          '^src/(context|io|images|pictures|evaluation|training-run|compression-run|workflows|recipes|cli)/',
          '^src/engine/node\\.ts$',
          '^src/index\\.ts$',
        ],
      },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: ['^src/(index|web)\\.ts$'] },
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
