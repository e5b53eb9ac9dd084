/*
 * The cheapest order of contracting a small tensor network pair by pair.
 *
 * A network is a list of tensors with named indices; an index that two tensors share is summed over. The cost of a
 * pairwise contraction is the product of the sizes of all indices of the two. The optimum is found by dynamic programming
 * over the subsets of tensors: cost(S) = min over splits S = A ∪ B of cost(A) + cost(B) + cost(A·B), outer products
 * included (Pfeifer, Haegeman and Verstraete 2014, arXiv:1304.6112, section II). Contractions of constants alone are
 * folded when a model is loaded: they are free at run time and only break ties.
 */
import { ShiboriError } from '../errors.js';
import type { TtShape } from './modes.js';

/** One tensor of a network. */
export interface NetworkTensor {
  /** Names of its axes, in order. */
  readonly indices: readonly string[];
  /** Whether it is known when the model is loaded. Default: false. */
  readonly constant?: boolean;
}

/** One pairwise contraction. Operands count the tensors first, then the results of earlier steps. */
export interface ContractionStep {
  readonly left: number;
  readonly right: number;
  /** Indices of the left operand that stay, in its order. The result has them first, then those of the right one. */
  readonly leftFree: readonly string[];
  /** Indices that are summed over, in the left operand's order. */
  readonly contracted: readonly string[];
  /** Indices of the right operand that stay, in its order. */
  readonly rightFree: readonly string[];
  /** MACs at run time; 0 between constants. */
  readonly macs: number;
  /** Elements of both operands and the result. */
  readonly peakElements: number;
}

/** An order of contraction. */
export interface ContractionPlan {
  readonly steps: readonly ContractionStep[];
  /** MACs at run time. */
  readonly macs: number;
  /** The largest `peak` of a step, in elements. */
  readonly peakElements: number;
}

/** Subsets of this many tensors are searched in some 20 ms; the time triples with every further one. */
const EXACT_LIMIT = 14;

/** Which tensors are contracted with which: a tensor's number, or a pair. */
type ContractionTree = number | readonly [ContractionTree, ContractionTree];

/** A tensor of the network, or what is left of several. */
interface PartialContraction {
  readonly tree: ContractionTree;
  readonly indices: readonly string[];
  readonly constant: boolean;
}

type ElementCounter = (indices: Iterable<string>) => number;

/**
 * The order of contraction with the fewest MACs: exact up to 14 tensors; of longer networks, the cheapest
 * neighbours are contracted first until that many are left.
 *
 * @param tensors at least one; those that are not constant, and among equals the first, are kept on the left of each
 *   product, so that their leading axis (the batch) stays in front.
 * @param sizes size of every index.
 * @param output indices of the result; every other index must be shared by two tensors and is summed over.
 * @throws ShiboriError for an index without a size, or one that is neither shared by two tensors nor in the output.
 */
export function planContraction(
  tensors: readonly NetworkTensor[],
  sizes: Readonly<Record<string, number>>,
  output: readonly string[],
): ContractionPlan {
  expectPairs(tensors, output);
  const countElements: ElementCounter = (indices) => {
    let product = 1;
    for (const index of indices) {
      const size = sizes[index];
      if (size === undefined)
        throw new ShiboriError(`Planning a contraction: index "${index}" has no size.`, { code: 'unsupported-model' });
      product *= size;
    }
    return product;
  };
  const parts = tensors.map(
    ({ indices, constant }, tree): PartialContraction => ({ tree, indices, constant: constant === true }),
  );
  return buildContractionPlan(
    findCheapestTree(mergeToLimit(parts, countElements), countElements),
    parts,
    countElements,
  );
}

