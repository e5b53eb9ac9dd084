/** Which weights a training gives back, and whether it helped. */

import type { RunContext } from '../context/run-context.js';
import type { MeasuredEpoch, ValidationResult } from '../train/best-weights.js';
import type { EpochRecord } from '../train/training-state.js';

/** An epoch of a training: epochs are counted through all stages, stages from 1. */
export interface TrainedEpoch extends EpochRecord {
  readonly stage: number;
}

/** An epoch whose weights are the result. Epochs are counted through all stages; 0 is the model before the training. */
export interface KeptEpoch {
  readonly epoch: number;
  /** `best`: it is the best on the validation images; `last`: the last one, because of `keep` or without validation images. */
  readonly by: 'best' | 'last';
  readonly validationLoss?: number;
  readonly validationTop1?: number;
}

/** How the result of a training compares with the model before it. */
export interface TrainingOutcome {
  /** Epoch 0: the model before the training. Not measured without validation images or for fresh parameters. */
  readonly before?: { readonly epoch: 0; readonly validationLoss: number; readonly validationTop1: number };
  readonly kept: KeptEpoch;
  /** Points of validation top-1 that the result has more than epoch 0; negative when the training lowered it. */
  readonly top1Gain?: number;
}

/** What a stage measured, with the number of epochs before it. */
export interface StageOutcome {
  readonly epochsBefore: number;
  readonly before?: ValidationResult;
  readonly best?: MeasuredEpoch;
  readonly keep: 'best' | 'last';
}

/** The epoch that a stage gives back; epoch 0 of a later stage is what the stage before gave back. */
export function chooseKeptEpoch(
  { best, keep, epochsBefore }: StageOutcome,
  history: readonly TrainedEpoch[],
  previous: KeptEpoch | undefined,
): KeptEpoch {
  if (best && keep === 'best') {
    if (best.epoch === 0 && previous) return previous;
    const epoch = best.epoch === 0 ? 0 : epochsBefore + best.epoch;
    return { epoch, by: 'best', validationLoss: best.loss, validationTop1: best.top1 };
  }
  const last = history.at(-1);
  return {
    epoch: last?.epoch ?? 0,
    by: 'last',
    ...(last?.validationLoss === undefined ? {} : { validationLoss: last.validationLoss }),
    ...(last?.validationTop1 === undefined ? {} : { validationTop1: last.validationTop1 }),
  };
}

/** Puts what came before a training and what it gives back together. */
export function summarizeOutcome(before: ValidationResult | undefined, kept: KeptEpoch): TrainingOutcome {
  if (!before) return { kept };
  return {
    before: { epoch: 0, validationLoss: before.loss, validationTop1: before.top1 },
    kept,
    ...(kept.validationTop1 === undefined ? {} : { top1Gain: kept.validationTop1 - before.top1 }),
  };
}

const formatPercent = (value: number) => `${value.toFixed(2)} %`;

/** Warns when a training did not help. */
export function warnIfNoGain(
  { before, kept, top1Gain }: TrainingOutcome,
  history: readonly TrainedEpoch[],
  context: RunContext,
): void {
  if (!before) return;
  const was = formatPercent(before.validationTop1);
  if (kept.epoch === 0 && history.length > 0) {
    const best = Math.max(...history.flatMap(({ validationTop1 }) => validationTop1 ?? []));
    context.onWarning?.(
      `training did not help: validation top-1 was ${was} before it and ${formatPercent(best)} in the best epoch. The model is left as it was (epoch 0). Try a lower learning rate or more epochs; \`keep: 'last'\` takes the last epoch all the same.`,
    );
  } else if (top1Gain !== undefined && top1Gain < 0) {
    context.onWarning?.(
      `training lowered the validation top-1 from ${was} to ${formatPercent(before.validationTop1 + top1Gain)}, and the last epoch is kept as asked for. \`keep: 'best'\` keeps the best epoch instead.`,
    );
  }
}
