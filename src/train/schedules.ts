/*
 * Learning rates over the steps of a training, as torch.optim.lr_scheduler gives them. All are closed formulas of the
 * step, so that an interrupted training needs no state to be resumed.
 */
import { z } from 'zod';
import { UsageError } from '../errors.js';
import { buildNamedOptions, type NamedOptions } from './named-options.js';

/** Learning rate of a training that does not say another. */
export const DEFAULT_LEARNING_RATE = 1e-4;

/** The learning rate at a step, counted from 0. */
export type Schedule = (step: number) => number;

/** The same learning rate at every step. */
export function constant(learningRate: number): Schedule {
  return () => learningRate;
}

/** `StepLR`: `gamma` times as much after every `stepSize` steps. Default: a tenth. */
export function stepDecay(options: {
  readonly learningRate: number;
  readonly stepSize: number;
  readonly gamma?: number;
}): Schedule {
  const { learningRate, stepSize, gamma = 0.1 } = options;
  return (step) => learningRate * gamma ** Math.floor(step / stepSize);
}

/** `MultiStepLR`: `gamma` times as much from each milestone on. Default: a tenth. */
export function multiStep(options: {
  readonly learningRate: number;
  readonly milestones: readonly number[];
  readonly gamma?: number;
}): Schedule {
  const { learningRate, milestones, gamma = 0.1 } = options;
  return (step) => learningRate * gamma ** milestones.filter((milestone) => milestone <= step).length;
}

/**
 * Half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5) as `CosineAnnealingLR`: from `learningRate`
 * down to `etaMin` (default 0) over `steps` steps, and up again over as many.
 */
export function cosine(options: {
  readonly learningRate: number;
  readonly steps: number;
  readonly etaMin?: number;
}): Schedule {
  const { learningRate, steps, etaMin = 0 } = options;
  return (step) => etaMin + ((learningRate - etaMin) * (1 + Math.cos((Math.PI * step) / steps))) / 2;
}

/**
 * Cyclical learning rates (Smith 2017, arXiv:1506.01186) as PyTorch's `CyclicLR` computes them: from `base` up to `max`
 * over `stepSizeUp` steps and down again over `stepSizeDown` (default: as many). Momentum is not cycled.
 *
 * @param options.mode `triangular`: every cycle reaches `max`; `triangular2` (default): each reaches half as far as the
 *   one before; `exp_range`: `gamma` to the number of the step as far.
 */
export function cyclic(options: {
  readonly base: number;
  readonly max: number;
  readonly stepSizeUp: number;
  readonly stepSizeDown?: number;
  readonly mode?: 'triangular' | 'triangular2' | 'exp_range';
  readonly gamma?: number;
}): Schedule {
  const { base, max, stepSizeUp, stepSizeDown = stepSizeUp, mode = 'triangular2', gamma = 1 } = options;
  const total = stepSizeUp + stepSizeDown;
  const rising = stepSizeUp / total;
  const reach = {
    triangular: () => 1,
    triangular2: (cycle: number) => 1 / 2 ** (cycle - 1),
    exp_range: (_: number, step: number) => gamma ** step,
  }[mode];
  return (step) => {
    const cycle = Math.floor(1 + step / total);
    const x = 1 + step / total - cycle;
    const scale = x <= rising ? x / rising : (x - 1) / (rising - 1);
    return base + (max - base) * scale * reach(cycle, step);
  };
}

/**
 * One cycle (Smith and Topin 2018, arXiv:1708.07120) as PyTorch's `OneCycleLR` computes it in two phases: from
 * `max` / `divFactor` (default 25) up to `max` over the first `pctStart` (default 0.3) of the steps, and down to that /
 * `finalDivFactor` (default 10,000) at the last, both along half a cosine or a line. Momentum is not cycled.
 */
export function oneCycle(options: {
  readonly max: number;
  readonly steps: number;
  readonly pctStart?: number;
  readonly divFactor?: number;
  readonly finalDivFactor?: number;
  readonly annealStrategy?: 'cos' | 'linear';
}): Schedule {
  const { max, steps, pctStart = 0.3, divFactor = 25, finalDivFactor = 1e4, annealStrategy = 'cos' } = options;
  const first = max / divFactor;
  const last = first / finalDivFactor;
  const peak = pctStart * steps - 1;
  const between =
    annealStrategy === 'cos'
      ? (from: number, to: number, share: number) => to + ((from - to) / 2) * (1 + Math.cos(Math.PI * share))
      : (from: number, to: number, share: number) => from + (to - from) * share;
  return (step) =>
    step <= peak
      ? between(first, max, step / peak)
      : between(max, last, Math.min(1, (step - peak) / (steps - 1 - peak)));
}

