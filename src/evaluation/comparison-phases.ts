import type { PhasePlan } from '../context/phase-clock.js';

/** Work of the two maps of one image, in forward passes. */
const MAP_WORK = 6;
/** Work of measuring the latencies, in forward passes. */
const SPEED_WORK = 400;

/** Plans the phases of `compare`, weighted by forward passes of one image. */
export function planComparison(images: number, mapImages = 64): PhasePlan {
  return {
    phases: [
      { name: 'evaluate before', weight: images },
      { name: 'evaluate after', weight: images },
      { name: 'maps', weight: MAP_WORK * Math.min(mapImages, images) },
      { name: 'speed', weight: SPEED_WORK },
    ],
  };
}
