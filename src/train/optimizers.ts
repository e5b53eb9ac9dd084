/*
 * Optimizers as pure descriptions: what state a parameter needs, and how one step changes parameter and state in place.
 * float32 is stored, double is computed with. Everything that is the same for all elements is computed before the loop.
 */
import { z } from 'zod';
import { UsageError } from '../errors.js';
import { buildNamedOptions, type NamedOptions } from './named-options.js';

/** State tensors of one parameter, by name; each has the parameter's size. */
export type OptimizerState = Readonly<Record<string, Float32Array>>;

/** What is the same for all elements of a parameter in one step. */
export interface UpdateStep {
  /** Number of the step, counted from 1. */
  readonly step: number;
  readonly learningRate: number;
  /** Default: the optimizer's own. */
  readonly weightDecay?: number;
  /** What the gradient is multiplied with first: clipping by norm. Default: 1. */
  readonly gradientScale?: number;
}

/** An optimizer. */
export interface Optimizer {
  readonly name: string;
  /** Fresh state for a parameter of `size` elements. */
  init(size: number): OptimizerState;
  /** One step, in place. */
  update(parameter: Float32Array, gradient: Float32Array, state: OptimizerState, at: UpdateStep): void;
}

const fractionSchema = z.number().min(0).lt(1);
const decaySchema = z.number().nonnegative();

const adamOptions = z.strictObject({
  beta1: fractionSchema.default(0.9),
  beta2: fractionSchema.default(0.999),
  epsilon: z.number().positive().default(1e-8),
  weightDecay: decaySchema.default(0),
});

const sgdOptions = z.strictObject({
  momentum: z.number().nonnegative().default(0),
  dampening: z.number().default(0),
  nesterov: z.boolean().default(false),
  weightDecay: decaySchema.default(0),
});

/**
 * Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1) as `torch.optim.Adam` computes it: `weightDecay` is added to
 * the gradient, `epsilon` to the root of the corrected second moment.
 *
 * Defaults: betas 0.9 and 0.999, epsilon 1e-8, no weight decay.
 */
export function adam(options: z.input<typeof adamOptions> = {}): Optimizer {
  return createAdam('adam', adamOptions.parse(options), false);
}

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2) as `torch.optim.AdamW`
 * computes it: before the step the parameter shrinks by `learningRate · weightDecay`.
 *
 * Defaults: betas 0.9 and 0.999, epsilon 1e-8, weight decay 0.01.
 */
export function adamW(options: z.input<typeof adamOptions> = {}): Optimizer {
  return createAdam('adamw', adamOptions.parse({ weightDecay: 0.01, ...options }), true);
}

function createAdam(name: string, options: z.output<typeof adamOptions>, decoupled: boolean): Optimizer {
  const { beta1, beta2, epsilon } = options;
  return {
    name,
    init: (size) => ({ m: new Float32Array(size), v: new Float32Array(size) }),
    update(
      parameter,
      gradient,
      { m, v },
      { step, learningRate, weightDecay = options.weightDecay, gradientScale = 1 },
    ) {
      if (!m || !v) return;
      // p - rate / (1 - beta1^t) m / (sqrt(v) / root + epsilon), with root = sqrt(1 - beta2^t): `root` is multiplied
      // through, which saves a division for every number.
      const root = Math.sqrt(1 - beta2 ** step);
      const stepSize = (learningRate * root) / (1 - beta1 ** step);
      const floor = epsilon * root;
      const freshM = 1 - beta1;
      const freshV = 1 - beta2;
      const added = decoupled ? 0 : weightDecay;
      const kept = decoupled ? 1 - learningRate * weightDecay : 1;
      // Numbers go in pairs, of which a/x and b/y are taken with one division, (a y) / (x y): a quarter of the time. In
      // double the product of two roots of float32 numbers neither overflows nor loses anything that float32 would show.
      const count = parameter.length;
      for (let i = 0; i < count; i += 2) {
        // An odd last number is its own partner, computed twice from the same values.
        const j = i + 1 < count ? i + 1 : i;
        const p = parameter[i] as number;
        const q = parameter[j] as number;
        const g = gradientScale * (gradient[i] as number) + added * p;
        const h = gradientScale * (gradient[j] as number) + added * q;
        const firstI = beta1 * (m[i] as number) + freshM * g;
        const firstJ = beta1 * (m[j] as number) + freshM * h;
        const secondI = beta2 * (v[i] as number) + freshV * g * g;
        const secondJ = beta2 * (v[j] as number) + freshV * h * h;
        m[i] = firstI;
        m[j] = firstJ;
        v[i] = secondI;
        v[j] = secondJ;
        const x = Math.sqrt(secondI) + floor;
        const y = Math.sqrt(secondJ) + floor;
        const share = stepSize / (x * y);
        parameter[i] = kept * p - firstI * y * share;
        parameter[j] = kept * q - firstJ * x * share;
      }
    },
  };
}

/**
 * Stochastic gradient descent as `torch.optim.SGD` computes it: the buffer b ← momentum · b + (1 − dampening) · g, at the
 * first step b = g; the step goes along b, with Nesterov's momentum along g + momentum · b (Sutskever et al. 2013).
 * `weightDecay` is added to the gradient.
 *
 * Defaults: no momentum, no dampening, not Nesterov's, no weight decay.
 *
 * @throws UsageError for Nesterov's momentum without momentum or with dampening, as PyTorch does.
 */
export function sgd(options: z.input<typeof sgdOptions> = {}): Optimizer {
  const { momentum, dampening, nesterov, ...own } = sgdOptions.parse(options);
  if (nesterov && (momentum === 0 || dampening !== 0)) {
    throw new UsageError('SGD: Nesterov needs a momentum above 0 and no dampening.');
  }
  return {
    name: 'sgd',
    init: (size) => (momentum === 0 ? {} : { momentum: new Float32Array(size) }),
    update(parameter, gradient, state, { step, learningRate, weightDecay = own.weightDecay, gradientScale = 1 }) {
      const count = parameter.length;
      const buffer = state.momentum;
      if (!buffer) {
        for (let i = 0; i < count; i++) {
          const p = parameter[i] as number;
          parameter[i] = p - learningRate * (gradientScale * (gradient[i] as number) + weightDecay * p);
        }
        return;
      }
      const fresh = step === 1 ? 1 : 1 - dampening;
      const kept = step === 1 ? 0 : momentum;
      // Along `ofGradient` g + `ofBuffer` b.
      const ofGradient = nesterov ? learningRate : 0;
      const ofBuffer = nesterov ? learningRate * momentum : learningRate;
      for (let i = 0; i < count; i++) {
        const p = parameter[i] as number;
        const g = gradientScale * (gradient[i] as number) + weightDecay * p;
        const b = kept * (buffer[i] as number) + fresh * g;
        buffer[i] = b;
        parameter[i] = p - ofGradient * g - ofBuffer * b;
      }
    },
  };
}

/** All optimizers by name, with the options that each takes. */
export const optimizers: Readonly<Record<string, NamedOptions<Optimizer, []>>> = {
  adam: buildNamedOptions(adamOptions, (options) => adam(options)),
  adamw: buildNamedOptions(adamOptions.extend({ weightDecay: decaySchema.default(0.01) }), (options) => adamW(options)),
  sgd: buildNamedOptions(sgdOptions, (options) => sgd(options)),
};
