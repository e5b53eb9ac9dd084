import type { Engine, Session } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { seeded } from '../tensor/random.js';
import { expectFloat32, type Tensor, zeros } from '../tensor/tensor.js';
import { defined } from '../values.js';
import { openTeacher } from './distillation.js';
import { fillDropoutMask } from './dropout-mask.js';
import { addToAverage, addWeighted, clampAndSumSquares, computeNormScale, computeSquaredNorm } from './gradients.js';
import { buildStepGraph, getGradientName, getUpdatedName, LOSS, SCORES, type StepGraph, TARGET } from './step-graph.js';
import { computeDecay, type StepSettings } from './step-settings.js';
import type { Weights } from './weights.js';

/** Second key of the random streams that masks are drawn from; the order of images uses another. */
const MASK_STREAM = 2;

/** A part of a step's images that is computed at once, and where the training is. */
export interface MicroBatch {
  /** `[n, …]` */
  readonly inputs: Tensor<'float32'>;
  /** Positions of the images in the data. */
  readonly indices: readonly number[];
  /** Loads the images themselves, which a teacher is asked about. */
  images(): Promise<Tensor<'float32'>>;
  /** Class of each image; −1 leaves it out of the loss. */
  readonly labels: readonly number[];
  /** Number of the step, and of the part in it, from 0. */
  readonly step: number;
  readonly part: number;
  /** Its share of the step's images, 0…1: its gradient counts so much. */
  readonly share: number;
}

/** What a part found with the weights as they were before the step. */
export interface BatchResult {
  /** Sum of the images' losses, in nats. */
  readonly lossSum: number;
  /** Images whose class has the highest score. */
  readonly correct: number;
  /** Images with a label. */
  readonly images: number;
}

/** What went wrong in a step: `the loss is NaN`. The parameters are as they were before. */
export interface NotFinite {
  readonly notFinite: string;
}

/** Runs training steps: each is one part or several, then an update. */
export interface Stepper {
  /** Forward and backward of a part; its gradient joins those of the parts before. Running statistics move on. */
  compute(batch: MicroBatch): Promise<BatchResult | NotFinite>;
  /** Changes the parameters by what was computed since the last update. */
  update(step: number, learningRate: number): NotFinite | undefined;
  dispose(): Promise<void>;
}

interface CompiledStep {
  readonly built: StepGraph;
  readonly session: Session;
  /** Filled again for each batch. */
  readonly masks: readonly Tensor<'float32'>[];
}

/** Target distributions `[n, classes]` of labels, zeros for an image without one. */
function buildTargets(labels: readonly number[], classes: number, smoothing: number): Tensor<'float32'> {
  const targets = zeros('float32', [labels.length, classes]);
  for (const [row, label] of labels.entries()) {
    if (label >= classes) {
      throw new ShiboriError(
        `The model tells ${classes} classes apart (0 to ${classes - 1}), an image is of class ${label}.`,
        { code: 'training-failed' },
      );
    }
    if (label < 0) continue;
    targets.data.fill(smoothing / classes, row * classes, (row + 1) * classes);
    targets.data[row * classes + label] = 1 - smoothing + smoothing / classes;
  }
  return targets;
}

