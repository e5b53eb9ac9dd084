/*
 * The "jet" colours of MATLAB, Octave and OpenCV, for x in 0…1:
 *   red, green, blue = clamp(3/2 − |4x − c|, 0, 1) with c = 3, 2, 1
 * Each level of the 256-entry table is rounded half to even, as OpenCV converts it.
 */
import { roundHalfToEven } from '../tensor/round.js';

/**
 * OpenCV's `COLORMAP_JET`: 256 RGB triples (768 bytes), from dark blue through green to dark red. Equal to OpenCV's own
 * table but for the blue of entry 159, where its float32 arithmetic gives 1 instead of 2.
 */
export const JET: Uint8Array = Uint8Array.from({ length: 256 * 3 }, (_, at) => {
  const centre = 3 - (at % 3);
  // Scaled by 255, so that every value is exact and the halves are real halves.
  return roundHalfToEven(Math.min(Math.max(382.5 - Math.abs(4 * Math.floor(at / 3) - 255 * centre), 0), 255));
});
