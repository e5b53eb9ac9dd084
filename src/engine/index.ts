/**
 * Engines that run graphs, and the slow reference engine that tests compare with.
 *
 * @packageDocumentation
 */

export { type Engine, type NamedTensors, runOnce, type Session } from './engine.js';
export { type EngineProducts, engineProducts } from './matrix-products.js';
export { referenceEngine } from './reference.js';
export { type WebEngineOptions, webEngine } from './web.js';
