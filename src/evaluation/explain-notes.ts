import type { RunContext } from '../context/run-context.js';
import type { ExplainedImages } from './explain-images.js';

/** What is explained of scores like these, where it is not the model's own output as it is. */
function describeExplainedScores({ scores, explained }: ExplainedImages): string | undefined {
  const { kind, link, labels } = scores;
  if (labels === 'none')
    return 'A regression: the output itself is explained, there are no classes and no probabilities.';
  const end = link ?? 'unknown';
  if (kind !== 'logits' && explained === 'logits') {
    return `The model gives ${kind} (${end}): the logits in front of them are explained; \`score: 'output'\` explains the ${kind}.`;
  }
  if (labels === 'binary' && kind === 'logits') {
    return "One output column y tells two classes apart: class 1 is explained by y, class 0 by −y. For a regression give `task: 'regression'`.";
  }
  return undefined;
}

const describeImageCount = (images: number, all: number): string =>
  all === 1 ? 'the image' : `${images} of ${all} images`;

/** Tells what the maps explain, and which of them say nothing. */
export function noteScores(found: ExplainedImages, context: RunContext): void {
  const note = describeExplainedScores(found);
  if (note !== undefined) context.onNote?.(note);
  const { images, explained, scores } = found;
  const saturated = images.filter(({ isSaturated }) => isSaturated).length;
  if (saturated > 0) {
    const instead = scores.logits
      ? "explain the logits with `score: 'logits'`"
      : 'export the model without its last function';
    context.onWarning?.(
      `For ${describeImageCount(saturated, images.length)} the probability of the class is 1 to five digits: the ${explained} leave no gradient there, and the map shows rounding errors. Better ${instead}.`,
    );
  }
  const zero = images.filter(({ isZero }) => isZero).length;
  if (zero > 0) {
    context.onWarning?.(
      `The map of ${describeImageCount(zero, images.length)} is zero everywhere: no channel at this layer speaks for the class. Its picture shows nothing, and no agreement with another map is defined.`,
    );
  }
}
