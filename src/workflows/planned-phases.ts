/**
 * Phases of long commands, for an estimate of the time left. Weights are forward passes of one image; the factors are rough
 * measurements of VGG16 and ResNet-20 on two cores. An estimate corrects them by the time that phases take.
 */

import type { CompressionPlan } from '../compression-run/compression-plan.js';
import type { Phase, PhasePlan } from '../context/phase-clock.js';
import type { FinetunePlan } from '../recipes/training-schema.js';
import { BEFORE_STAGE } from '../training-run/training-log.js';
import { defined } from '../values.js';

/** Work per image, in forward passes. */
const FACTOR = { load: 0.2, gradients: 1, curves: 4, refit: 3, train: 3, map: 6 } as const;
/** Work that does not depend on the number of images. */
const FIXED = { fold: 10, curves: 2000, refit: 1500, speed: 400 } as const;
/** As in `squeeze/images.ts`, `squeeze/workshop.ts` and `squeeze/goals.ts`, where a plan does not say otherwise. */
const USUAL = { calibration: 2000, mapImages: 64, searched: 6 } as const;

/** How many images each part of a command reads. */
export interface ImageCounts {
  readonly train: number;
  readonly validation?: number;
}

/** The phases of one stage of a training. Features that are kept from an earlier run take no time. */
function trainingPhases(
  { epochs, augment, views }: Pick<FinetunePlan, 'epochs'> & { readonly augment?: unknown; readonly views?: number },
  { train, validation }: ImageCounts,
  prefix: string,
  measuresBefore: boolean,
): Phase[] {
  const phase = (name: string, weight: number): Phase => ({ name: `${prefix}${name}`, weight });
  const cached = augment ? Math.min(views ?? 2, epochs) : 1;
  const phases: Phase[] = [];
  if (validation !== undefined && measuresBefore) phases.push(phase(BEFORE_STAGE, validation));
  for (let epoch = 0; epoch < epochs; epoch++) {
    if (epoch < cached) phases.push(phase(cached > 1 ? `frozen prefix, view ${epoch + 1}` : 'frozen prefix', train));
    phases.push(phase(`epoch ${epoch + 1}/${epochs}`, FACTOR.train * train));
    if (validation !== undefined) phases.push(phase('validate', validation));
  }
  return phases;
}

/** The phases of `train` and `finetune`. `patience` may end it early. */
export function planTraining(stages: readonly FinetunePlan[], counts: ImageCounts, isFresh: boolean): PhasePlan {
  const phases = stages.flatMap(({ epochs, augment, views }, i) =>
    trainingPhases(
      { epochs, augment, ...defined({ views }) },
      counts,
      stages.length > 1 ? `stage ${i + 1}/${stages.length}, ` : '',
      i === 0 && !isFresh,
    ),
  );
  return { phases, atMost: stages.some(({ patience }) => patience !== undefined) };
}

const learning = (plan: Omit<CompressionPlan, 'goal'>, { train, validation = 0 }: ImageCounts): Phase[] => {
  const calibration = Math.min(plan.calibrationImages ?? USUAL.calibration, train);
  return [
    { name: 'fold', weight: FIXED.fold },
    { name: 'evaluate original', weight: validation },
    { name: 'load', weight: FACTOR.load * calibration },
    { name: 'gradients', weight: FACTOR.gradients * calibration },
    { name: 'curves', weight: FIXED.curves + FACTOR.curves * calibration },
  ];
};

/** The phases of one model that is compressed, trained and measured. */
const making = (plan: Omit<CompressionPlan, 'goal'>, counts: ImageCounts): Phase[] => {
  const { train, validation = 0 } = counts;
  const calibration = Math.min(plan.calibrationImages ?? USUAL.calibration, train);
  return [
    { name: 'refit', weight: (FIXED.refit + FACTOR.refit * calibration) * (plan.rounds ?? 1) },
    ...(plan.finetuneEpochs ? trainingPhases({ epochs: plan.finetuneEpochs }, counts, '', true) : []),
    { name: 'evaluate', weight: validation },
    { name: 'maps', weight: FACTOR.map * Math.min(plan.mapImages ?? USUAL.mapImages, validation) },
  ];
};

/** The phases of `compress` to a goal. A goal of what may be lost is searched for: at most so many models are made. */
export function planCompression(plan: CompressionPlan, counts: ImageCounts): PhasePlan {
  const isSearch = plan.goal.kind === 'accuracyDrop' || plan.goal.kind === 'error';
  const models = Array.from({ length: isSearch ? USUAL.searched : 1 }, () => making(plan, counts)).flat();
  return { phases: [...learning(plan, counts), ...models, { name: 'speed', weight: FIXED.speed }], atMost: isSearch };
}

/** The phases of `sweep`, whose models are one phase. */
export function planSweep(plan: Omit<CompressionPlan, 'goal'>, counts: ImageCounts, points: number): PhasePlan {
  const weight = points * making(plan, counts).reduce((sum, phase) => sum + phase.weight, 0);
  return { phases: [...learning(plan, counts), { name: 'points', weight }] };
}

/** The phases of `compare`. */
export function planComparison(images: number, mapImages: number = USUAL.mapImages): PhasePlan {
  return {
    phases: [
      { name: 'evaluate before', weight: images },
      { name: 'evaluate after', weight: images },
      { name: 'maps', weight: FACTOR.map * Math.min(mapImages, images) },
      { name: 'speed', weight: FIXED.speed },
    ],
  };
}
