/*
 * Compares four ways of compression on the same axes: parameters against accuracy, without a gradient step in any of them.
 *   ranks by hand         tensor trains of a plan, truncated by the weights alone
 *   weight-only SVD       the relative error of each weight, one Lagrange multiplier for all layers
 *   singular values       their plain magnitude: the smallest of all layers go first
 *   ours                  the metric of the data, measured curves, refit
 *
 *   npm run build && node bench/compression.js MODEL DATA TRAIN-SPLIT VAL-SPLIT PLAN SHARE … [--limit N] [--plan-layers]
 *
 * Shares are of the original's parameters, such as 0.1. All layers are decomposed, or (`--plan-layers`) those of the plan alone.
 * Prints one JSON line a model, and says which machine it was.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';

const load = (path) => import(new URL(`../dist/${path}`, import.meta.url).href);
const [{ openModel }, { openDataset }, { appendGradients }, { nodeEngine }] = await Promise.all(
  ['io/models/model-file.js', 'images/open-dataset.js', 'autodiff/gradient.js', 'engine/node.js'].map(load),
);
const [
  { compressModelWithRanks },
  { rankPlanSchema, readYaml },
  { computePredictions, measureModelLoss },
  { loadCalibrationImages },
] = await Promise.all(
  [
    'compression-run/compress-with-ranks.js',
    'recipes/recipe.js',
    'compression-run/measured-loss.js',
    'compression-run/compression-images.js',
  ].map(load),
);
const [
  { simplifyLosslessly },
  { findCompressibleLayers },
  { analyseNetwork },
  { decomposeNetwork },
  weights,
  { bindSymbolicBatch },
  { summarizeImage },
] = await Promise.all(
  [
    'compression/simplify-losslessly.js',
    'compression/compressible-layers.js',
    'compression/compress-to-budget.js',
    'compression/decompose-network.js',
    'compression/weight-only-decomposition.js',
    'passes/free-batch.js',
    'models/summary.js',
  ].map(load),
);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { limit: { type: 'string' }, 'plan-layers': { type: 'boolean' } },
});
const [modelFile, data, trainSplit, validationSplit, planFile, ...shares] = positionals;
if (shares.length === 0) {
  console.error(
    'usage: node bench/compression.js MODEL DATA TRAIN-SPLIT VAL-SPLIT PLAN SHARE … [--limit N] [--plan-layers]',
  );
  process.exit(2);
}
const engine = nodeEngine();
const model = await openModel(modelFile);
const train = await openDataset({ data, split: trainSplit });
const limit = values.limit ? { limit: Number(values.limit) } : {};
const validation = await openDataset({ data, split: validationSplit, ...limit });
const before = await computePredictions(model, validation, true, {});
const whole = summarizeImage(model.graph).parameters;
console.error(
  `${cpus()[0]?.model}, ${cpus().length} cores; ${before.accuracy.images} images, top-1 ${before.accuracy.top1}`,
);

async function print(method, graph, seconds) {
  const { accuracy, divergence, maps } = await measureModelLoss(
    model,
    before,
    { ...model, graph },
    validation,
    200,
    {},
  );
  const { parameters, multAdds } = summarizeImage(graph);
  const figures = { method, parameters, share: parameters / whole, multAdds, top1: accuracy.top1, nll: accuracy.nll };
  console.log(JSON.stringify({ ...figures, divergence, maps: maps?.pearson.mean, seconds }));
}

async function timed(work) {
  const start = performance.now();
  return [await work(), (performance.now() - start) / 1000];
}

const plan = { ...(await readYaml(planFile, 'plan', rankPlanSchema)), execution: 'rebuilt' };
const [byHand, handSeconds] = await timed(() => compressModelWithRanks(model, plan));
await print('ranks by hand', byHand.model.graph, handSeconds);

const { graph: folded } = await simplifyLosslessly(engine, bindSymbolicBatch(model.graph).graph);
const names = Object.keys(plan.layers);
const inPlan = ({ path }) => names.some((name) => path === name || path.endsWith(`.${name}`));
const layers = findCompressibleLayers(folded).layers.filter((layer) => !values['plan-layers'] || inPlan(layer));
const calibration = await loadCalibrationImages(model, train, layers, undefined, 42, {});
const amounts = shares.map((share) => Math.floor(Number(share) * whole));
for (const [method, options] of [
  ['weight-only SVD', { schemes: ['svd'], error: 'relative' }],
  ['singular values', { schemes: ['svd'], error: 'magnitude' }],
]) {
  const [analysed, analysisSeconds] = await timed(() =>
    weights.analyseWeights(engine, folded, layers, 'parameters', options),
  );
  for (const amount of amounts) {
    const [{ graph }, spent] = await timed(() => weights.decomposeByWeights(engine, analysed, amount, options));
    await print(method, graph, analysisSeconds + spent);
  }
}
const options = { gradients: appendGradients };
const [network, analysisSeconds] = await timed(() =>
  analyseNetwork(engine, folded, layers, calibration, 'parameters', options),
);
for (const amount of amounts) {
  const [{ graph }, spent] = await timed(() => decomposeNetwork(engine, network, amount, options));
  await print('ours', graph, analysisSeconds + spent);
}
for (const { source } of [train, validation]) await source.close?.();
