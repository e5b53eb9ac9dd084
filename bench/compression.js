/*
 * Squeezing on the same axes: parameters against accuracy, no gradient step in any of them.
 *   ranks by hand         tensor trains of a plan, truncated by the weights alone
 *   weight-only SVD       the relative error of each weight, one price for all layers
 *   singular values       their plain magnitude: the smallest of all layers go first
 *   ours                  the metric of the data, measured curves, refit
 *
 *   npm run build && node bench/squeezing.js MODEL DATA TRAIN-SPLIT VAL-SPLIT PLAN SHARE … [--limit N] [--plan-layers]
 *
 * Shares are of the original's parameters, such as 0.1. All layers are squeezed, or (`--plan-layers`) those of the plan alone.
 * Prints one JSON line a model, and says which machine it was.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';

const load = (path) => import(new URL(`../dist/${path}`, import.meta.url).href);
const [{ openModel }, { openDataset }, { appendGradients }, { nodeEngine }] = await Promise.all(
  ['io/models/model-file.js', 'images/dataset.js', 'autodiff/gradient.js', 'engine/node.js'].map(load),
);
const [{ compressModel }, { planSchema, readYaml }, { predictionsOf, lossOf }, { calibrationImages }] =
  await Promise.all(
    ['workflows/compress.js', 'recipes/recipe.js', 'compression-run/measure.js', 'compression-run/images.js'].map(load),
  );
const [{ foldExact }, { squeezeLayers }, { studyNetwork }, { spendBudget }, weights, { ofAnyBatch }, { summarize }] =
  await Promise.all(
    [
      'compression/fold-exact.js',
      'compression/squeeze-layer.js',
      'compression/squeeze.js',
      'compression/spend.js',
      'compression/weight-only.js',
      'passes/rewrite.js',
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
    'usage: node bench/squeezing.js MODEL DATA TRAIN-SPLIT VAL-SPLIT PLAN SHARE … [--limit N] [--plan-layers]',
  );
  process.exit(2);
}
const engine = nodeEngine();
const model = await openModel(modelFile);
const train = await openDataset({ data, split: trainSplit });
const limit = values.limit ? { limit: Number(values.limit) } : {};
const validation = await openDataset({ data, split: validationSplit, ...limit });
const before = await predictionsOf(model, validation, true, {});
const whole = summarize(model.graph).parameters;
console.error(
  `${cpus()[0]?.model}, ${cpus().length} cores; ${before.accuracy.images} images, top-1 ${before.accuracy.top1}`,
);

async function tell(method, graph, seconds) {
  const { accuracy, divergence, maps } = await lossOf(model, before, { ...model, graph }, validation, 200, {});
  const { parameters, multAdds } = summarize(graph);
  const figures = { method, parameters, share: parameters / whole, multAdds, top1: accuracy.top1, nll: accuracy.nll };
  console.log(JSON.stringify({ ...figures, divergence, maps: maps?.pearson.mean, seconds }));
}

async function timed(work) {
  const start = performance.now();
  return [await work(), (performance.now() - start) / 1000];
}

const plan = { ...(await readYaml(planFile, 'plan', planSchema)), execution: 'rebuilt' };
const [byHand, handSeconds] = await timed(() => compressModel(model, plan));
await tell('ranks by hand', byHand.model.graph, handSeconds);

const { graph: folded } = await foldExact(engine, ofAnyBatch(model.graph));
const names = Object.keys(plan.layers);
const inPlan = ({ path }) => names.some((name) => path === name || path.endsWith(`.${name}`));
const layers = squeezeLayers(folded).layers.filter((layer) => !values['plan-layers'] || inPlan(layer));
const calibration = await calibrationImages(model, train, layers, undefined, 42, {});
const amounts = shares.map((share) => Math.floor(Number(share) * whole));
for (const [method, options] of [
  ['weight-only SVD', { schemes: ['svd'], error: 'relative' }],
  ['singular values', { schemes: ['svd'], error: 'magnitude' }],
]) {
  const [study, studied] = await timed(() => weights.studyWeights(engine, folded, layers, 'parameters', options));
  for (const amount of amounts) {
    const [{ graph }, spent] = await timed(() => weights.spendOnWeights(engine, study, amount, options));
    await tell(method, graph, studied + spent);
  }
}
const options = { gradients: appendGradients };
const [network, studied] = await timed(() => studyNetwork(engine, folded, layers, calibration, 'parameters', options));
for (const amount of amounts) {
  const [{ graph }, spent] = await timed(() => spendBudget(engine, network, amount, options));
  await tell('ours', graph, studied + spent);
}
for (const { source } of [train, validation]) await source.close?.();
