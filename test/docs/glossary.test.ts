import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const glossary = readFileSync('docs/glossary.md', 'utf8').split('## Retired words')[0] ?? '';
/** `[term, meaning, in the code, instead of]` of each row. */
const rows = glossary
  .split('\n')
  .filter((line) => /^\| (?!term|---)/.test(line))
  .map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '').trim()));

test('The glossary explains at least sixty terms, each once and with a place in the code', () => {
  const terms = rows.map(([term]) => term);
  expect(terms.length).toBeGreaterThanOrEqual(60);
  expect(new Set(terms).size).toBe(terms.length);
  expect(rows.filter(([, meaning, place]) => !meaning?.endsWith('.') || !/`src\//.test(place ?? ''))).toEqual([]);
});

test('Every file and folder that the glossary names exists', () => {
  const places = Array.from(glossary.matchAll(/`(src\/[^`]+)`/g), ([, place]) => place ?? '');
  expect(places.filter((place) => !existsSync(place))).toEqual([]);
});
