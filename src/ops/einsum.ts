/** The equations of Einsum: `bij,bjk->bik` multiplies, and adds up over what the output does not name. */
import { ShiboriError } from '../errors.js';
import { broadcastDims } from '../graph/dims.js';
import type { Dim } from '../graph/model.js';
import { range } from '../tensor/dims.js';

/** The label of each axis. Letters stand for themselves; the axes of an ellipsis are `...1`, `...2` from the right. */
export type AxisLabels = readonly string[];

/** An equation with its ellipses spelled out for operands of certain ranks. */
export interface EinsumLabels {
  readonly inputs: readonly AxisLabels[];
  readonly output: AxisLabels;
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const ELLIPSIS = '...';

function spell(term: string, ellipsisAxes: number): string[] {
  const [before = '', after] = term.split(ELLIPSIS);
  if (after === undefined) return [...before];
  return [...before, ...range(ellipsisAxes).map((k) => `${ELLIPSIS}${ellipsisAxes - k}`), ...after];
}

/**
 * Reads an equation.
 *
 * @param ranks how many axes each operand has.
 * @throws ShiboriError for an equation that is malformed or does not fit the operands.
 */
export function parseEinsum(equation: string, ranks: readonly number[]): EinsumLabels {
  const [left = '', right] = equation.replaceAll(' ', '').split('->');
  const terms = left.split(',');
  const fail = (message: string) => new ShiboriError(`equation "${equation}" ${message}.`, { code: 'invalid-graph' });
  if (terms.length !== ranks.length) throw fail(`has ${terms.length} terms for ${ranks.length} inputs`);
  for (const term of [...terms, right ?? '']) {
    if (!/^[a-zA-Z]*(\.\.\.)?[a-zA-Z]*$/.test(term))
      throw fail(`has the term "${term}", which is not letters and "..."`);
  }
  const open = terms.map((term, i) => (ranks[i] ?? 0) - term.replace(ELLIPSIS, '').length);
  const inputs = terms.map((term, i) => {
    const count = open[i] ?? 0;
    if (count < 0 || (count > 0 && !term.includes(ELLIPSIS))) throw fail(`says "${term}" of ${ranks[i]} axes`);
    return spell(term, count);
  });
  const all = inputs.flat();
  const ellipsisAxes = Math.max(0, ...terms.map((term, i) => (term.includes(ELLIPSIS) ? (open[i] ?? 0) : 0)));
  // Without an arrow the output has what occurs once, in alphabetical order.
  const once = [...LETTERS].filter((letter) => all.filter((label) => label === letter).length === 1);
  const output = right === undefined ? spell(`${ELLIPSIS}${once.join('')}`, ellipsisAxes) : spell(right, ellipsisAxes);
  const unknown = output.find((label) => !all.includes(label));
  if (unknown !== undefined) throw fail(`has "${unknown}" in its output but in no input`);
  if (new Set(output).size < output.length) throw fail('names an axis of its output twice');
  return { inputs, output };
}

/** The equation of labels: axes of ellipses get letters that are free. */
export function formatEinsum({ inputs, output }: EinsumLabels): string {
  const used = new Set([...inputs.flat(), ...output]);
  const free = [...LETTERS].filter((letter) => !used.has(letter))[Symbol.iterator]();
  const letters = new Map<string, string>();
  for (const label of used) {
    const letter: string | undefined = LETTERS.includes(label) ? label : free.next().value;
    if (letter === undefined)
      throw new ShiboriError(`An Einsum of ${used.size} different axes has no equation.`, { code: 'invalid-graph' });
    letters.set(label, letter);
  }
  const term = (labels: AxisLabels) => labels.map((label) => letters.get(label) ?? label).join('');
  return `${inputs.map(term).join(',')}->${term(output)}`;
}

/**
 * How long the axis of each label is; an axis of 1 is repeated to the length of the others.
 *
 * @throws ShiboriError for axes of one label that differ.
 */
export function computeEinsumSizes<D extends Dim>(
  inputs: readonly AxisLabels[],
  dims: readonly (readonly D[])[],
): Map<string, D> {
  const sizes = new Map<string, D>();
  for (const [i, labels] of inputs.entries()) {
    for (const [axis, label] of labels.entries()) {
      const size = dims[i]?.[axis];
      if (size === undefined) continue;
      const before = sizes.get(label);
      const both = before === undefined ? [size] : broadcastDims([before], [size]);
      if (!both)
        throw new ShiboriError(`"${label}" stands for axes of ${before} and of ${size}.`, { code: 'invalid-graph' });
      // Broadcasting returns one of the two.
      sizes.set(label, both[0] === size ? size : (before ?? size));
    }
  }
  return sizes;
}