/** Throws unless every index is in two tensors, or in one and the output: then a step is one matrix product. */
function expectPairs(tensors: readonly NetworkTensor[], output: readonly string[]): void {
  if (tensors.length === 0)
    throw new ShiboriError('Planning a contraction: expected at least one tensor, found none.', {
      code: 'unsupported-model',
    });
  const counts = new Map<string, number>();
  for (const index of [...tensors.flatMap(({ indices }) => indices), ...output]) {
    counts.set(index, (counts.get(index) ?? 0) + 1);
  }
  for (const [index, count] of counts) {
    const twice = tensors.find(({ indices }) => indices.indexOf(index) !== indices.lastIndexOf(index));
    if (count === 2 && !twice) continue;
    throw new ShiboriError(
      `Planning a contraction: index "${index}" must be shared by two tensors, or be in one and in the output; ` +
        `tensors are ${tensors.map(({ indices }) => `[${indices.join(', ')}]`).join(' ')}, output [${output.join(', ')}].`,
      { code: 'unsupported-model' },
    );
  }
}

/** The parts with the cheapest two neighbours contracted, again and again, until the exact search can take over. */
function mergeToLimit(
  parts: readonly PartialContraction[],
  countElements: ElementCounter,
): readonly PartialContraction[] {
  const merged = [...parts];
  while (merged.length > EXACT_LIMIT) {
    let best = { cost: Number.POSITIVE_INFINITY, i: 0, j: 1 };
    for (const [i, a] of merged.entries()) {
      for (const [j, b] of merged.entries()) {
        if (j <= i || !a.indices.some((index) => b.indices.includes(index))) continue;
        const cost = countElements(new Set([...a.indices, ...b.indices]));
        if (cost < best.cost) best = { cost, i, j };
      }
    }
    const [a, b] = [merged[best.i], merged[best.j]];
    if (!a || !b) break;
    merged.splice(best.j, 1);
    merged[best.i] = contract(a, b);
  }
  return merged;
}

function contract(a: PartialContraction, b: PartialContraction): PartialContraction {
  return {
    tree: [a.tree, b.tree],
    indices: [
      ...a.indices.filter((index) => !b.indices.includes(index)),
      ...b.indices.filter((index) => !a.indices.includes(index)),
    ],
    constant: a.constant && b.constant,
  };
}

/** The optimum over all trees, by dynamic programming over subsets, which are bit masks here. */
function findCheapestTree(parts: readonly PartialContraction[], countElements: ElementCounter): ContractionTree {
  const full = 2 ** parts.length - 1;
  const constants = parts.reduce((mask, { constant }, i) => (constant ? mask | (1 << i) : mask), 0);
  const size = new Float64Array(full + 1).fill(1);
  for (let mask = 1; mask <= full; mask++) {
    // An index that two members share is summed over: what is open are those met an odd number of times.
    const open = new Set<string>();
    parts.forEach(({ indices }, i) => {
      if ((mask & (1 << i)) === 0) return;
      for (const index of indices) if (!open.delete(index)) open.add(index);
    });
    size[mask] = countElements(open);
  }
  const cost = new Float64Array(full + 1);
  const folded = new Float64Array(full + 1);
  const split = new Int32Array(full + 1);
  // A subset's parts are smaller numbers than the subset, so counting up meets them first.
  for (let mask = 1; mask <= full; mask++) {
    if ((mask & (mask - 1)) === 0) continue;
    const constant = (mask & ~constants) === 0;
    let bestCost = Number.POSITIVE_INFINITY;
    let bestFolded = Number.POSITIVE_INFINITY;
    const result = size[mask] as number;
    for (let a = (mask - 1) & mask; a > mask - a; a = (a - 1) & mask) {
      const b = mask ^ a;
      // Every contracted index is counted once in each operand and not in the result.
      const contracted = Math.round(Math.sqrt(((size[a] as number) * (size[b] as number)) / result));
      const work = result * contracted;
      const aCost = (cost[a] as number) + (cost[b] as number) + (constant ? 0 : work);
      const aFolded = (folded[a] as number) + (folded[b] as number) + (constant ? work : 0);
      if (aCost < bestCost || (aCost === bestCost && aFolded < bestFolded)) {
        bestCost = aCost;
        bestFolded = aFolded;
        split[mask] = a;
      }
    }
    cost[mask] = bestCost;
    folded[mask] = bestFolded;
  }
  const buildTree = (mask: number): ContractionTree => {
    const a = split[mask] as number;
    return a === 0 ? (parts[31 - Math.clz32(mask)]?.tree ?? 0) : [buildTree(a), buildTree(mask ^ a)];
  };
  return buildTree(full);
}

