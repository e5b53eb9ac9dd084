/**
 * Accuracy, agreement of maps, pointing game.
 *
 * @packageDocumentation
 */

export type { LabelKind } from '../ops/scores/scores.js';
export { type Accuracy, type AccuracyCounts, computeAccuracy, countAccuracy } from './accuracy.js';
export { type Agreement, measureAgreement, type Pixels } from './agreement.js';
export { pearson } from './pearson.js';
export { pointingGame } from './pointing-game.js';
