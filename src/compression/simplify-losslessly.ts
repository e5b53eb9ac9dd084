import { verifyEqual } from '../decompose/verify-equal.js';
import { type Engine, runOnce } from '../engine/engine.js';
import type { Graph } from '../graph/model.js';
import { foldBatchNorms } from '../passes/fold-batch-norm.js';
import { foldLinearChains } from '../passes/fold-linear.js';
import { mergeDuplicates } from '../passes/merge-duplicates.js';
import { createPassContext, type PassResult, type ProbingPass, runProbingPasses } from '../passes/pass.js';

/** What float32 sums in another order may differ by, as a share of the largest output, through a deep network. */
export const LOSSLESS_TOLERANCE = 1e-4;

/** Lists the passes that make a graph smaller or faster and change no result beyond float32 rounding, in order. */
export const losslessSimplification: readonly ProbingPass[] = [foldBatchNorms, foldLinearChains, mergeDuplicates];

/**
 * Simplifies a graph without loss: batch norms and affine chains are folded into their neighbours, duplicate initializers
 * are merged, dead nodes dropped. Both graphs are run to prove it.
 *
 * @throws ShiboriError when the outputs differ by more than `LOSSLESS_TOLERANCE`.
 */
export async function simplifyLosslessly(engine: Engine, graph: Graph): Promise<PassResult> {
  const result = await runProbingPasses(graph, losslessSimplification, {
    ...createPassContext(graph),
    run: (probing, feeds) => runOnce(engine, probing, feeds),
  });
  await verifyEqual(engine, graph, result.graph, LOSSLESS_TOLERANCE);
  return result;
}