/** Lists the contractions of a tree, operands first. */
function buildContractionPlan(
  tree: ContractionTree,
  tensors: readonly PartialContraction[],
  countElements: ElementCounter,
): ContractionPlan {
  const steps: ContractionStep[] = [];
  type Operand = PartialContraction & { readonly operand: number; readonly first: number };
  const emit = (node: ContractionTree): Operand => {
    if (typeof node === 'number') {
      const { indices, constant } = tensors[node] ?? { indices: [], constant: false };
      return { tree: node, indices, constant, operand: node, first: node };
    }
    // What varies from run to run goes to the left, constants to the right.
    const [left, right] = orderOperands(emit(node[0]), emit(node[1]));
    const leftFree = left.indices.filter((index) => !right.indices.includes(index));
    const contracted = left.indices.filter((index) => right.indices.includes(index));
    const rightFree = right.indices.filter((index) => !left.indices.includes(index));
    const result = contract(left, right);
    steps.push({
      left: left.operand,
      right: right.operand,
      leftFree,
      contracted,
      rightFree,
      macs: result.constant ? 0 : countElements([...leftFree, ...contracted, ...rightFree]),
      peakElements: countElements(left.indices) + countElements(right.indices) + countElements(result.indices),
    });
    return { ...result, operand: tensors.length + steps.length - 1, first: Math.min(left.first, right.first) };
  };
  const orderOperands = (a: Operand, b: Operand): [Operand, Operand] => {
    const keeps = a.constant === b.constant ? a.first < b.first : b.constant;
    return keeps ? [a, b] : [b, a];
  };
  emit(tree);
  let cost = 0;
  let peak = 0;
  for (const step of steps) {
    cost += step.macs;
    peak = Math.max(peak, step.peakElements);
  }
  return { steps, macs: cost, peakElements: peak };
}

/** Which tensors a tensor-train layer consists of, by index names: `n` the batch, `o*`, `i*` modes, `r*` ranks. */
export interface LayerNetwork {
  readonly input: NetworkTensor;
  readonly cores: readonly NetworkTensor[];
  readonly sizes: Readonly<Record<string, number>>;
  /** `[n, o0, o1, …]`. */
  readonly output: readonly string[];
  /** `[o0, …, i0, …]`: the dense weight. */
  readonly weight: readonly string[];
}

/** The network of y = x Wᵀ with W a tensor train in a layout; cores have the axes that they are stored with. */
export function buildLayerNetwork(layer: TtShape, batch: number): LayerNetwork {
  const outs = layer.outModes.map((_, k) => `o${k}`);
  const ins = layer.inModes.map((_, k) => `i${k}`);
  const sizes: Record<string, number> = { n: batch };
  layer.outModes.forEach((mode, k) => {
    sizes[`o${k}`] = mode;
  });
  layer.inModes.forEach((mode, k) => {
    sizes[`i${k}`] = mode;
  });
  layer.bonds.forEach((rank, k) => {
    sizes[`r${k + 1}`] = rank;
  });
  const modes =
    layer.layout === 'tt' ? [...outs, ...ins].map((mode) => [mode]) : outs.map((out, k) => [out, ins[k] ?? '']);
  const cores = modes.map((own, k) => ({
    indices: [...(k > 0 ? [`r${k}`] : []), ...own, ...(k < modes.length - 1 ? [`r${k + 1}`] : [])],
    constant: true,
  }));
  return { input: { indices: ['n', ...ins] }, cores, sizes, output: ['n', ...outs], weight: [...outs, ...ins] };
}

/** The cheapest order of contracting an input `[n, i0, …]` (tensor 0) with the cores, which are constants. */
export function planFactorised(layer: TtShape, batch: number): ContractionPlan {
  const { input, cores, sizes, output } = buildLayerNetwork(layer, batch);
  return planContraction([input, ...cores], sizes, output);
}

/** The cheapest order of contracting the cores to the dense weight `[o0, …, i0, …]`; no cost at run time. */
export function planReconstructed(layer: TtShape): ContractionPlan {
  const { cores, sizes, weight } = buildLayerNetwork(layer, 1);
  return planContraction(cores, sizes, weight);
}
