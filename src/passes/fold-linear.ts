/*
 * f(x) = W L(x) + b with L affine is one Gemm over x: its weight's columns are f(e_i) − f(0), its bias is f(0).
 * They are found by running the chain on unit vectors, so whatever L does between x and the Gemm is composed.
 */
import { ShiboriError } from '../errors.js';
import { isStatic } from '../graph/dims.js';
import type { Graph, Node, Value } from '../graph/model.js';
import { getModulePath } from '../graph/module-path.js';
import { findUses, type Uses } from '../graph/uses.js';
import { countElements } from '../tensor/dims.js';
import { expectFloat32, float32, tensor } from '../tensor/tensor.js';
import type { GraphRunner, Note, PassResult, ProbingContext } from './pass.js';
import { usesBatchStatistics } from './recognisers/batch-norm.js';
import { isPlainGemm, readGemm } from './recognisers/linear.js';
import { type Replacement, rewrite } from './rewrite.js';

/** Operators that are affine in one input, their other inputs being constants; and where that input may stand. */
const affineOperators: Readonly<Record<string, 'first' | 'any'>> = {
  Identity: 'first',
  Dropout: 'first',
  Flatten: 'first',
  Reshape: 'first',
  Squeeze: 'first',
  Unsqueeze: 'first',
  Transpose: 'first',
  AveragePool: 'first',
  GlobalAveragePool: 'first',
  ReduceMean: 'first',
  ReduceSum: 'first',
  BatchNormalization: 'first',
  Div: 'first',
  Mul: 'any',
  Add: 'any',
  Sub: 'any',
  MatMul: 'any',
};

/** Elements of the widest value that a probing run may make (64 MiB of float32). */
const PROBE_ELEMENTS = 2 ** 24;

/** The activation that an affine node reads, if it is one. */
function findAffineInput(graph: Graph, node: Node): Value | undefined {
  const place = affineOperators[node.op];
  const moving = node.inputs.filter((input) => input && !graph.initializers.has(input));
  const [x] = moving;
  if (usesBatchStatistics(node)) return undefined;
  if (!place || !x || moving.length !== 1 || (place === 'first' && node.inputs[0] !== x)) return undefined;
  return x;
}

interface AffineChain {
  readonly gemm: Node;
  readonly start: Value;
  /** Of the start, without the batch. */
  readonly dims: readonly number[];
  /** Widest value of the chain, in elements an image. */
  readonly widest: number;
  readonly nodes: number;
}

/** The affine chain before a Gemm that starts at the smallest value, if that is smaller than what the Gemm reads. */
function findAffineChain(graph: Graph, uses: Uses, gemm: Node): AffineChain | undefined {
  const layer = readGemm(graph, gemm);
  if (typeof layer === 'string' || !isPlainGemm(layer)) return undefined;
  const { x } = layer;
  const [batch, inputs] = x.type?.dims ?? [];
  if (typeof inputs !== 'number') return undefined;
  let best: AffineChain | undefined;
  let size = inputs;
  let nodes = 0;
  for (let producer = uses.producer(x); producer; ) {
    const start = findAffineInput(graph, producer);
    if (!start) break;
    nodes++;
    const [first, ...dims] = start.type?.dims ?? [];
    if (first === batch && isStatic(dims) && countElements(dims) < size) {
      size = countElements(dims);
      best = { gemm, start, dims, widest: inputs, nodes };
    }
    producer = uses.producer(start);
  }
  return best;
}

