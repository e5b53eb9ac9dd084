/**
 * Phases of long commands, for an estimate of the time left. Weights are forward passes of one image; the factors are rough
 * measurements of VGG16 and ResNet-20 on two cores. An estimate corrects them by the time that phases take.
 */

import type { CompressionPlan } from '../compression-run/compression-plan.js';
import type { Phase, PhasePlan } from '../context/phase-clock.js';
import type { FinetunePlan } from '../recipes/training-schema.js';
import { BEFORE_TRAINING_PHASE } from '../training-run/training-log.js';
import { defined } from '../values.js';

/** Work per image, in forward passes. */
const WORK_PER_IMAGE = { load: 0.2, gradients: 1, curves: 4, refit: 3, train: 3, map: 6 } as const;
/** Work that does not depend on the number of images. */
const FIXED_WORK = { fold: 10, curves: 2000, refit: 1500, speed: 400 } as const;
/** As in `squeeze/images.ts`, `squeeze/workshop.ts` and `squeeze/goals.ts`, where a plan does not say otherwise. */
const DEFAULT_COUNTS = { calibration: 2000, mapImages: 64, searched: 6 } as const;

/** How many images each part of a command reads. */
export interface ImageCounts {
  readonly train: number;
  readonly validation?: number;
}

/** The phases of one stage of a training. Features that are kept from an earlier run take no time. */
function planTrainingPhases(
  { epochs, augment, views }: Pick<FinetunePlan, 'epochs'> & { readonly augment?: unknown; readonly views?: number },
  { train, validation }: ImageCounts,
  prefix: string,
  measuresBefore: boolean,
): Phase[] {
  const phase = (name: string, weight: number): Phase => ({ name: `${prefix}${name}`, weight });
  const cached = augment ? Math.min(views ?? 2, epochs) : 1;
  const phases: Phase[] = [];
  if (validation !== undefined && measuresBefore) phases.push(phase(BEFORE_TRAINING_PHASE, validation));
  for (let epoch = 0; epoch < epochs; epoch++) {
    if (epoch < cached) phases.push(phase(cached > 1 ? `frozen prefix, view ${epoch + 1}` : 'frozen prefix', train));
    phases.push(phase(`epoch ${epoch + 1}/${epochs}`, WORK_PER_IMAGE.train * train));
    if (validation !== undefined) phases.push(phase('validate', validation));
  }
  return phases;
}

/** The phases of `train` and `finetune`. `patience` may end it early. */
export function planTraining(stages: readonly FinetunePlan[], counts: ImageCounts, isFresh: boolean): PhasePlan {
  const phases = stages.flatMap(({ epochs, augment, views }, i) =>
    planTrainingPhases(
      { epochs, augment, ...defined({ views }) },
      counts,
      stages.length > 1 ? `stage ${i + 1}/${stages.length}, ` : '',
      i === 0 && !isFresh,
    ),
  );
  return { phases, atMost: stages.some(({ patience }) => patience !== undefined) };
}

const planAnalysisPhases = (plan: Omit<CompressionPlan, 'goal'>, { train, validation = 0 }: ImageCounts): Phase[] => {
  const calibration = Math.min(plan.calibrationImages ?? DEFAULT_COUNTS.calibration, train);
  return [
    { name: 'fold', weight: FIXED_WORK.fold },
    { name: 'evaluate original', weight: validation },
    { name: 'load', weight: WORK_PER_IMAGE.load * calibration },
    { name: 'gradients', weight: WORK_PER_IMAGE.gradients * calibration },
    { name: 'curves', weight: FIXED_WORK.curves + WORK_PER_IMAGE.curves * calibration },
  ];
};

/** The phases of one model that is compressed, trained and measured. */
const planCandidatePhases = (plan: Omit<CompressionPlan, 'goal'>, counts: ImageCounts): Phase[] => {
  const { train, validation = 0 } = counts;
  const calibration = Math.min(plan.calibrationImages ?? DEFAULT_COUNTS.calibration, train);
  return [
    { name: 'refit', weight: (FIXED_WORK.refit + WORK_PER_IMAGE.refit * calibration) * (plan.rounds ?? 1) },
    ...(plan.finetuneEpochs ? planTrainingPhases({ epochs: plan.finetuneEpochs }, counts, '', true) : []),
    { name: 'evaluate', weight: validation },
    { name: 'maps', weight: WORK_PER_IMAGE.map * Math.min(plan.mapImages ?? DEFAULT_COUNTS.mapImages, validation) },
  ];
};

/** The phases of `compress` to a goal. A goal of what may be lost is searched for: at most so many models are made. */
export function planCompression(plan: CompressionPlan, counts: ImageCounts): PhasePlan {
  const isSearch = plan.goal.kind === 'accuracyDrop' || plan.goal.kind === 'error';
  const models = Array.from({ length: isSearch ? DEFAULT_COUNTS.searched : 1 }, () =>
    planCandidatePhases(plan, counts),
  ).flat();
  return {
    phases: [...planAnalysisPhases(plan, counts), ...models, { name: 'speed', weight: FIXED_WORK.speed }],
    atMost: isSearch,
  };
}

/** The phases of `sweep`, whose models are one phase. */
export function planSweep(plan: Omit<CompressionPlan, 'goal'>, counts: ImageCounts, points: number): PhasePlan {
  const weight = points * planCandidatePhases(plan, counts).reduce((sum, phase) => sum + phase.weight, 0);
  return { phases: [...planAnalysisPhases(plan, counts), { name: 'points', weight }] };
}

/** The phases of `compare`. */
export function planComparison(images: number, mapImages: number = DEFAULT_COUNTS.mapImages): PhasePlan {
  return {
    phases: [
      { name: 'evaluate before', weight: images },
      { name: 'evaluate after', weight: images },
      { name: 'maps', weight: WORK_PER_IMAGE.map * Math.min(mapImages, images) },
      { name: 'speed', weight: FIXED_WORK.speed },
    ],
  };
}
