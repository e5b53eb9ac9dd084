import { getEngine, type RunContext } from '../context/run-context.js';
import { decomposeLinear, type LinearTrain, replaceLinears } from '../decompose/decompose-linear.js';
import { BIAS_NAME, getCoreName } from '../decompose/modes.js';
import { type Execution, emitTtLinear, type TtLayer } from '../decompose/tt-layer.js';
import type { Engine } from '../engine/engine.js';
import { engineProducts } from '../engine/matrix-products.js';
import { UsageError } from '../errors.js';
import { measureSpeed } from '../evaluation/measure-speed.js';
import { measureModelSize } from '../evaluation/model-size.js';
import type { Graph } from '../graph/model.js';
import { getHeadPattern, type LoadedModel } from '../io/models/model-file.js';
import { buildTrainedPredicate, summarizeGraph } from '../models/summary.js';
import { GraphBuilder } from '../ops/builder.js';
import { type RankPlan, rankPlanSchema, readYaml } from '../recipes/recipe.js';
import { countElements } from '../tensor/dims.js';
import { defined } from '../values.js';
import { type CompressedModel, saveCompressed } from './compressed-file.js';
import type { CompressWithRanksOptions } from './compression-options.js';
import { measureSizeChange, type SizeChange } from './size-figures.js';

/** Relative error of a weight whose tensor train has all its ranks: float32 rounding. */
const FULL_RANK_ERROR = 1e-5;

/** Sizes of a model before or after. */
export interface SizeSummary {
  readonly parameters: number;
  readonly trainable: number;
  readonly frozen: number;
  readonly sizeBytes: number;
  readonly multAdds: number;
}

/** How one layer was compressed. */
export interface DecomposedLayer {
  readonly name: string;
  readonly layout: 'tt' | 'tt-matrix';
  readonly outModes: readonly number[];
  readonly inModes: readonly number[];
  readonly ranks: readonly number[];
  /** Frobenius norm of the difference over that of the weight: measured, and as the discarded singular values bound it. */
  readonly error: number;
  readonly bound: number;
  readonly clipped: LinearTrain['clipped'];
  readonly parametersBefore: number;
  readonly parametersAfter: number;
  readonly execution: Execution;
  /** Where `auto` measured: how much faster the chosen execution is than the other. */
  readonly speedAdvantage?: number;
}

/** What `compress` did. */
export interface RankCompressionReport {
  readonly before: SizeSummary;
  readonly after: SizeSummary;
  readonly layers: readonly DecomposedLayer[];
  readonly seconds: number;
}

function summarizeSizes(graph: Graph, train: readonly string[]): SizeSummary {
  const { parameters, trainable, frozen, sizeBytes, multAdds } = summarizeGraph(graph, {
    trains: buildTrainedPredicate(train),
  });
  return { parameters, trainable, frozen, sizeBytes, multAdds };
}

/** A graph of one layer alone. */
function buildLayerGraph(train: LinearTrain, execution: Execution): Graph {
  const b = new GraphBuilder();
  const x = b.input('input', 'float32', ['N', countElements(train.descriptor.inModes)]);
  const cores = train.cores.map((core, k) => b.initializer(getCoreName(k), core));
  const bias = train.bias && b.initializer(BIAS_NAME, train.bias);
  b.output(emitTtLinear(b, x, cores, bias, { ...train.descriptor, execution }));
  return b.build('layer');
}

/** The faster way to run a layer, by the geometric mean of the ratios at batch 1 and 64, and by how much it is faster. */
async function measureFasterExecution(
  engine: Engine,
  train: LinearTrain,
): Promise<{ execution: Execution; advantage: number }> {
  const [factorised, reconstructed] = [buildLayerGraph(train, 'factored'), buildLayerGraph(train, 'rebuilt')];
  let logRatio = 0;
  for (const batch of [1, 64]) {
    // reconstructed over factorised: above 1 the factorised one is faster.
    logRatio += Math.log((await measureSpeed(engine, factorised, reconstructed, { batch, seconds: 0.3 })).ratio) / 2;
  }
  return { execution: logRatio > 0 ? 'factored' : 'rebuilt', advantage: Math.exp(Math.abs(logRatio)) };
}

