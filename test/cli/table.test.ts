import { describe, expect, it } from 'vitest';
import { measureTextWidth } from '../../src/cli/terminal/text-width.js';
import { formatTable, wrapText } from '../../src/cli/terminal-table.js';
import { groupByReason, listNames } from '../../src/evaluation/group-reasons.js';

const HEADER = ['layer', 'scheme', 'ranks', 'parameters', 'left', 'bytes', 'latency'];
const ROWS = [
  ['features.denseblock1.denselayer1.conv1', 'tucker2', '24,48', '36,864 → 9,120', '24.7 %', '24.9 %', '88.0 %'],
  ['classifier', 'svd', '102', '1,024,000 → 206,448', '20.2 %', '20.2 %', '–'],
];
const widest = (text: string) => Math.max(...text.split('\n').map(measureTextWidth));

describe('a table', () => {
  it('that fits is printed whole: texts to the left, numbers to the right', () => {
    expect(
      formatTable(
        ['name', 'size'],
        [
          ['a', '1'],
          ['long', '1,000'],
        ],
        { width: 80 },
      ),
    ).toBe(['name   size', '───────────', 'a         1', 'long  1,000'].join('\n'));
  });

  it.each([120, 80, 60, 40, 30])('fits a terminal of %i columns', (width) => {
    const text = formatTable(HEADER, ROWS, { width, optional: ['bytes', 'latency'] });
    expect(widest(text)).toBeLessThanOrEqual(width);
  });

  it('leaves out optional columns first, and says which', () => {
    const text = formatTable(HEADER, ROWS, { width: 95, optional: ['bytes', 'latency'] });
    expect(text.split('\n')[0]).toMatch(/latency$/);
    expect(text).not.toMatch(/24\.9 %/);
    expect(text).toMatch(/\nNot shown at this width: bytes\.$/);
  });

  it('wraps texts where the columns that are left are still too wide', () => {
    const text = formatTable(['layer', 'reason'], [['conv', 'every form of the layer is larger than the layer']], {
      width: 30,
    });
    expect(text).toBe(
      [
        'layer  reason',
        '──────────────────────────────',
        'conv   every form of the layer',
        '       is larger than the',
        '       layer',
      ].join('\n'),
    );
  });

  it('becomes blocks of lines where numbers alone are too wide', () => {
    const text = formatTable(
      ['a number', 'another'],
      [
        ['123,456,789', '987,654,321'],
        ['1', '2'],
      ],
      { width: 21 },
    );
    expect(text).toBe(['a number  123,456,789', 'another   987,654,321', '', 'a number  1', 'another   2'].join('\n'));
  });

  it('is printed whole where output is no terminal', () => {
    expect(widest(formatTable(HEADER, ROWS))).toBe(100);
  });

  it('aligns by columns of the terminal, not by characters', () => {
    const [, , first, second] = formatTable(
      ['name', 'n'],
      [
        ['絞り', '1'],
        ['abcd', '2'],
      ],
      { width: 80 },
    ).split('\n');
    expect(measureTextWidth(first ?? '')).toBe(measureTextWidth(second ?? ''));
  });

  it('breaks words and paths that are longer than a line', () => {
    expect(wrapText('features.denseblock1.denselayer1', 12)).toEqual(['features.', 'denseblock1.', 'denselayer1']);
    expect(wrapText('abcdefghijkl', 5)).toEqual(['abcde', 'fghij', 'kl']);
    expect(wrapText('', 5)).toEqual(['']);
  });
});

describe('a reason that applies to many layers', () => {
  it('is printed once, with the layers', () => {
    const groups = groupByReason([
      { name: 'a', reason: 'too small' },
      { name: 'b', reason: 'depthwise' },
      { name: 'c', reason: 'too small' },
    ]);
    expect([...groups]).toEqual([
      ['too small', ['a', 'c']],
      ['depthwise', ['b']],
    ]);
  });

  it('with many layers it counts those that are not named', () => {
    expect(listNames(['a', 'b'])).toBe('a, b');
    expect(listNames(Array.from({ length: 7 }, (_, i) => `l${i}`))).toBe('l0, l1, l2, l3, l4, l5, l6');
    expect(listNames(Array.from({ length: 50 }, (_, i) => `l${i}`))).toBe('l0, l1, l2, l3, l4, l5 and 44 more');
  });
});
