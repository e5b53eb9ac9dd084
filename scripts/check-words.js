/**
 * `npm run words`: refuses retired words (docs/glossary.md) with file, line and replacement. Folders of
 * `retired-words-left.json` have words from before this check; their number may only fall. `--all` lists these, too.
 */

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findRetiredWords, parseRetiredWords } from './words.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const GLOSSARY = 'docs/glossary.md';
const PLACES = ['src', 'examples', 'docs', 'recipes', 'README.md', 'CONTRIBUTING.md', 'SECURITY.md'];
const TEXT = /\.(?:ts|js|mjs|cjs|md|ya?ml|html|css)$/;

/** Lists the text files of a file or folder, as paths from the root. */
function listTexts(place) {
  const path = join(ROOT, place);
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return TEXT.test(place) ? [place] : [];
  return readdirSync(path)
    .filter((name) => name !== 'node_modules')
    .sort()
    .flatMap((name) => listTexts(`${place}/${name}`));
}

const rules = parseRetiredWords(readFileSync(join(ROOT, GLOSSARY), 'utf8'));
const files = PLACES.flatMap(listTexts).filter((file) => file !== GLOSSARY && !file.startsWith('docs/api/'));
const found = files.flatMap((file) => findRetiredWords(rules, file, readFileSync(join(ROOT, file), 'utf8')));

/** Counts the words that were in each folder when the check began: none may be added, and the file loses what is cleaned. */
const left = JSON.parse(readFileSync(join(ROOT, 'scripts/retired-words-left.json'), 'utf8'));
const isStrict = process.argv.includes('--all');
const getFolder = (file) => file.split('/').slice(0, 2).join('/');
const counts = new Map();
for (const { file } of found) counts.set(getFolder(file), (counts.get(getFolder(file)) ?? 0) + 1);
const over = [...counts].filter(([folder, count]) => count > (left[folder] ?? 0)).map(([folder]) => folder);
const cleaned = Object.entries(left).filter(([folder, count]) => (counts.get(folder) ?? 0) < count);

for (const { file, line, word, say } of found) {
  if (isStrict || over.includes(getFolder(file))) console.log(`${file}:${line}: "${word}" is retired, say: ${say}`);
}
for (const [folder, count] of counts) {
  console.log(`${String(count).padStart(5)} of ${left[folder] ?? 0} allowed  ${folder}`);
}
for (const [folder] of cleaned) {
  console.log(
    `${folder} has ${counts.get(folder) ?? 0} retired words now: write that into scripts/retired-words-left.json.`,
  );
}
console.log(`${found.length} retired words in ${files.length} files.`);
if (over.length > 0 || cleaned.length > 0) process.exitCode = 1;
