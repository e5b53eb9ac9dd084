/*
 * Minimise Σ loss(l, p(l)) over one option p(l) for each layer l, subject to Σ cost(l, p(l)) ≤ budget. With a loss estimate λ on
 * cost every layer chooses for itself; the choices for all λ are the corners of the lower convex hulls of the layers'
 * options (Shoham, Gersho 1988, doi:10.1109/29.90373). Walking them from the cheapest upwards, always the step that gains
 * most per cost, gives the optimum at every budget that a step ends at. What is left in between goes to options off the
 * hulls that still fit.
 */
import { ShiboriError } from '../errors.js';

/** A budget below what even the cheapest options cost. */
export class BudgetUnreachable extends ShiboriError {
  constructor(
    readonly budget: number,
    readonly smallest: number,
  ) {
    super(`The budget of ${budget} cannot be met: the smallest these layers can be made is ${smallest}.`, {
      code: 'goal-unreachable',
    });
  }
}

/** One way of storing a layer. */
export interface CostedOption {
  /** In the unit of the budget. */
  readonly cost: number;
  /** Predicted rise of the loss, 0 or more. */
  readonly loss: number;
}

/** A layer and its options; one of them leaves it as it is. */
export interface LayerChoices<O extends CostedOption> {
  readonly path: string;
  readonly options: readonly O[];
}

/** What an allocation decided. */
export interface Allocation<O extends CostedOption> {
  readonly chosen: ReadonlyMap<string, O>;
  readonly cost: number;
  readonly loss: number;
  /** Loss that one unit of cost more would save; 0 when everything is at its best. */
  readonly multiplier: number;
}

/** The options that no other beats in both cost and loss, cheapest first. */
export function findParetoFront<O extends CostedOption>(options: readonly O[]): O[] {
  const sorted = [...options].sort((a, b) => a.cost - b.cost || a.loss - b.loss);
  const front: O[] = [];
  for (const option of sorted) {
    const last = front.at(-1);
    if (!last || option.loss < last.loss) front.push(option);
  }
  return front;
}

/** Corners of the lower convex hull of the options, cheapest first. */
export function findLowerHull<O extends CostedOption>(options: readonly O[]): O[] {
  const hull: O[] = [];
  for (const option of findParetoFront(options)) {
    for (;;) {
      const [before, last] = [hull.at(-2), hull.at(-1)];
      if (!before || !last) break;
      const bends = (last.loss - before.loss) * (option.cost - before.cost);
      if (bends < (option.loss - before.loss) * (last.cost - before.cost)) break;
      hull.pop();
    }
    hull.push(option);
  }
  return hull;
}

interface HullStep<O> {
  readonly path: string;
  readonly to: O;
  readonly cost: number;
  /** Loss saved per cost. */
  readonly gain: number;
}

/**
 * Spends a budget.
 *
 * @throws BudgetUnreachable when even the cheapest options cost more.
 */
export function allocateBudget<O extends CostedOption>(
  layers: readonly LayerChoices<O>[],
  budget: number,
): Allocation<O> {
  const chosen = new Map<string, O>();
  const steps: HullStep<O>[] = [];
  for (const { path, options } of layers) {
    const hull = findLowerHull(options);
    const [first] = hull;
    if (!first) throw new ShiboriError(`Layer "${path}" has no option to choose from.`, { code: 'unsupported-model' });
    chosen.set(path, first);
    for (const [i, to] of hull.slice(1).entries()) {
      const from = hull[i] ?? first;
      steps.push({ path, to, cost: to.cost - from.cost, gain: (from.loss - to.loss) / (to.cost - from.cost) });
    }
  }
  let cost = 0;
  for (const option of chosen.values()) cost += option.cost;
  if (cost > budget) throw new BudgetUnreachable(Math.floor(budget), Math.ceil(cost));
  // Stable, and gains fall along each hull: no layer skips a step.
  steps.sort((a, b) => b.gain - a.gain);
  let multiplier = 0;
  for (const step of steps) {
    if (cost + step.cost > budget) {
      multiplier = step.gain;
      break;
    }
    chosen.set(step.path, step.to);
    cost += step.cost;
  }
  cost = allocateRest(layers, chosen, cost, budget);
  let loss = 0;
  for (const option of chosen.values()) loss += option.loss;
  return { chosen, cost, loss, multiplier };
}

/** Exchanges options, off the hulls too, while one still fits that saves loss: the largest saving first. */
function allocateRest<O extends CostedOption>(
  layers: readonly LayerChoices<O>[],
  chosen: Map<string, O>,
  used: number,
  budget: number,
): number {
  let cost = used;
  for (;;) {
    let best: { path: string; to: O; saved: number; more: number } | undefined;
    for (const { path, options } of layers) {
      const now = chosen.get(path);
      if (!now) continue;
      for (const to of options) {
        const saved = now.loss - to.loss;
        const more = to.cost - now.cost;
        if (cost + more <= budget && saved > 0 && saved > (best?.saved ?? 0)) best = { path, to, saved, more };
      }
    }
    if (!best) return cost;
    chosen.set(best.path, best.to);
    cost += best.more;
  }
}
