/**
 * The graph of one training step: forward in training mode, loss, gradients, running statistics.
 *
 * Loss: L = −(1/B) Σ_n Σ_k t(n, k) log p(k | x_n), with target distributions t (one-hot rows for labels), which is the
 * negative log-likelihood for log-probabilities and the cross-entropy for logits. A model of one column has two classes;
 * where each class has a probability of its own (sigmoid), its binary cross entropies are added up.
 */
import { appendGradients } from '../autodiff/gradient.js';
import { ShiboriError } from '../errors.js';
import { formatDims } from '../graph/dims.js';
import type { Graph, Value } from '../graph/model.js';
import { appendCrossEntropy, appendLogProbabilities } from '../ops/scores/append.js';
import { describeScores } from '../ops/scores/scores.js';
import { bindInputs } from '../passes/rewrite.js';
import { type DropoutMask, startTrainingMode } from '../passes/training-mode.js';
import { applyWinograd } from '../passes/winograd.js';
import { appendDistillation } from './distillation.js';
import type { StepSettings } from './step-settings.js';

/** Names of the step graph's own inputs and outputs; parameters and statistics keep theirs. */
export const TARGET = 'train/target';
export const LOSS = 'train/loss';
export const SCORES = 'train/scores';

/** The output that holds a parameter's gradient. */
export const getGradientName = (parameter: string): string => `train/gradient/${parameter}`;
/** The output that holds an updated running statistic. */
export const getUpdatedName = (statistic: string): string => `train/updated/${statistic}`;

/** One training step as a graph, for one batch size. */
export interface StepGraph {
  readonly graph: Graph;
  readonly masks: readonly DropoutMask[];
  /** Names of the running statistics that the step updates. */
  readonly statistics: readonly string[];
  readonly classes: number;
}

/** The initializers of a graph with these names. */
export function findInitializers(graph: Graph, names: ReadonlySet<string>): Value[] {
  return [...graph.initializers.keys()].filter(({ name }) => names.has(name));
}

/**
 * Builds the step graph of a classifier.
 *
 * @param graph inference graph, its scores as `scoresOf` describes them.
 * @param parameters names of the initializers that are trained; they become inputs.
 * @param batch images of a step.
 * @param settings see `StepSettings`; a student's step takes what the teacher found as inputs, too.
 */
export function buildStepGraph(
  graph: Graph,
  parameters: ReadonlySet<string>,
  batch: number,
  { batchNorm, dropout, distillation }: Pick<StepSettings, 'batchNorm' | 'dropout' | 'distillation'> = {},
): StepGraph {
  const input = graph.inputs[0];
  if (!input?.type) throw new ShiboriError('The model has no typed input to train on.', { code: 'training-failed' });
  // Before weights become inputs: their shapes decide, and gradients follow from what is written here.
  const fixed = bindInputs(graph, { [input.name]: [batch, ...input.type.dims.slice(1)] });
  const { graph: bound } = applyWinograd(fixed);
  const trained = findInitializers(bound, parameters);
  const { builder: b, mapValue: of, masks, statistics } = startTrainingMode(bound, trained, { batchNorm, dropout });
  const scores = describeScores(bound);
  if (!scores) {
    throw new ShiboriError(
      `Only classifiers are trained: the first output is ${formatDims(bound.outputs[0]?.type?.dims)}, expected [N, classes].`,
      { code: 'training-failed' },
    );
  }
  const { classes } = scores;
  return b.within('loss', () => {
    const target = b.input(TARGET, 'float32', [batch, classes]);
    const logProbabilities = appendLogProbabilities(b, of, scores);
    const fromTargets = b.op('Mul', [appendCrossEntropy(b, logProbabilities, target), b.scalar(1 / batch)]);
    const fromTeacher = distillation && appendDistillation(b, bound, of, distillation);
    const loss = fromTeacher ? b.op('Add', [fromTargets, fromTeacher]) : fromTargets;
    const inputs = trained.map(of);
    const gradients = appendGradients(b, loss, inputs);
    const publish = (value: Value, name: string) => b.output(b.op('Identity', [value], {}, { outputName: name }));
    publish(loss, LOSS);
    publish(logProbabilities.yes, SCORES);
    for (const parameter of inputs) {
      const gradient = gradients.get(parameter);
      if (gradient) publish(gradient, getGradientName(parameter.name));
    }
    for (const { name, updated } of statistics) publish(updated, getUpdatedName(name));
    return { graph: b.build('training step'), masks, statistics: statistics.map(({ name }) => name), classes };
  });
}
