import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ops } from '../../src/ops/table.js';
import { rewrittenOperators } from '../../src/passes/upgrade-opset.js';

const text = readFileSync(new URL('../../docs/operators.md', import.meta.url), 'utf8');

/** The list between two comments of this name. */
function listed(name: string): string[] {
  const [, list = ''] = text.split(new RegExp(`<!-- /?${name} -->`));
  return list.split(',').map((op) => op.trim());
}

describe('docs/operators.md', () => {
  it('lists every operator that a graph can hold', () => {
    expect(listed('operators')).toEqual(Object.keys(ops).toSorted());
  });

  it('lists every operator that is written in others', () => {
    expect(listed('rewritten')).toEqual(rewrittenOperators.toSorted());
  });
});
