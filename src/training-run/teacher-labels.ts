import type { RunContext } from '../context/run-context.js';
import { isLabelled } from '../data/image-items.js';
import { scoreBatches } from '../evaluation/evaluator.js';
import { listOutputNames } from '../evaluation/label-map.js';
import { type Dataset, requireLabels } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { computePredictedClasses } from '../metrics/accuracy.js';

/**
 * Gives images without labels the classes that a teacher predicts, to be learnt from and to be counted; images with labels
 * stay as they are. An image that cannot be read keeps no label.
 *
 * @throws UsageError for images without labels where there is no teacher.
 */
export async function labelByTeacher(
  dataset: Dataset,
  teacher: LoadedModel | undefined,
  context: RunContext,
): Promise<Dataset> {
  const { source } = dataset;
  if (isLabelled(source)) return dataset;
  if (!teacher) {
    requireLabels(dataset, 'a training needs them, or a model to learn from (`teacher`)');
    return dataset;
  }
  context.onNote?.(`"${source.name}" has no labels: the predictions of the teacher stand in for them.`);
  const labels = new Map<number, number>();
  const total = source.items.length;
  for await (const { indices, logProbabilities } of scoreBatches(
    teacher,
    dataset,
    { batch: 64, onBad: () => {} },
    context,
  )) {
    for (const [row, label] of computePredictedClasses(logProbabilities).entries())
      labels.set(indices[row] ?? -1, label);
    context.onProgress?.({ phase: 'labels', done: labels.size, total });
  }
  const items = source.items.map((item, index) => ({ ...item, label: labels.get(index) ?? item.label }));
  const classes = listOutputNames(teacher, source).map((name, output) => ({ id: `${output}`, name }));
  return { ...dataset, source: { ...source, items, classes } };
}
