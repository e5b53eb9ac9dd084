/** Finds words that the project retired, in prose and inside identifiers. The list is the last table of docs/glossary.md. */

/** One word of a text: `squeezeLayer` has two. `word` is in lower case; offsets count from the start of the text. */
const WORD = /[A-Z]+(?![a-z])|[A-Z]?[a-z]+/g;

/** Between two words of one phrase: nothing (`multAdds`), blanks, hyphens, underscores, a bracket, or a line break inside a comment. */
const GAP = /^(?:[ \t_(-]*|[ \t]*\r?\n[ \t]*(?:\/\/|\*|#)?[ \t]*)$/;

/** Splits a text into words, at camelCase humps too. */
export function splitWords(text) {
  return Array.from(text.matchAll(WORD), ({ 0: raw, index }) => ({
    raw,
    word: raw.toLowerCase(),
    start: index,
    end: index + raw.length,
  }));
}

/** Reads an allowed item, such as `"Squeeze" in src/ops/`: phrases, files, or phrases that are allowed in these files only. */
function parseAllowed(item) {
  const phrases = Array.from(item.matchAll(/"([^"]+)"/g), ([, phrase]) => splitWords(phrase));
  const withoutRemarks = item.replace(/"[^"]*"/g, '').replace(/\([^()]*\)/g, '');
  return {
    phrases,
    files: Array.from(withoutRemarks.matchAll(/`([^`]+)`/g), ([, file]) => file),
  };
}

/**
 * Reads the table under `## Retired words` of the glossary.
 *
 * @returns rules `{ phrases, say, allowed }`, one for each row
 * @throws Error where the table is missing or a row has not three cells
 */
export function parseRetiredWords(markdown) {
  const [, section] = markdown.split(/^## Retired words$/m);
  const rows = (section ?? '').split('\n').filter((line) => line.startsWith('|'));
  if (rows.length < 3) throw new Error('docs/glossary.md has no table under "## Retired words".');
  return rows.slice(2).map((row) => {
    const cells = row.split('|').slice(1, -1);
    if (cells.length !== 3) throw new Error(`docs/glossary.md: expected three cells, found ${cells.length}: ${row}`);
    const [retired, say, allowed] = cells.map((cell) => cell.trim());
    return {
      phrases: retired.split(/,\s*/).map(splitWords),
      say,
      allowed: allowed
        .split(/;(?![^(]*\))/)
        .filter((item) => item.trim() !== '')
        .map(parseAllowed),
    };
  });
}

/** Returns whether the words from `at` on are the phrase. A word of the phrase with a capital must be written exactly so. */
function isPhraseAt(text, words, at, phrase) {
  return phrase.every(({ raw, word }, k) => {
    const found = words[at + k];
    if (!found || (raw === word ? found.word !== word : found.raw !== raw)) return false;
    return k === 0 || GAP.test(text.slice(words[at + k - 1].end, found.start));
  });
}

/** Returns whether words `first` to `last` lie inside one occurrence of the phrase. */
function liesInPhrase(text, words, first, last, phrase) {
  for (let at = Math.max(0, last - phrase.length + 1); at <= first; at++) {
    if (isPhraseAt(text, words, at, phrase)) return true;
  }
  return false;
}

const isIn = (file, place) => (place.endsWith('/') ? file.startsWith(place) : file === place);

/**
 * Finds retired words in one file.
 *
 * @param rules see `parseRetiredWords`
 * @param file path from the root of the project, with slashes
 * @returns `{ file, line, word, say }` of each, in order
 */
export function findRetiredWords(rules, file, text) {
  const words = splitWords(text);
  const found = [];
  for (const { phrases, say, allowed } of rules) {
    const exceptions = allowed.filter(({ files }) => files.length === 0 || files.some((place) => isIn(file, place)));
    if (exceptions.some((exception) => exception.phrases.length === 0)) continue;
    for (const phrase of phrases) {
      for (let at = 0; at < words.length; at++) {
        if (words[at].word !== phrase[0].word || !isPhraseAt(text, words, at, phrase)) continue;
        const last = at + phrase.length - 1;
        if (
          exceptions.some((it) =>
            it.phrases.some((allowedPhrase) => liesInPhrase(text, words, at, last, allowedPhrase)),
          )
        )
          continue;
        const { start } = words[at];
        const line = text.slice(0, start).split('\n').length;
        found.push({ file, line, start, word: text.slice(start, words[last].end).replace(/\s+/g, ' '), say });
      }
    }
  }
  return found.sort((a, b) => a.start - b.start);
}
