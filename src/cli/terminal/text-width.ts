import { stripVTControlCharacters } from 'node:util';

/** Characters that take two columns of a terminal: East Asian wide ones and emoji. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
/** Marks that are drawn over the character before them. */
const NO_WIDTH = /\p{Mn}|\p{Me}|\u200b|\u200c|\u200d/u;

const getCharacterWidth = (character: string): number => (NO_WIDTH.test(character) ? 0 : WIDE.test(character) ? 2 : 1);

/** Columns that a text takes on a terminal. Escape sequences take none. */
export function measureTextWidth(text: string): number {
  let width = 0;
  for (const character of stripVTControlCharacters(text)) width += getCharacterWidth(character);
  return width;
}

/** The beginning of a text without escape sequences, cut to so many columns and marked with `…`. */
export function shorten(text: string, columns: number): string {
  if (measureTextWidth(text) <= columns) return text;
  let width = 0;
  let kept = '';
  for (const character of text) {
    width += getCharacterWidth(character);
    if (width > columns - 1) break;
    kept += character;
  }
  return columns < 1 ? '' : `${kept}…`;
}
