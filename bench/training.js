/** Steps of Adam a second, update included: of the whole network, and of its classifier on cached features. */
import { splitFrozenPrefix } from '../dist/passes/frozen-prefix.js';
import { int64, tensor, zeros } from '../dist/tensor/tensor.js';
import { adam } from '../dist/train/optimizers.js';
import {
  buildStepGraph,
  findInitializers,
  getGradientName,
  getUpdatedName,
  LOSS,
  TARGET,
} from '../dist/train/step-graph.js';
import {
  agree,
  GRADIENT_TOLERANCE,
  largestDifference,
  MEAN_TOLERANCE,
  relativeDistance,
  UPDATE_TOLERANCE,
} from './agreement.js';
import { features, images, labels, uniform } from './network.js';
import { pacedFit } from './paced-fit.js';

/** So small that the weights stay what they are, however many steps are timed. As in `tasks.py`. */
const LEARNING_RATE = 1e-5;
const HIDDEN = 512;

/** Values 0 and 2, half each, for both dropouts. */
function masksFor(batch) {
  const mask = (stream) => {
    const { dims, data } = uniform([batch, HIDDEN], 0, 1, stream);
    return tensor(
      'float32',
      dims,
      data.map((value) => (value < 0.5 ? 0 : 2)),
    );
  };
  return [mask(2000), mask(2001)];
}

/** One step of ours on the first batch: loss, gradients and running statistics. */
async function firstStep(engine, graph, { names, inputs, classes, batch, masks }) {
  const built = buildStepGraph(graph, names, batch);
  const [, ...dims] = inputs.dims;
  const elements = inputs.data.length / inputs.dims[0];
  const target = zeros('float32', [batch, built.classes]);
  for (let row = 0; row < batch; row++) target.data[row * built.classes + classes[row]] = 1;
  const feeds = {
    [graph.inputs[0].name]: tensor('float32', [batch, ...dims], inputs.data.subarray(0, batch * elements)),
    [TARGET]: target,
  };
  built.masks.forEach(({ name }, i) => {
    feeds[name] = masks[i];
  });
  const fed = new Set([...names, ...built.statistics]);
  for (const [{ name }, value] of graph.initializers) if (fed.has(name)) feeds[name] = value;
  const session = await engine.load(built.graph);
  const results = await session.run(feeds);
  await session.dispose();
  return { results, statistics: built.statistics };
}

/** Compares a step with PyTorch's, and the optimizers from the same gradients. */
function compareSteps(graph, names, { results, statistics }, theirs) {
  const worst = { loss: 0, gradients: 0, statistics: 0, update: 0 };
  const note = (kind, what, difference, tolerance) => {
    worst[kind] = Math.max(worst[kind], agree(what, difference, tolerance));
  };
  note('loss', 'Loss', relativeDistance(results[LOSS].data, theirs.get('loss').data), MEAN_TOLERANCE);
  for (const name of statistics) {
    const distance = relativeDistance(results[getUpdatedName(name)].data, theirs.get(`updated/${name}`).data);
    note('statistics', `Running statistic ${name}`, distance, MEAN_TOLERANCE);
  }
  const optimizer = adam();
  for (const [{ name }, before] of graph.initializers) {
    if (!names.has(name)) continue;
    const gradient = theirs.get(`gradient/${name}`).data;
    const distance = relativeDistance(results[getGradientName(name)].data, gradient);
    note('gradients', `Gradient of ${name}`, distance, GRADIENT_TOLERANCE);
    const parameter = before.data.slice();
    optimizer.update(parameter, gradient, optimizer.init(parameter.length), { step: 1, learningRate: LEARNING_RATE });
    const apart = largestDifference(parameter, theirs.get(`stepped/${name}`).data);
    note('update', `Adam's update of ${name}`, apart, UPDATE_TOLERANCE);
  }
  return worst;
}

/** What PyTorch's side is given for training: a batch, its classes and the masks of both dropouts. */
export function fullStepInputs(inputs, classes, batch = inputs.dims[0]) {
  const [first, second] = masksFor(batch);
  return new Map([
    ['inputs', inputs],
    ['labels', int64(Array.from(classes))],
    ['mask0', first],
    ['mask1', second],
  ]);
}

async function prepareTraining({ engine, network, peer }, { task, graph, names, inputs, batch, more = [] }) {
  const classes = labels(inputs.dims[0]);
  const given = new Map([...fullStepInputs(inputs, classes, batch), ...more]);
  const masks = [given.get('mask0'), given.get('mask1')];
  await peer?.start(task, network.file, given);
  let training;
  return {
    async check() {
      const ours = await firstStep(engine, graph, { names, inputs, classes, batch, masks });
      return compareSteps(graph, names, ours, await peer.check());
    },
    async run() {
      training ??= pacedFit(graph, {
        engine,
        trains: (name) => names.has(name),
        inputs,
        labels: classes,
        batch,
        learningRate: LEARNING_RATE,
      });
      await training.run(1);
    },
    dispose: () => training?.stop(),
  };
}

/** Names of the parameters that are trained: all with a gradient, or the classifier's. */
function trainedNames(graph, part) {
  const names = [...graph.initializers.keys()].map(({ name }) => name);
  return new Set(names.filter((name) => name.includes(part) && /\.(weight|bias)$/.test(name)));
}

export const FULL_BATCH = 32;

export const trainStep = {
  name: 'trainStep',
  title: `training the whole network, batch ${FULL_BATCH}`,
  unit: 'steps/s',
  amount: 1,
  rounds: 7,
  others: [{ title: 'PyTorch', how: { epochs: 1 } }],
  prepare(context) {
    const { graph } = context.network;
    const names = trainedNames(graph, '');
    return prepareTraining(context, { task: 'training', graph, names, inputs: images(FULL_BATCH), batch: FULL_BATCH });
  },
};

const HEAD_BATCH = 64;
const HEAD_IMAGES = 512;

/**
 * Any epoch after the first, which fills the cache. In PyTorch the usual way is a frozen backbone that every epoch's
 * images go through again; what a loop over features cached by hand reaches stands beside it.
 */
export const headEpoch = {
  name: 'headEpoch',
  title: `head-only epoch of ${HEAD_IMAGES} images, batch ${HEAD_BATCH}`,
  unit: 'images/s',
  amount: HEAD_IMAGES,
  rounds: 5,
  others: [
    { title: 'PyTorch, backbone frozen', how: { epochs: 1, cached: false } },
    { title: 'PyTorch, features cached by hand', how: { epochs: 1, cached: true } },
  ],
  prepare(context) {
    const { graph: whole } = context.network;
    const names = trainedNames(whole, '.classifier.');
    const { suffix: graph } = splitFrozenPrefix(whole, new Set(findInitializers(whole, names)));
    return prepareTraining(context, {
      task: 'head-training',
      graph,
      names,
      inputs: features(HEAD_IMAGES),
      batch: HEAD_BATCH,
      more: [['images', images(HEAD_IMAGES)]],
    });
  },
};
