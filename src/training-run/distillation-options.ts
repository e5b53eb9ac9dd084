import { UsageError } from '../errors.js';
import { createMapAppender } from '../explain/grad-cam.js';
import { findDefaultLayer, findNamedLayer } from '../explain/layers.js';
import { formatDims } from '../graph/dims.js';
import type { Graph } from '../graph/model.js';
import { findScores } from '../ops/scores/scores.js';
import type { FinetunePlan } from '../recipes/training-schema.js';
import type { Distillation } from '../train/distillation.js';

/**
 * What a student learns from its teacher, by a plan.
 *
 * @param store where the teacher's answers are kept; `undefined` for images that vary.
 * @throws UsageError when the two do not tell the same classes apart, or their layers differ in shape.
 */
export function buildDistillation(
  student: Graph,
  teacher: Graph,
  { labels, features, maps, layer }: NonNullable<FinetunePlan['distill']>,
  store: Distillation['store'],
): Distillation {
  const classes = [findScores(teacher).classes, findScores(student).classes];
  if (classes[0] !== classes[1]) {
    throw new UsageError(
      `The teacher tells ${classes[0]} classes apart, the model ${classes[1]}: it cannot be learnt from.`,
    );
  }
  const kept = store ? { store } : {};
  if (features === 0 && maps === 0) return { teacher, labels, ...kept };
  const theirs = layer === undefined ? findDefaultLayer(teacher) : findNamedLayer(teacher, layer);
  const own = findNamedLayer(student, theirs.path);
  const dims = [theirs.output.type?.dims, own.output.type?.dims].map((each) => formatDims(each?.slice(1)));
  if (dims[0] !== dims[1]) {
    throw new UsageError(
      `Layer "${theirs.path}" gives ${dims[0]} in the teacher and ${dims[1]} in the model: they cannot be compared.`,
    );
  }
  return {
    teacher,
    labels,
    layer: { teacher: theirs.output.name, student: own.output.name },
    features,
    ...kept,
    ...(maps > 0 ? { maps: { weight: maps, append: createMapAppender(own.grid) } } : {}),
  };
}
