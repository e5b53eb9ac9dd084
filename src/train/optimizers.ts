/**
 * Optimizers as pure descriptions: what state a parameter needs, and how one step changes parameter and state in place.
 * float32 is stored, double is computed with.
 */

/** State tensors of one parameter, by name; each has the parameter's size. */
export type OptimizerState = Readonly<Record<string, Float32Array>>;

/** An optimizer. */
export interface Optimizer {
  readonly name: string;
  /** Fresh state for a parameter of `size` elements. */
  init(size: number): OptimizerState;
  /**
   * One step, in place.
   *
   * @param step number of the step, counted from 1.
   */
  update(
    parameter: Float32Array,
    gradient: Float32Array,
    state: OptimizerState,
    step: number,
    learningRate: number,
  ): void;
}

/**
 * Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1) as `torch.optim.Adam` computes it: `weightDecay` is added to
 * the gradient, `epsilon` to the root of the corrected second moment.
 *
 * Defaults: betas 0.9 and 0.999, epsilon 1e-8, no weight decay.
 */
export function adam(
  options: {
    readonly beta1?: number;
    readonly beta2?: number;
    readonly epsilon?: number;
    readonly weightDecay?: number;
  } = {},
): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options;
  return {
    name: 'adam',
    init: (size) => ({ m: new Float32Array(size), v: new Float32Array(size) }),
    update(parameter, gradient, { m, v }, step, learningRate) {
      if (!m || !v) return;
      // p - rate / (1 - beta1^t) m / (sqrt(v) / root + epsilon), with root = sqrt(1 - beta2^t): `root` is multiplied
      // through, which saves a division for every number.
      const root = Math.sqrt(1 - beta2 ** step);
      const stepSize = (learningRate * root) / (1 - beta1 ** step);
      const floor = epsilon * root;
      const [freshM, freshV] = [1 - beta1, 1 - beta2];
      for (let i = 0; i < parameter.length; i++) {
        const p = parameter[i] as number;
        const g = (gradient[i] as number) + weightDecay * p;
        const first = beta1 * (m[i] as number) + freshM * g;
        const second = beta2 * (v[i] as number) + freshV * g * g;
        m[i] = first;
        v[i] = second;
        parameter[i] = p - (stepSize * first) / (Math.sqrt(second) + floor);
      }
    },
  };
}

/** Stochastic gradient descent without momentum. */
export function sgd(): Optimizer {
  return {
    name: 'sgd',
    init: () => ({}),
    update(parameter, gradient, _, __, learningRate) {
      for (let i = 0; i < parameter.length; i++)
        parameter[i] = (parameter[i] as number) - learningRate * (gradient[i] as number);
    },
  };
}
