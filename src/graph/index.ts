/**
 * Graphs, nodes and values; modules and parameters; the builder of graphs is in `shibori/ops`.
 *
 * @packageDocumentation
 */

export type { Attribute, Dim, Graph, Model, Node, ValueType } from './model.js';
export { type ModelDescription, Value } from './model.js';
export { findLayer, type Layer, listLayers, matchesPattern } from './module-path.js';
export { listParameters, type Parameter } from './parameters.js';
