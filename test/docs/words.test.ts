import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { findRetiredWords, parseRetiredWords } from '../../scripts/words.js';

const rules = parseRetiredWords(`# Glossary

## Retired words

| retired | say | allowed |
| --- | --- | --- |
| squeeze, squeezes | compress | "Squeeze" in \`src/ops/\` (the ONNX operator); "squeeze and excitation"; "SqueezeNet" |
| bond, bonds | rank | \`src/cli/renamed.ts\` (old options; still read) |
| mult adds, multiply adds | MACs | "mult-adds (MACs)" |
| moments | covariance | "second moments" |
`);

const find = (text: string, file = 'src/a/b.ts') =>
  findRetiredWords(rules, file, text).map(({ line, word, say }) => `${line} ${word} → ${say}`);

test('A retired word is found with its line and its replacement', () => {
  expect(find('first\n// it squeezes a layer')).toEqual(['2 squeezes → compress']);
});

test('A retired word is found in any case and inside identifiers', () => {
  expect(find('squeezeLayer; bondEnergies; multAdds; BONDS; my_bond; TtBond')).toEqual([
    '1 squeeze → compress',
    '1 bond → rank',
    '1 multAdds → MACs',
    '1 BONDS → rank',
    '1 bond → rank',
    '1 Bond → rank',
  ]);
});

test('A phrase is found with hyphens and across a line break inside a comment', () => {
  expect(find('multiply-adds\n// multiply\n   * adds')).toEqual(['1 multiply-adds → MACs', '2 multiply * adds → MACs']);
});

test('Words that only contain a retired one are not found', () => {
  expect(find('Unsqueeze, unsqueeze, bondage, multiply it, adds')).toEqual([]);
});

test('A phrase with capitals is allowed only as it is written, and only in its files', () => {
  expect(find('Squeeze: same', 'src/ops/shape.ts')).toEqual([]);
  expect(find('squeeze: same', 'src/ops/shape.ts')).toEqual(['1 squeeze → compress']);
  expect(find('Squeeze: same', 'src/cli/main.ts')).toEqual(['1 Squeeze → compress']);
});

test('Allowed phrases hide only the words inside them', () => {
  expect(find('SqueezeNet has no squeeze-and-excitation blocks')).toEqual([]);
  expect(find('second moments, secondMoments, moments')).toEqual(['1 moments → covariance']);
  expect(find('mult-adds (MACs); mult-adds')).toEqual(['1 mult-adds → MACs']);
});

test('An allowed file may use the word', () => {
  expect(find("'--bonds'", 'src/cli/renamed.ts')).toEqual([]);
  expect(find("'--bonds'", 'src/cli/main.ts')).toEqual(['1 bonds → rank']);
});

test('A table that cannot be read is an error', () => {
  expect(() => parseRetiredWords('# Glossary')).toThrow('no table');
  expect(() => parseRetiredWords('## Retired words\n| a | b |\n| - | - |\n| c | d |')).toThrow('expected three cells');
});

test('The table of the glossary is read, and refuses what it lists', () => {
  const real = parseRetiredWords(readFileSync('docs/glossary.md', 'utf8'));
  expect(findRetiredWords(real, 'src/a.ts', 'const multAdds = squeeze(bonds)').map(({ word }) => word)).toEqual([
    'multAdds',
    'squeeze',
    'bonds',
  ]);
});
