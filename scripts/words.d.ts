export interface Word {
  readonly raw: string;
  readonly word: string;
  readonly start: number;
  readonly end: number;
}

export interface RetiredWords {
  readonly phrases: readonly (readonly Word[])[];
  readonly say: string;
  readonly allowed: readonly { readonly phrases: readonly (readonly Word[])[]; readonly files: readonly string[] }[];
}

export interface RetiredWord {
  readonly file: string;
  readonly line: number;
  readonly word: string;
  readonly say: string;
}

export function splitWords(text: string): Word[];
export function parseRetiredWords(markdown: string): RetiredWords[];
export function findRetiredWords(rules: readonly RetiredWords[], file: string, text: string): RetiredWord[];
