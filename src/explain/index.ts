/**
 * Grad-CAM: layers that have a map, maps, overlays.
 *
 * @packageDocumentation
 */

export { type Explainer, type Explanation, gradCam } from './grad-cam.js';
export { findSpatialLayers, type SpatialLayer } from './layers.js';
export { overlayMap } from './overlay.js';
export type { Grid } from './spatial.js';
