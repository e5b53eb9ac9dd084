import { itemAt } from '../../data/dataset.js';
import { accuracyOf, addCounts, countCorrect, NO_IMAGES, predictedClasses } from '../../metrics/accuracy.js';
import type { LoadedModel } from '../../node/model-file.js';
import type { Comparison, Flip } from '../../report/comparison.js';
import type { VerbContext } from '../context.js';
import type { Dataset } from '../dataset.js';
import { score } from '../evaluate.js';

/** Measures the accuracy of both models, and finds the images whose prediction changed. */
export async function compareAccuracy(
  before: LoadedModel,
  after: LoadedModel,
  dataset: Dataset,
  names: readonly string[],
  batch: number,
  context: VerbContext,
): Promise<Pick<Comparison, 'accuracy' | 'flips'>> {
  const total = dataset.source.items.length;
  const predictions = new Map<number, number>();
  const accuracies = [];
  const flips: Flip[] = [];
  let same = 0;
  for (const [which, model] of [before, after].entries()) {
    let counts = NO_IMAGES;
    const stage = which === 0 ? 'evaluate before' : 'evaluate after';
    const onBad = ({ path, reason }: { path: string; reason: string }) => {
      if (which === 0) context.onWarning?.(`skipped ${path}: ${reason}`);
    };
    for await (const { logProbabilities, labels, indices } of score(model, dataset, { batch, onBad }, context)) {
      counts = addCounts(counts, countCorrect(logProbabilities, labels));
      for (const [i, predicted] of predictedClasses(logProbabilities).entries()) {
        const index = indices[i] ?? 0;
        const label = labels[i] ?? 0;
        if (which === 0) predictions.set(index, predicted);
        else if (predictions.get(index) === predicted) same++;
        else {
          const first = predictions.get(index) ?? 0;
          const nameOf = (at: number) => names[at] ?? '';
          flips.push({
            file: itemAt(dataset.source, index).path,
            label,
            labelName: nameOf(label),
            before: first,
            beforeName: nameOf(first),
            after: predicted,
            afterName: nameOf(predicted),
          });
        }
      }
      context.onProgress?.({
        stage,
        done: counts.images,
        total,
        fields: { top1: `${accuracyOf(counts).top1.toFixed(2)} %` },
      });
    }
    accuracies.push(accuracyOf(counts));
  }
  const [a, b] = accuracies;
  if (!a || !b) throw new Error('unreachable: two models were evaluated');
  return { accuracy: { before: a, after: b, top1Drop: a.top1 - b.top1, agreement: (100 * same) / b.images }, flips };
}
