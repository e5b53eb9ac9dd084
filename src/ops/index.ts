/**
 * The table of operators, the builder that infers types, and the recogniser of scores.
 *
 * @packageDocumentation
 */

export { GraphBuilder, type NodeOptions } from './builder.js';
export type { Contents } from './contents-evaluators.js';
export type { Window } from './convolution.js';
export type { ScoreChoice } from './scores/append.js';
export { type ChosenOutput, chooseOutput } from './scores/choose-output.js';
export {
  describeScores,
  findScores,
  type LabelKind,
  type OutputKind,
  type ScoreKinds,
  type Scores,
  type Task,
} from './scores/scores.js';
export type { AttributeSpec, AttributeSpecs, InferContext, OpSpec, ParsedAttributes } from './spec.js';
export { type AttributesOf, type AttributeValues, type Op, ops } from './table.js';
