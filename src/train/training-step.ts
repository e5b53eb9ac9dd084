import type { Engine, Session } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { seeded } from '../tensor/random.js';
import { expectFloat32, type Tensor, zeros } from '../tensor/tensor.js';
import type { Optimizer } from './optimizers.js';
import { buildStepGraph, gradientName, LOSS, SCORES, type StepGraph, TARGET, updatedName } from './step-graph.js';
import { areFinite, type Weights } from './weights.js';

/** Second key of the random streams that masks are drawn from; the order of images uses another. */
const MASK_STREAM = 2;

/** A batch and where the training is. */
export interface TrainingBatch {
  /** `[n, …]` */
  readonly inputs: Tensor<'float32'>;
  /** Class of each image; −1 leaves it out of the loss. */
  readonly labels: readonly number[];
  /** Number of the step, from 0. */
  readonly step: number;
  readonly learningRate: number;
}

/** What a step found before it changed the weights. */
export interface StepResult {
  /** Sum of the images' losses, in nats. */
  readonly lossSum: number;
  /** Images whose class has the highest score. */
  readonly correct: number;
  /** Images with a label. */
  readonly images: number;
}

/** What went wrong in a step: `the loss is NaN`. The weights are as they were before. */
export interface NotFinite {
  readonly notFinite: string;
}

/** Runs training steps. */
export interface Stepper {
  run(batch: TrainingBatch): Promise<StepResult | NotFinite>;
  dispose(): Promise<void>;
}

interface Compiled {
  readonly built: StepGraph;
  readonly session: Session;
  /** Gradients are written here, step after step: fresh memory for them costs more than computing them. */
  readonly into: Readonly<Record<string, Tensor<'float32'>>>;
}

/** Target distributions `[n, classes]` of labels: one-hot rows, zeros for an image without a label. */
function oneHot(labels: readonly number[], classes: number): Tensor<'float32'> {
  const targets = zeros('float32', [labels.length, classes]);
  for (const [row, label] of labels.entries()) {
    if (label >= classes) {
      throw new ShiboriError(
        `The model tells ${classes} classes apart (0 to ${classes - 1}), an image is of class ${label}.`,
      );
    }
    if (label >= 0) targets.data[row * classes + label] = 1;
  }
  return targets;
}

/** A mask of zeros with probability `ratio` and of 1 / (1 − ratio) otherwise, drawn from a stream. */
function dropoutMask(dims: readonly number[], ratio: number, ...keys: readonly number[]): Tensor<'float32'> {
  const random = seeded(...keys);
  const mask = zeros('float32', dims);
  const keep = 1 / (1 - ratio);
  for (let i = 0; i < mask.data.length; i++) mask.data[i] = random.uniform() < ratio ? 0 : keep;
  return mask;
}

function countCorrect(scores: Tensor<'float32'>, labels: readonly number[], classes: number): number {
  let correct = 0;
  for (const [row, label] of labels.entries()) {
    const own = scores.data.subarray(row * classes, (row + 1) * classes);
    let top = 0;
    for (let c = 1; c < classes; c++) if ((own[c] as number) > (own[top] as number)) top = c;
    if (top === label) correct++;
  }
  return correct;
}

/**
 * Steps of a training: forward, loss, gradients and one update of the weights in place.
 *
 * @param graph inference graph of what is trained.
 * @param weights its parameters and running statistics; fed without a copy.
 */
export function createStepper(
  engine: Engine,
  graph: Graph,
  weights: Weights,
  optimizer: Optimizer,
  seed: number,
): Stepper {
  const { parameters, statistics, moments } = weights;
  const inputName = graph.inputs[0]?.name ?? '';
  // One session for each batch size: the full one and the last, smaller one.
  const compiled = new Map<number, Compiled>();

  async function compile(size: number): Promise<Compiled> {
    const built = buildStepGraph(graph, new Set(parameters.keys()), size);
    const session = await engine.load(built.graph);
    const into = Object.fromEntries(
      [...parameters].map(([name, { dims }]) => [gradientName(name), zeros('float32', dims)]),
    );
    return { built, session, into };
  }

  return {
    async run({ inputs, labels, step, learningRate }) {
      const size = labels.length;
      const own = compiled.get(size) ?? (await compile(size));
      compiled.set(size, own);
      const { built, session, into } = own;
      const feeds: Record<string, Tensor> = { [inputName]: inputs, [TARGET]: oneHot(labels, built.classes) };
      for (const [name, parameter] of parameters) feeds[name] = parameter;
      for (const name of built.statistics) feeds[name] = expectFloat32(statistics.get(name), `The statistic "${name}"`);
      for (const [i, { name, dims, ratio }] of built.masks.entries()) {
        feeds[name] = dropoutMask(dims, ratio, seed, MASK_STREAM, step, i);
      }
      const results = await session.run(feeds, into);
      const loss = Number(results[LOSS]?.data[0]);
      if (!Number.isFinite(loss)) return { notFinite: `the loss is ${loss}` };
      const gradientOf = (name: string) => expectFloat32(results[gradientName(name)], `The gradient of "${name}"`).data;
      for (const name of parameters.keys()) {
        if (!areFinite(gradientOf(name))) return { notFinite: `the gradient of "${name}" is not finite` };
      }
      for (const [name, parameter] of parameters) {
        optimizer.update(parameter.data, gradientOf(name), moments.get(name) ?? {}, step + 1, learningRate);
      }
      for (const name of built.statistics) {
        statistics.get(name)?.data.set(expectFloat32(results[updatedName(name)], `The statistic "${name}"`).data);
      }
      const scores = expectFloat32(results[SCORES], 'The scores');
      return {
        lossSum: loss * size,
        correct: countCorrect(scores, labels, built.classes),
        images: labels.filter((label) => label >= 0).length,
      };
    },
    async dispose() {
      for (const { session } of compiled.values()) await session.dispose();
      compiled.clear();
    },
  };
}
