/** `npm run words`: refuses retired words (docs/glossary.md) with file, line and replacement, and exits with 1 where it finds any. */

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

for (const { file, line, word, say } of found) console.log(`${file}:${line}: "${word}" is retired, say: ${say}`);
if (found.length > 0) {
  const counts = new Map();
  for (const { file } of found) {
    const folder = file.split('/').slice(0, 2).join('/');
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  console.log('');
  for (const [folder, count] of counts) console.log(`${String(count).padStart(5)}  ${folder}`);
  console.log(
    `${String(found.length).padStart(5)}  retired words in ${new Set(found.map(({ file }) => file)).size} files`,
  );
  process.exitCode = 1;
} else {
  console.log(`No retired words in ${files.length} files.`);
}
