import { type AugmentOptions, checkAugmentOptions } from '../data/augment.js';
import type { Preprocess } from '../data/preprocess.js';
import { withExecution } from '../decompose/decompose-linear.js';
import { BIAS_NAME } from '../decompose/modes.js';
import { findTtDescriptors } from '../decompose/tt-layer.js';
import { formatSuggestion, UsageError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { matchesPattern } from '../graph/module-path.js';
import { getParameterModule, listParameters } from '../graph/parameters.js';
import { countElements } from '../tensor/dims.js';
import { requireRow } from '../train/named-options.js';
import { type Optimizer, optimizers } from '../train/optimizers.js';
import { type Schedule, schedules, warmUp } from '../train/schedules.js';
import type { ParameterGroup, StepSettings } from '../train/step-settings.js';
import { withWeights } from '../train/weights.js';
import { defined } from '../values.js';
import type { FinetunePlan } from './training-schema.js';

/** Patterns that a mistyped one may have meant: `classifier.0.weight`, `classifier.0.*`, `classifier.*`, … */
function* listLikelyPatterns(names: readonly string[]): Generator<string> {
  const seen = new Set<string>();
  for (const name of names) {
    yield name;
    for (let path = getParameterModule(name); path !== ''; path = getParameterModule(path)) {
      if (seen.has(path)) break;
      seen.add(path);
      yield `${path}.*`;
      yield `${path.slice(path.indexOf('.') + 1)}.*`;
    }
  }
}

/** Throws UsageError for a pattern that fits no parameter of the graph. */
export function checkPatterns(graph: Graph, patterns: readonly string[]): void {
  const names = listParameters(graph).flatMap(({ name, kind }) => (kind === 'parameter' ? [name] : []));
  for (const pattern of patterns) {
    if (names.some((name) => matchesPattern(name, pattern))) continue;
    throw new UsageError(
      `No parameter of the model fits "${pattern}".${formatSuggestion(pattern, listLikelyPatterns(names))} \`summarize\` lists the layers; "*" trains all.`,
    );
  }
}

/** How many numbers patterns pick for training. Throws UsageError for a pattern that fits no parameter. */
export function countTrained(graph: Graph, patterns: readonly string[]): number {
  checkPatterns(graph, patterns);
  const picked = listParameters(graph).filter(
    ({ name, kind }) => kind === 'parameter' && patterns.some((pattern) => matchesPattern(name, pattern)),
  );
  return picked.reduce((sum, { tensor }) => sum + countElements(tensor.dims), 0);
}

/** The plan's augmentation, crops as large as the model's input unless it says otherwise. */
export function buildAugmentation(plan: NonNullable<FinetunePlan['augment']>, { size }: Preprocess): AugmentOptions {
  const { randomResizedCrop: cropped, horizontalFlip, colorJitter } = plan;
  const options: AugmentOptions = {
    ...(cropped ? { randomResizedCrop: { ...cropped, size: cropped.size ?? Math.max(...size) } } : {}),
    ...defined({ horizontalFlip, colorJitter }),
  };
  checkAugmentOptions(options);
  return options;
}

/** Steps of an epoch over so many images. */
export function countStepsPerEpoch({ batch, accumulate }: FinetunePlan, images: number): number {
  return Math.max(1, Math.ceil(Math.ceil(images / batch) / accumulate));
}

/** Schedules that have a length of their rise. */
const CYCLIC: ReadonlySet<string> = new Set(['triangular', 'triangular2', 'exp_range']);

/**
 * The plan's learning rates for epochs of so many steps.
 *
 * @throws UsageError when schedule and learning rate do not go together.
 */
export function buildSchedule(plan: FinetunePlan, steps: number): Schedule {
  const { learningRate, stepSizeUp, epochs, per } = plan;
  const { name, ...own } = plan.schedule ?? { name: typeof learningRate === 'number' ? 'constant' : 'triangular2' };
  if (stepSizeUp !== undefined && !CYCLIC.has(name)) {
    throw new UsageError(
      `The schedule ${name} has no stepSizeUp: that is for a cycle, with a base and a peak learning rate.`,
    );
  }
  const total = (per === 'epoch' ? 1 : steps) * epochs;
  const rest = Math.max(1, total - (plan.warmUp?.steps ?? 0));
  const options = stepSizeUp === undefined ? own : { stepSizeUp, ...own };
  const alone = requireRow('schedule', schedules, name).create(options, learningRate, rest);
  const schedule = plan.warmUp ? warmUp(alone, plan.warmUp) : alone;
  return per === 'epoch' ? (step) => schedule(Math.floor(step / steps)) : schedule;
}

/** The plan's optimizer. */
export function buildOptimizer({ optimizer: { name, ...options } }: FinetunePlan): Optimizer {
  return requireRow('optimizer', optimizers, name).create(options);
}

/** Whether a parameter is a bias or the scale of a normalisation; the bias of a tensor train is shaped as its modes. */
const isVector = (name: string, dims: readonly number[]) => dims.length <= 1 || name.endsWith(`.${BIAS_NAME}`);

/**
 * The plan's learning rates and weight decay of each parameter.
 *
 * @throws UsageError for a pattern that fits no parameter.
 */
export function buildParameterGroups(
  { rates = {}, weightDecay }: FinetunePlan,
  graph: Graph,
): NonNullable<StepSettings['groups']> {
  checkPatterns(graph, [...Object.keys(rates), ...(weightDecay?.except ?? [])]);
  return ({ name, dims }): ParameterGroup => {
    const rate = Object.entries(rates).findLast(([pattern]) => matchesPattern(name, pattern))?.[1] ?? 1;
    if (!weightDecay) return { rate };
    const { value, except, vectors } = weightDecay;
    const spared = except.some((pattern) => matchesPattern(name, pattern)) || (!vectors && isVector(name, dims));
    return { rate, weightDecay: spared ? 0 : value };
  };
}

/**
 * A graph for training, and the way back: its trained tensor-train layers are contracted in the order that is cheapest
 * for a batch when cores change with every step. In a finished model they are constants, whose products cost nothing.
 *
 * @param back puts the parameters and running statistics of the trained graph into the original one.
 */
export function prepareForTraining(
  graph: Graph,
  trains: (parameter: string) => boolean,
  batch: number,
): { readonly graph: Graph; restore(trained: Graph): Graph } {
  const parameters = listParameters(graph).map(({ name }) => name);
  const layers = findTtDescriptors(graph)
    .filter(({ path }) => parameters.some((name) => getParameterModule(name) === path && trains(name)))
    .map((layer) => ({ ...layer, execution: 'factored' as const }));
  if (layers.length === 0) return { graph, restore: (trained) => trained };
  return {
    graph: withExecution(graph, layers, { batch, trained: true }),
    restore: (trained) =>
      withWeights(graph, new Map(listParameters(trained).map(({ name, tensor }) => [name, tensor]))),
  };
}
