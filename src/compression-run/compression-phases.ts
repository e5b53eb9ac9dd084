/**
 * Phases of compressions and sweeps, for an estimate of the time left. Weights are forward passes of one image; the factors
 * are rough measurements of VGG16 and ResNet-20 on two cores. An estimate corrects them by the time that phases take.
 */

import type { Phase, PhasePlan } from '../context/phase-clock.js';
import { type ImageCounts, planTrainingPhases } from '../training-run/training-phases.js';
import type { CompressionPlan, CompressionSettings } from './compression-plan.js';
import { DEFAULT_MAP_IMAGES } from './compression-session.js';

/** Work per image, in forward passes. */
const WORK_PER_IMAGE = { load: 0.2, gradients: 1, curves: 4, refit: 3, map: 6 } as const;
/** Work that does not depend on the number of images. */
const FIXED_WORK = { fold: 10, curves: 2000, refit: 1500, speed: 400 } as const;
/** Calibration images where a plan gives no number, and candidates of a search. */
const DEFAULT_COUNTS = { calibration: 2000, searched: 6 } as const;

function listAnalysisPhases(settings: CompressionSettings, { train, validation = 0 }: ImageCounts): Phase[] {
  const calibration = Math.min(settings.calibrationImages ?? DEFAULT_COUNTS.calibration, train);
  return [
    { name: 'fold', weight: FIXED_WORK.fold },
    { name: 'evaluate original', weight: validation },
    { name: 'load', weight: WORK_PER_IMAGE.load * calibration },
    { name: 'gradients', weight: WORK_PER_IMAGE.gradients * calibration },
    { name: 'curves', weight: FIXED_WORK.curves + WORK_PER_IMAGE.curves * calibration },
  ];
}

/** Lists the phases of one model that is compressed, trained and measured. */
function listCandidatePhases(settings: CompressionSettings, counts: ImageCounts): Phase[] {
  const { train, validation = 0 } = counts;
  const calibration = Math.min(settings.calibrationImages ?? DEFAULT_COUNTS.calibration, train);
  return [
    { name: 'refit', weight: (FIXED_WORK.refit + WORK_PER_IMAGE.refit * calibration) * (settings.rounds ?? 1) },
    ...(settings.finetuneEpochs
      ? planTrainingPhases({ epochs: settings.finetuneEpochs, measuresBefore: true }, counts)
      : []),
    { name: 'evaluate', weight: validation },
    { name: 'maps', weight: WORK_PER_IMAGE.map * Math.min(settings.mapImages ?? DEFAULT_MAP_IMAGES, validation) },
  ];
}

/** Plans the phases of `compress` to a goal. A limit of the loss is searched for: up to six models are made. */
export function planCompression(plan: CompressionPlan, counts: ImageCounts): PhasePlan {
  const isSearch = plan.goal.kind === 'accuracyDrop' || plan.goal.kind === 'error';
  const models = Array.from({ length: isSearch ? DEFAULT_COUNTS.searched : 1 }, () =>
    listCandidatePhases(plan, counts),
  ).flat();
  return {
    phases: [...listAnalysisPhases(plan, counts), ...models, { name: 'speed', weight: FIXED_WORK.speed }],
    atMost: isSearch,
  };
}

/** Plans the phases of `sweep`; all of its models are one phase. */
export function planSweep(settings: CompressionSettings, counts: ImageCounts, points: number): PhasePlan {
  const weight = points * listCandidatePhases(settings, counts).reduce((sum, phase) => sum + phase.weight, 0);
  return { phases: [...listAnalysisPhases(settings, counts), { name: 'points', weight }] };
}