/** f(0) and f(e_i) − f(0), `[n, out]`, of the chain with its Gemm, whose bias is left out. */
async function probeChain(
  graph: Graph,
  chain: AffineChain,
  run: GraphRunner,
): Promise<{ columns: Float32Array; offset: Float32Array }> {
  const { gemm, start, dims, widest } = chain;
  const [output] = gemm.outputs;
  const [, , bias] = gemm.inputs;
  const outputs = output?.type?.dims[1];
  if (!output || typeof outputs !== 'number')
    throw new ShiboriError(`Node "${gemm.name}": its width is not known.`, { code: 'invalid-graph' });
  const probing = rewrite(graph, {
    cutAt: [start],
    outputs: [output],
    inputDims: { [start.name]: ['N', ...dims] },
    initializer: (value, data) => (value === bias ? float32(new Float32Array(data.data.length), data.dims) : data),
  });
  const [input] = probing.inputs;
  const [result] = probing.outputs;
  if (!input || result?.type?.dims[0] !== 'N')
    throw new ShiboriError('it mixes the images of a batch', { code: 'invalid-graph' });
  const size = countElements(dims);
  const rows = Math.max(1, Math.min(size, Math.floor(PROBE_ELEMENTS / Math.max(widest, size))));
  const runOnUnitVectors = async (count: number, first: number | undefined): Promise<Float32Array> => {
    const data = new Float32Array(count * size);
    if (first !== undefined) for (let i = 0; i < count; i++) data[i * size + first + i] = 1;
    const results = await run(probing, { [input.name]: tensor('float32', [count, ...dims], data) });
    return expectFloat32(results[result.name], `Node "${gemm.name}"`).data;
  };
  const offset = await runOnUnitVectors(1, undefined);
  const columns = new Float32Array(size * outputs);
  for (let i = 0; i < size; i += rows) columns.set(await runOnUnitVectors(Math.min(rows, size - i), i), i * outputs);
  for (let i = 0; i < columns.length; i++) columns[i] = (columns[i] ?? 0) - (offset[i % outputs] ?? 0);
  return { columns, offset };
}

function replaceChain(graph: Graph, chain: AffineChain, found: { columns: Float32Array; offset: Float32Array }): Graph {
  const { gemm, start, dims } = chain;
  const [, w, b] = gemm.inputs;
  const [output] = gemm.outputs;
  const outputs = found.offset.length;
  const size = countElements(dims);
  const weight = new Float32Array(found.columns.length);
  for (let i = 0; i < size; i++) {
    for (let o = 0; o < outputs; o++) weight[o * size + i] = found.columns[i * outputs + o] ?? 0;
  }
  const bias = b && graph.initializers.get(b);
  const own = bias && Array.from(bias.data, Number);
  const summed = found.offset.map((value, o) => value + (own?.[own.length === 1 ? 0 : o] ?? 0));
  if (!w || !output) return graph;
  const replacement: Replacement = {
    reads: [start],
    emit([x], builder) {
      return builder.within(getModulePath(gemm), () => {
        const flat = dims.length === 1 ? x : builder.op('Flatten', [x], { axis: 1 });
        const parameters = [
          builder.initializer(w.name, tensor('float32', [outputs, size], weight)),
          builder.initializer(b?.name ?? `${getModulePath(gemm)}.bias`, float32(summed)),
        ];
        return builder.op('Gemm', [flat, ...parameters], { transB: 1 }, { name: gemm.name });
      });
    },
  };
  return rewrite(graph, { replace: new Map([[output, replacement]]) });
}

/**
 * Folds the affine operators between a smaller activation and a Gemm into the Gemm, at the input size that the graph
 * declares. In the reference VGG16 at 64×64, 2×2 features are averaged to 7×7: 25088×512 weights become 2048×512.
 *
 * @param context `run` executes the chain on unit vectors.
 */
export async function foldLinearChains(graph: Graph, { run }: Pick<ProbingContext, 'run'>): Promise<PassResult> {
  const notes: Note[] = [];
  let folded = graph;
  for (const { name } of graph.nodes.filter(({ op }) => op === 'Gemm')) {
    const gemm = folded.nodes.find((node) => node.name === name);
    const chain = gemm && findAffineChain(folded, findUses(folded), gemm);
    if (!chain) continue;
    const inputs = chain.gemm.inputs[0]?.type?.dims[1];
    try {
      folded = replaceChain(folded, chain, await probeChain(folded, chain, run));
      const text = `${chain.nodes} nodes before it folded: ${inputs} inputs become ${countElements(chain.dims)}`;
      notes.push({ node: name, applied: true, text });
    } catch (error) {
      // A chain that cannot run at another batch size is no mistake of the model's.
      if (!(error instanceof ShiboriError)) throw error;
      notes.push({ node: name, applied: false, text: `kept: ${error.message}` });
    }
  }
  return { graph: folded, notes };
}
