import { describe, expect, it } from 'vitest';
import type { ImageSource } from '../../src/data/image-items.js';
import { UsageError } from '../../src/errors.js';
import { listOutputNames, mapLabels } from '../../src/evaluation/label-map.js';
import { GraphBuilder } from '../../src/ops/builder.js';

function model(classes: number, names?: readonly string[]) {
  const b = new GraphBuilder();
  b.output(b.op('Identity', [b.input('scores', 'float32', ['N', classes])]));
  return { graph: b.build('scores'), info: names ? { classes: names } : {} };
}

const source = (...classes: (string | [id: string, name: string])[]): ImageSource => ({
  name: 'folders',
  items: [],
  classes: classes.map((entry) =>
    typeof entry === 'string' ? { id: entry, name: entry } : { id: entry[0], name: entry[1] },
  ),
  read: async () => new Uint8Array(0),
});
const names = ['tench, Tinca tinca', 'goldfish', 'crane', 'crane, machine', 'tabby, tabby cat'];

describe('labelMap', () => {
  it('numbers classes by position where there are as many as outputs', () => {
    expect(mapLabels(model(3), source('a', 'b', 'c'))).toEqual({ outputs: [0, 1, 2], by: 'position' });
    // Digits are sorted as text, as PyTorch's ImageFolder numbers them.
    expect(mapLabels(model(3), source('0', '1', '10')).outputs).toEqual([0, 1, 2]);
  });

  it('lets names decide where all of them are the model’s: whole, by synonym, in any case', () => {
    expect(mapLabels(model(3, ['a', 'b', 'c']), source('c', 'a', 'b'))).toEqual({ outputs: [2, 0, 1], by: 'name' });
    const few = source('Tabby_Cat', ['n01443537', 'goldfish'], 'tench', 'crane');
    expect(mapLabels(model(5, names), few)).toEqual({ outputs: [4, 1, 0, 2], by: 'name' });
  });

  it('takes folders called by numbers for outputs', () => {
    expect(mapLabels(model(1000), source('281', '967'))).toEqual({ outputs: [281, 967], by: 'number' });
    expect(mapLabels(model(5, names), source('4', '1')).by).toBe('number');
  });

  it('warns where nothing tells which outputs the classes are', () => {
    const unnamed = mapLabels(model(1000), source('n01443537', 'n02123045'));
    expect(unnamed).toMatchObject({ outputs: [0, 1], by: 'position' });
    expect(unnamed.warning).toMatch(/2 classes, the model 1000.*not known.*outputs 0 to 1/);
    expect(mapLabels(model(5, names), source('goldfish', 'koi')).warning).toMatch(/no class called "koi"/);
    expect(mapLabels(model(5, names), source('281', '967')).by).toBe('position');
  });

  it('refuses more classes than outputs', () => {
    expect(() => mapLabels(model(2), source('a', 'b', 'c'))).toThrow(UsageError);
  });

  it('names outputs as the data set does where it has them', () => {
    expect(listOutputNames(model(5, names), source('tabby'))).toEqual([...names.slice(0, 4), 'tabby']);
    expect(listOutputNames(model(3), source('a', 'b', 'c'))).toEqual(['a', 'b', 'c']);
  });
});
