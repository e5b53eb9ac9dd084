/*
 * Which output of a model holds its scores. Each candidate collects points; the first of those with the most is chosen.
 */
import { formatSuggestion, UsageError } from '../../errors.js';
import { formatDims } from '../../graph/dims.js';
import type { Graph, Value } from '../../graph/model.js';
import { findReachable, listNodesFor } from '../../graph/uses.js';
import { countColumns, describeOutput } from './scores.js';

/** Words in names of outputs, and what they speak for. */
const nameWords: readonly (readonly [RegExp, number])[] = [
  [/aux|distill?(?!ed)/i, -6],
  [/emb|feat|hidden|latent|repr|pool|token|attn|attention|penultimate|backbone|vector|descriptor/i, -6],
  [/box|bbox|coord|landmark|keypoint|mask|loss|uncertainty|variance|age\b|regress/i, -4],
  [/logit|prob|softmax|sigmoid|scores?|predic|class|label|category/i, 3],
  [/output|head|fc|dense|linear/i, 1],
];

/** Operators that hold weights. */
const weightedOps = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul']);

/** Points of one candidate among all. */
function countPoints(
  graph: Graph,
  output: Value,
  columns: number,
  candidates: readonly Value[],
  known?: number,
): number {
  let points = nameWords.reduce((sum, [pattern, value]) => sum + (pattern.test(output.name) ? value : 0), 0);
  const { kind, classes } = describeOutput(graph, output, columns, 'classification');
  if (kind !== 'logits') points += 3;
  if (classes === known) points += 8;
  if (columns === 1) points -= 2;
  if ((output.type?.dims.length ?? 0) < 2) points -= 2;
  const after = findReachable(graph, [output]);
  const between = graph.nodes.filter(({ inputs }) => inputs.some((input) => input && after.has(input)));
  const leadsOn = candidates.some((other) => other !== output && after.has(other));
  // Features lead to other outputs by way of weights; logits lead to their own softmax without any.
  if (leadsOn && between.some(({ op }) => weightedOps.has(op))) points -= 6;
  // The main head is computed from the most.
  const sizes = candidates.map(
    (candidate) => listNodesFor(graph, [candidate]).filter(({ op }) => weightedOps.has(op)).length,
  );
  if (sizes[candidates.indexOf(output)] === Math.max(...sizes)) points += 2;
  return points;
}

/** An output that was chosen among all. */
export interface ChosenOutput {
  readonly output: Value;
  /** Names of the other outputs that could hold scores by their dimensions. */
  readonly others: readonly string[];
}

/**
 * Chooses the output that holds the scores: by name, or the one that names (logits, probabilities … against embeddings,
 * features, auxiliary), a softmax or sigmoid in front of it, and its place in the graph make the most likely.
 *
 * @param options.name the output that a person named.
 * @param options.classes number of classes, where names of classes are known.
 * @returns `undefined` where no output can hold scores and none was named.
 * @throws UsageError for a name that no output has, with the nearest, and for an output that can hold no scores.
 */
export function chooseOutput(
  graph: Graph,
  options: { readonly name?: string | undefined; readonly classes?: number | undefined } = {},
): ChosenOutput | undefined {
  const counted = graph.outputs.flatMap((output) => {
    const columns = countColumns(graph, output);
    return columns === undefined ? [] : [{ output, columns }];
  });
  const candidates = counted.map(({ output }) => output);
  const chosen = (output: Value): ChosenOutput => ({
    output,
    others: candidates.flatMap((other) => (other === output ? [] : [other.name])),
  });
  const { name, classes } = options;
  if (name !== undefined) {
    const named = graph.outputs.find((output) => output.name === name);
    const names = graph.outputs.map((output) => output.name);
    if (!named) {
      throw new UsageError(
        `The model has no output "${name}".${formatSuggestion(name, names)} Its outputs: ${names.map((each) => `"${each}"`).join(', ')}.`,
      );
    }
    if (candidates.includes(named)) return chosen(named);
    throw new UsageError(
      `Output "${name}" is ${named.type?.dtype ?? 'of unknown type'} ${formatDims(named.type?.dims)}: it can hold no scores, which are [N, classes] or [N].`,
    );
  }
  const [only, second] = candidates;
  if (!second) return only && chosen(only);
  const points = counted.map(({ output, columns }) => countPoints(graph, output, columns, candidates, classes));
  const best = candidates[points.indexOf(Math.max(...points))];
  return best && chosen(best);
}
