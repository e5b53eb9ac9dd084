/** The learning rate at a step, counted from 0. */
export type Schedule = (step: number) => number;

/** The same learning rate at every step. */
export function constant(learningRate: number): Schedule {
  return () => learningRate;
}

/**
 * Cyclical learning rates (Smith 2017, arXiv:1506.01186) as PyTorch's `CyclicLR` computes them: from `base` up to `max`
 * over `stepSizeUp` steps and down again over as many.
 *
 * @param options.mode `triangular`: every cycle reaches `max`; `triangular2`: each reaches half as far as the one before.
 */
export function cyclic(options: {
  readonly base: number;
  readonly max: number;
  readonly stepSizeUp: number;
  readonly mode?: 'triangular' | 'triangular2';
}): Schedule {
  const { base, max, stepSizeUp, mode = 'triangular2' } = options;
  return (step) => {
    const total = 2 * stepSizeUp;
    const cycle = Math.floor(1 + step / total);
    const x = 1 + step / total - cycle;
    const scale = x <= 0.5 ? x / 0.5 : (x - 1) / (0.5 - 1);
    return base + (max - base) * scale * (mode === 'triangular2' ? 1 / 2 ** (cycle - 1) : 1);
  };
}

/**
 * One cycle (Smith and Topin 2018, arXiv:1708.07120) as PyTorch's `OneCycleLR` computes it with its defaults: from
 * `max` / 25 up to `max` over the first 30 % of the steps and down to `max` / 250,000 at the last, both along a half
 * cosine.
 */
export function oneCycle(options: { readonly max: number; readonly steps: number }): Schedule {
  const { max, steps } = options;
  const first = max / 25;
  const last = first / 1e4;
  const peak = 0.3 * steps - 1;
  const between = (from: number, to: number, share: number) => to + ((from - to) / 2) * (1 + Math.cos(Math.PI * share));
  return (step) =>
    step <= peak
      ? between(first, max, step / peak)
      : between(max, last, Math.min(1, (step - peak) / (steps - 1 - peak)));
}
