import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test } from 'vitest';

interface ImportRules {
  readonly forbidden: readonly { readonly name: string; readonly comment?: string }[];
}

const rules: ImportRules = createRequire(import.meta.url)('../../.dependency-cruiser.cjs');
const text = readFileSync('docs/architecture.md', 'utf8');
const [, table = ''] = text.split(/<!-- \/?folders -->/);

/** `[folder, imports]` of each row of the table. */
const documented = table
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, folder = '', , imports = '']) => [folder.replace(/[`/]/g, ''), imports]);

test('The table of folders has the imports that the checks allow, in their order', () => {
  const allowed = rules.forbidden
    .map(({ comment }) => comment?.match(/^src\/(\S+) may import: (.*)$/))
    .filter((match) => match !== null && match !== undefined)
    .map(([, folder, imports]) => [folder, imports === 'nothing' ? '–' : imports]);
  expect(documented).toEqual(allowed);
});

test('Every folder of src has a row', () => {
  const folders = readdirSync('src', { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(documented.map(([folder]) => folder).toSorted()).toEqual(folders.map(({ name }) => name).toSorted());
});

test('Every file that the page names exists', () => {
  const roots = documented.map(([folder]) => folder).join('|');
  const places = Array.from(text.matchAll(new RegExp(`\`((?:${roots})/[^\`]+)\``, 'g')), ([, place]) => place ?? '');
  expect(places.length).toBeGreaterThan(20);
  expect(places.filter((place) => !existsSync(`src/${place}`))).toEqual([]);
});