/** Compresses the layers of a plan in a loaded model. The model itself is not changed. */
export async function compressModelWithRanks(
  model: LoadedModel,
  plan: RankPlan,
  options: { readonly train?: readonly string[] } = {},
  context: RunContext = {},
): Promise<{ readonly model: LoadedModel; readonly report: RankCompressionReport }> {
  const start = performance.now();
  const engine = getEngine(context);
  const products = engineProducts(engine);
  const train = options.train ?? [getHeadPattern(model.info)];
  const entries = Object.entries(plan.layers);
  const trains: LinearTrain[] = [];
  try {
    for (const [name, layer] of entries) {
      context.signal?.throwIfAborted();
      context.onProgress?.({ phase: 'decompose', done: trains.length, total: entries.length });
      const request = {
        layout: layer.layout,
        outModes: layer.out,
        inModes: layer.in,
        ...defined({ bonds: layer.bonds }),
      };
      trains.push(await decomposeLinear(model.graph, name, request, products));
    }
    context.onProgress?.({ phase: 'decompose', done: entries.length, total: entries.length });
  } finally {
    await products.dispose();
  }
  const seconds = (performance.now() - start) / 1000;
  const layers: DecomposedLayer[] = [];
  const executions = new Map<string, Execution>();
  for (const linear of trains) {
    const { path, layout, outModes, inModes, bonds } = linear.descriptor;
    const measured = plan.execution === 'auto' ? await measureFasterExecution(engine, linear) : undefined;
    const execution = measured?.execution ?? (plan.execution === 'factored' ? 'factored' : 'rebuilt');
    executions.set(path, execution);
    const { relativeError: error, relativeBound: bound, clipped, parametersBefore, parametersAfter } = linear;
    layers.push({
      name: path,
      layout,
      outModes,
      inModes,
      ranks: bonds,
      error,
      bound,
      clipped,
      parametersBefore,
      parametersAfter,
      execution,
      ...defined({ speedAdvantage: measured?.advantage }),
    });
  }
  const graph = replaceLinears(model.graph, trains, (path) => executions.get(path) ?? 'rebuilt');
  const described: TtLayer[] = trains.map(({ descriptor }) => ({
    ...descriptor,
    execution: executions.get(descriptor.path) ?? 'rebuilt',
  }));
  return {
    model: { graph, info: { ...model.info, layers: [...(model.info.layers ?? []), ...described] } },
    report: { before: summarizeSizes(model.graph, train), after: summarizeSizes(graph, train), layers, seconds },
  };
}

/** Holds a model that was compressed with given ranks. `before` and `after` also count what is trainable. */
export type RankCompression = RankCompressionReport & { readonly size: SizeChange } & CompressedModel;

/** Checks ranks that are given in code. */
function parseRanks(layers: NonNullable<CompressWithRanksOptions['ranks']>): RankPlan {
  const parsed = rankPlanSchema.safeParse({ layers });
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ path, message }) => `${path.slice(1).join('.')}: ${message}`);
  throw new UsageError(`\`ranks\`: ${issues.join('; ')}.`, { option: 'ranks' });
}

/** Reads the plan of given ranks. */
async function resolveRankPlan({ ranks, plan }: CompressWithRanksOptions): Promise<RankPlan> {
  const found = ranks
    ? parseRanks(ranks)
    : typeof plan === 'string'
      ? await readYaml(plan, 'plan', rankPlanSchema)
      : plan;
  if (found) return found;
  throw new UsageError('Give `goal`, `ranks` or `plan`: compress has to be told how small the model is to become.', {
    option: 'goal',
  });
}

/**
 * Replaces linear layers of an opened model by tensor trains, and writes the file where one is asked for.
 *
 * @throws UsageError for an unknown layer or modes that do not fit.
 */
export async function compressWithRanks(
  original: LoadedModel,
  options: CompressWithRanksOptions,
): Promise<RankCompression> {
  const plan = await resolveRankPlan(options);
  const { model, report } = await compressModelWithRanks(original, plan, defined({ train: options.train }), options);
  // At full rank nothing is lost, so that the file equals the original.
  const isLossless = report.layers.every(({ error }) => error < FULL_RANK_ERROR);
  const equals = isLossless ? { equals: original.graph } : {};
  const written = await saveCompressed(model, options.output, equals, options);
  const size = await measureSizeChange(await measureModelSize(original), model, model);
  return { model, ...report, size, ...written };
}
