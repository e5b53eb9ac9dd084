import type { Note } from '../passes/pass.js';

/** Reports a lossless simplification of one node or initializer, or why it was not possible. */
export interface FoldReport {
  readonly node: string;
  readonly folded: boolean;
  readonly text: string;
}

/** Converts a pass's note to the form that the result of `compress` has. */
export function toFoldReport({ node = '', applied, text }: Note): FoldReport {
  return { node, folded: applied, text };
}
