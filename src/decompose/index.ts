/**
 * Decomposes one weight: tensor trains, and layers that compute with their cores.
 *
 * @packageDocumentation
 */

export { type ContractionPlan, type ContractionStep, type NetworkTensor, planContraction } from './contraction.js';
export { decomposeLinear, type LinearTrain, replaceLinears, withExecution } from './decompose-linear.js';
export type { TtLayout, TtRequest } from './modes.js';
export { type ClippedRank, type Core, type TruncatedTrain, ttSvd } from './tensor-train.js';
export type { ContractionAim, Execution, TtDescriptor, TtLayer } from './tt-layer.js';