/**
 * A linear warm-up in front of a schedule, as `LinearLR` before it in a `SequentialLR`: over `steps` steps from
 * `startFactor` (default ⅓) of the schedule's first learning rate up to it; then the schedule begins.
 */
export function warmUp(
  schedule: Schedule,
  options: { readonly steps: number; readonly startFactor?: number },
): Schedule {
  const { steps, startFactor = 1 / 3 } = options;
  const first = schedule(0);
  return (step) => (step < steps ? first * (startFactor + ((1 - startFactor) * step) / steps) : schedule(step - steps));
}

/** One learning rate, or the base and the peak of a cycle. */
export type LearningRate = number | readonly [base: number, max: number];

const positiveCountSchema = z.number().int().positive();
const factorSchema = z.number().positive();

function requireSingleRate(learningRate: LearningRate, name: string): number {
  if (typeof learningRate === 'number') return learningRate;
  throw new UsageError(
    `The schedule ${name} takes one learning rate, found base and peak [${learningRate.join(', ')}].`,
  );
}

const cycleOptionsSchema = z.strictObject({
  stepSizeUp: positiveCountSchema.optional(),
  stepSizeDown: positiveCountSchema.optional(),
});

/** A cycle that rises for half of the training unless it says how long. */
function createCycle(
  mode: 'triangular' | 'triangular2' | 'exp_range',
  options: z.output<typeof cycleOptionsSchema> & { readonly gamma?: number },
  learningRate: LearningRate,
  steps: number,
): Schedule {
  if (typeof learningRate === 'number') {
    throw new UsageError(`The schedule ${mode} takes a base and a peak learning rate, found ${learningRate} alone.`);
  }
  const [base, max] = learningRate;
  const { stepSizeUp = Math.max(1, Math.round(steps / 2)), stepSizeDown = stepSizeUp, gamma = 1 } = options;
  return cyclic({ base, max, stepSizeUp, stepSizeDown, mode, gamma });
}

/**
 * All schedules by name, with the options that each takes. Each is made for a learning rate and the number of steps of
 * the whole training.
 */
export const schedules: Readonly<Record<string, NamedOptions<Schedule, [LearningRate, number]>>> = {
  constant: buildNamedOptions(z.strictObject({}), (_, rate) => constant(requireSingleRate(rate, 'constant'))),
  step: buildNamedOptions(
    z.strictObject({ stepSize: positiveCountSchema, gamma: factorSchema.default(0.1) }),
    (options, rate) => stepDecay({ ...options, learningRate: requireSingleRate(rate, 'step') }),
  ),
  'multi-step': buildNamedOptions(
    z.strictObject({ milestones: z.array(positiveCountSchema).min(1), gamma: factorSchema.default(0.1) }),
    (options, rate) => multiStep({ ...options, learningRate: requireSingleRate(rate, 'multi-step') }),
  ),
  cosine: buildNamedOptions(
    z.strictObject({ etaMin: z.number().nonnegative().default(0), steps: positiveCountSchema.optional() }),
    ({ etaMin, steps }, rate, all) =>
      cosine({ learningRate: requireSingleRate(rate, 'cosine'), etaMin, steps: steps ?? all }),
  ),
  triangular: buildNamedOptions(cycleOptionsSchema, (options, rate, steps) =>
    createCycle('triangular', options, rate, steps),
  ),
  triangular2: buildNamedOptions(cycleOptionsSchema, (options, rate, steps) =>
    createCycle('triangular2', options, rate, steps),
  ),
  exp_range: buildNamedOptions(cycleOptionsSchema.extend({ gamma: factorSchema }), (options, rate, steps) =>
    createCycle('exp_range', options, rate, steps),
  ),
  'one-cycle': buildNamedOptions(
    z.strictObject({
      pctStart: z.number().gt(0).lt(1).default(0.3),
      divFactor: factorSchema.default(25),
      finalDivFactor: factorSchema.default(1e4),
      annealStrategy: z.enum(['cos', 'linear']).default('cos'),
    }),
    // Of a base and a peak it takes the peak.
    (options, rate, steps) => oneCycle({ ...options, max: typeof rate === 'number' ? rate : rate[1], steps }),
  ),
};
