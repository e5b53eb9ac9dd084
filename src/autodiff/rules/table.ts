import type { Op } from '../../ops/table.js';
import type { Rules } from '../rule.js';

/** The rule of every operator: a missing one does not compile. */
export const rules = {} as Rules<Op>;
