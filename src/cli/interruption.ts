import { basename, extname, join } from 'node:path';
import { buildResumeArguments, describeProgram, quoteWord } from './command-line.js';

/** What is left of a command when it is interrupted. */
export interface Interruption {
  /**
   * `same`: the same command resumes; `option`: the same command with `--resume`; `none`: nothing is saved on the way.
   */
  readonly resume: 'same' | 'option' | 'none';
  /** What was saved, and where: `Intermediate results are in shibori-out/compress/vgg16.` */
  readonly saved?: string;
}

/** What to report of an interrupted command. */
export interface InterruptionReport {
  readonly message: string;
  /** The command line that resumes it, where there is one. */
  readonly resume?: string;
}

/** Returns the work folder of a command, as its workflow chooses it. */
export function getWorkFolder(command: string, model: string, wanted: string | undefined): string {
  return wanted ?? join('shibori-out', command, basename(model, extname(model)));
}

/** Describes an interrupted command to people and programs. */
export function describeInterruption({ resume, saved }: Interruption): InterruptionReport {
  const [, script = 'shibori', ...args] = process.argv;
  const message = saved ?? (resume === 'none' ? 'Nothing was saved.' : 'What was done so far is saved.');
  if (resume === 'none') return { message };
  const words = buildResumeArguments(args, resume === 'option').map(quoteWord);
  return { message, resume: [describeProgram(script, process.cwd()), ...words].join(' ') };
}

/** The report as it is printed after Ctrl-C. */
export function formatInterruption({ message, resume }: InterruptionReport): string {
  return [`Interrupted. ${message}`, ...(resume === undefined ? [] : ['Resume with:', `  ${resume}`])].join('\n');
}