/** In place: targets of labels become those of a student, see `distillation.ts`. */
function mixTargets(targets: Tensor<'float32'>, teacher: Tensor<'float32'>, labels: readonly number[], share: number) {
  const classes = targets.dims[1] ?? 1;
  for (const [row, label] of labels.entries()) {
    if (label < 0) continue;
    for (let at = row * classes; at < (row + 1) * classes; at++) {
      targets.data[at] = share * (targets.data[at] as number) + (1 - share) * (teacher.data[at] as number);
    }
  }
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
export function createStepper(engine: Engine, graph: Graph, weights: Weights, settings: StepSettings): Stepper {
  const { parameters, statistics, optimizerStates, averages } = weights;
  const { optimizer, seed, clip = {}, labelSmoothing = 0, averaging, distillation } = settings;
  const teacher = distillation && openTeacher(engine, distillation);
  const inputName = graph.inputs[0]?.name ?? '';
  const allocateGradients = () => new Map([...parameters].map(([name, { dims }]) => [name, zeros('float32', dims)]));
  // Gradients are written here, step after step: fresh memory for them costs more than computing them.
  const fresh = allocateGradients();
  const into = Object.fromEntries([...fresh].map(([name, gradient]) => [getGradientName(name), gradient]));
  // Where steps have several parts their gradients are added up here.
  let sums: typeof fresh | undefined;
  let parts = 0;
  let pending = fresh;
  // One session for each batch size: the full one and the last, smaller one.
  const compiled = new Map<number, CompiledStep>();

  async function compile(size: number): Promise<CompiledStep> {
    const built = buildStepGraph(graph, new Set(parameters.keys()), size, settings);
    const masks = built.masks.map(({ dims }) => zeros('float32', dims));
    return { built, masks, session: await engine.load(built.graph) };
  }

  function collect(share: number): void {
    pending = fresh;
    if (share < 1) {
      sums ??= allocateGradients();
      pending = sums;
      for (const [name, { data }] of fresh) {
        const sum = sums.get(name);
        if (sum) addWeighted(sum.data, data, share, parts === 0);
      }
    }
    parts++;
  }

  return {
    async compute({ inputs, indices, images, labels, step, part, share }) {
      const size = labels.length;
      const own = compiled.get(size) ?? (await compile(size));
      compiled.set(size, own);
      const { built, session, masks } = own;
      const targets = buildTargets(labels, built.classes, labelSmoothing);
      const answer = await teacher?.ask(indices, images);
      if (answer) mixTargets(targets, answer.probabilities, labels, distillation?.labels ?? 0);
      const feeds: Record<string, Tensor> = { [inputName]: inputs, [TARGET]: targets, ...answer?.feeds };
      for (const [name, parameter] of parameters) feeds[name] = parameter;
      for (const name of built.statistics) feeds[name] = expectFloat32(statistics.get(name), `The statistic "${name}"`);
      for (const [i, { name, ratio }] of built.masks.entries()) {
        const mask = expectFloat32(masks[i], `The mask "${name}"`);
        fillDropoutMask(mask.data, ratio, seeded(seed, MASK_STREAM, step, part, i));
        feeds[name] = mask;
      }
      const results = await session.run(feeds, into);
      const loss = Number(results[LOSS]?.data[0]);
      if (!Number.isFinite(loss)) return { notFinite: `the loss is ${loss}` };
      collect(share);
      for (const name of built.statistics) {
        statistics.get(name)?.data.set(expectFloat32(results[getUpdatedName(name)], `The statistic "${name}"`).data);
      }
      const scores = expectFloat32(results[SCORES], 'The scores');
      return {
        lossSum: loss * size,
        correct: countCorrect(scores, labels, built.classes),
        images: labels.filter((label) => label >= 0).length,
      };
    },

    update(step, learningRate) {
      parts = 0;
      let squares = 0;
      for (const [name, { data }] of pending) {
        const own = computeSquaredNorm(data);
        if (!Number.isFinite(own)) return { notFinite: `the gradient of "${name}" is not finite` };
        squares += clip.value === undefined ? own : clampAndSumSquares(data, clip.value);
      }
      const gradientScale = clip.norm === undefined ? 1 : computeNormScale(Math.sqrt(squares), clip.norm);
      for (const [name, { data, dims }] of parameters) {
        const gradient = pending.get(name);
        const { rate = 1, weightDecay } = settings.groups?.({ name, dims }) ?? {};
        optimizer.update(data, gradient?.data ?? new Float32Array(data.length), optimizerStates.get(name) ?? {}, {
          step: step + 1,
          learningRate: learningRate * rate,
          gradientScale,
          ...defined({ weightDecay }),
        });
      }
      if (!averaging) return undefined;
      const decay = computeDecay(averaging, step + 1);
      for (const [name, { data }] of averages) {
        const current = parameters.get(name) ?? statistics.get(name);
        if (current) addToAverage(data, current.data, decay);
      }
      return undefined;
    },

    async dispose() {
      for (const { session } of compiled.values()) await session.dispose();
      compiled.clear();
      await teacher?.dispose();
    },
  };
}
