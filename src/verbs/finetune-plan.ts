import { type AugmentOptions, checkAugmentOptions } from '../data/augment.js';
import type { Preprocess } from '../data/preprocess.js';
import { withExecution } from '../decompose/compress-linear.js';
import { ttDescriptorsOf } from '../decompose/tt-layer.js';
import { suggestion, UsageError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { fitsPattern } from '../graph/module-path.js';
import { moduleOfParameter, parametersOf } from '../graph/parameters.js';
import { sizeOf } from '../tensor/dims.js';
import { constant, cyclic, oneCycle, type Schedule } from '../train/schedules.js';
import { withWeights } from '../train/weights.js';
import type { FinetunePlan } from './recipe.js';

/** Patterns that a mistyped one may have meant: `classifier.0.weight`, `classifier.0.*`, `classifier.*`, … */
function* likelyPatterns(names: readonly string[]): Generator<string> {
  const seen = new Set<string>();
  for (const name of names) {
    yield name;
    for (let path = moduleOfParameter(name); path !== ''; path = moduleOfParameter(path)) {
      if (seen.has(path)) break;
      seen.add(path);
      yield `${path}.*`;
      yield `${path.slice(path.indexOf('.') + 1)}.*`;
    }
  }
}

/** How many numbers patterns pick for training. Throws UsageError for a pattern that fits no parameter. */
export function countTrained(graph: Graph, patterns: readonly string[]): number {
  const parameters = parametersOf(graph).filter(({ kind }) => kind === 'parameter');
  for (const pattern of patterns) {
    if (parameters.some(({ name }) => fitsPattern(name, pattern))) continue;
    const hint = suggestion(pattern, likelyPatterns(parameters.map(({ name }) => name)));
    throw new UsageError(
      `No parameter of the model fits "${pattern}".${hint} \`shibori summary MODEL\` lists the layers; "*" trains all.`,
    );
  }
  const picked = parameters.filter(({ name }) => patterns.some((pattern) => fitsPattern(name, pattern)));
  return picked.reduce((sum, { tensor }) => sum + sizeOf(tensor.dims), 0);
}

/** The plan's augmentation, crops as large as the model's input unless it says otherwise. */
export function augmentationOf(plan: NonNullable<FinetunePlan['augment']>, { size }: Preprocess): AugmentOptions {
  const { randomResizedCrop: cropped, horizontalFlip, colorJitter } = plan;
  const options: AugmentOptions = {
    ...(cropped ? { randomResizedCrop: { ...cropped, size: cropped.size ?? Math.max(...size) } } : {}),
    ...(horizontalFlip === undefined ? {} : { horizontalFlip }),
    ...(colorJitter ? { colorJitter } : {}),
  };
  checkAugmentOptions(options);
  return options;
}

/** The plan's learning rates for a training of so many steps. */
export function scheduleOf({ learningRate, schedule, stepSizeUp }: FinetunePlan, steps: number): Schedule {
  if (typeof learningRate === 'number') return constant(learningRate);
  const [base, max] = learningRate;
  if (schedule === 'one-cycle') return oneCycle({ max, steps });
  return cyclic({ base, max, stepSizeUp: stepSizeUp ?? Math.max(1, Math.round(steps / 2)) });
}

/**
 * A graph for training, and the way back: its trained tensor-train layers are contracted in the order that is cheapest
 * for a batch when cores change with every step. In a finished model they are constants, whose products cost nothing.
 *
 * @param back puts the parameters and running statistics of the trained graph into the original one.
 */
export function forTraining(
  graph: Graph,
  trains: (parameter: string) => boolean,
  batch: number,
): { readonly graph: Graph; back(trained: Graph): Graph } {
  const parameters = parametersOf(graph).map(({ name }) => name);
  const layers = ttDescriptorsOf(graph)
    .filter(({ path }) => parameters.some((name) => moduleOfParameter(name) === path && trains(name)))
    .map((layer) => ({ ...layer, execution: 'factored' as const }));
  if (layers.length === 0) return { graph, back: (trained) => trained };
  return {
    graph: withExecution(graph, layers, { batch, trained: true }),
    back: (trained) => withWeights(graph, new Map(parametersOf(trained).map(({ name, tensor }) => [name, tensor]))),
  };
}
