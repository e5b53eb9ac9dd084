import { basename, relative, sep } from 'node:path';

/** Quotes a word for a POSIX shell, where it needs quotes. */
export function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** How this program was called: `shibori`, `npx shibori` or `node dist/cli/main.js`. */
export function describeProgram(script: string, folder: string): string {
  if (basename(script) !== 'shibori') return `node ${quoteWord(relative(folder, script))}`;
  return script.includes(`${sep}node_modules${sep}.bin${sep}`) || script.includes(`${sep}_npx${sep}`)
    ? 'npx shibori'
    : 'shibori';
}

/**
 * The command line of a call that resumes this one: the same, with `--resume` where the command needs it, and without what
 * would start over.
 *
 * @param args of the process, after the name of the script.
 */
export function buildResumeArguments(args: readonly string[], withResume: boolean): string[] {
  const kept = args.filter((arg) => arg !== '--fresh');
  if (!withResume || kept.includes('--resume')) return kept;
  const end = kept.indexOf('--');
  return end < 0 ? [...kept, '--resume'] : kept.toSpliced(end, 0, '--resume');
}

/** Whether JSON was asked for; known before, and even if, the options are parsed. */
export function hasJsonOption(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return (end < 0 ? args : args.slice(0, end)).includes('--json');
}

/** The command line of this process, as it can be pasted into a shell. */
export function describeCommand([, script = '', ...args]: readonly string[]): string {
  return [describeProgram(script, process.cwd()), ...args.map(quoteWord)].join(' ');
}
