import { readdirSync, readFileSync } from 'node:fs';

/** Holds a fenced block of a Markdown file. */
export interface CodeBlock {
  readonly file: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  readonly language: string;
  readonly code: string;
  /** Whether `<!-- run -->` stands above it: it runs as it is written. */
  readonly runs: boolean;
}

/** Lists the documents of the project, the changelog left out. */
export const documents: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** Reads the fenced blocks of a file. */
export function readCodeBlocks(file: string): CodeBlock[] {
  const text = readFileSync(file, 'utf8');
  return Array.from(text.matchAll(/(<!-- run -->\n+)?^```(\w*)\n([\s\S]*?)^```$/gm), (match) => {
    const [, mark, language = '', code = ''] = match;
    const line = text.slice(0, match.index + (mark?.length ?? 0)).split('\n').length;
    return { file, line, language, code, runs: mark !== undefined };
  });
}

/** Lists the calls `npx shibori …` of a shell block as words, comments and line continuations removed. */
export function listShiboriCalls(code: string): string[][] {
  return code
    .replace(/\\\n\s*/g, ' ')
    .split('\n')
    .map((line) => line.replace(/\s#.*$/, '').trim())
    .filter((line) => line.startsWith('npx shibori '))
    .map((line) => (line.match(/'[^']*'|\S+/g) ?? []).slice(2).map((word) => word.replace(/^'|'$/g, '')));
}
