import { verifyEqual } from '../decompose/verify-equal.js';
import { type Engine, runOnce } from '../engine/engine.js';
import type { Graph } from '../graph/model.js';
import type { FoldNote, FoldResult } from '../passes/fold.js';
import { foldBatchNorms } from '../passes/fold-batch-norm.js';
import { foldLinearChains } from '../passes/fold-linear.js';
import { mergeDuplicates } from '../passes/merge-duplicates.js';

/** What float32 sums in another order may differ by, as a share of the largest output, through a deep network. */
export const LOSSLESS_TOLERANCE = 1e-4;

/**
 * Every saving that costs nothing: batch norms and affine chains folded into their neighbours, duplicate initializers and
 * dead nodes dropped. Both graphs are run to prove it.
 *
 * @throws ShiboriError when the outputs differ by more than `FOLD_TOLERANCE`.
 */
export async function simplifyLosslessly(engine: Engine, graph: Graph): Promise<FoldResult> {
  const notes: FoldNote[] = [];
  let simplified = graph;
  const passes = [
    foldBatchNorms,
    (each: Graph) => foldLinearChains(each, (probing, feeds) => runOnce(engine, probing, feeds)),
    mergeDuplicates,
  ];
  for (const pass of passes) {
    const step = await pass(simplified);
    simplified = step.graph;
    notes.push(...step.notes);
  }
  await verifyEqual(engine, graph, simplified, LOSSLESS_TOLERANCE);
  return { graph: simplified, notes };
}
