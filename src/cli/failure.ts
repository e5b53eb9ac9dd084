import { CommanderError } from 'commander';
import pc from 'picocolors';
import { ShiboriError, UsageError } from '../errors.js';
import { defined } from '../values.js';
import type { InterruptionReport } from './interruption.js';
import { toFlag, withFlags } from './option-names.js';

/** Exit codes: 1 something went wrong, 2 the command was called wrongly, 130 it was interrupted. */
export const EXIT = { failed: 1, misused: 2, interrupted: 130 } as const;

/** An error as `--json` prints it, under the key `error`. */
export interface JsonError {
  /** `usage`: called wrongly; `failed`: a file or a result is not as it should be; `internal`: a fault of this program. */
  readonly code: 'usage' | 'failed' | 'internal' | 'interrupted';
  readonly message: string;
  /** Option that the error is about, as its flag. */
  readonly option?: string;
  /** File that was read or written. */
  readonly file?: string;
  /** Node of a graph, by name. */
  readonly node?: string;
  /** Where an internal error comes from. */
  readonly stack?: string;
  /** The command line that resumes an interrupted command. */
  readonly resume?: string;
}

/** An error by its kind. */
export interface Failure {
  readonly error: JsonError;
  readonly exitCode: number;
}

/** Prefix of commander's messages, which the code says already. */
const COMMANDER_PREFIX = /^error: /;

/** Sorts an error by its kind. */
export function describeFailure(error: unknown): Failure {
  if (error instanceof CommanderError) {
    const message = error.message.replace(COMMANDER_PREFIX, '');
    return { error: { code: 'usage', message }, exitCode: EXIT.misused };
  }
  if (error instanceof ShiboriError) {
    const { file, node, option } = error;
    const subject = defined({ option: option === undefined ? undefined : toFlag(option), file, node });
    const isUsage = error instanceof UsageError;
    return {
      error: { code: isUsage ? 'usage' : 'failed', message: withFlags(error.message), ...subject },
      exitCode: isUsage ? EXIT.misused : EXIT.failed,
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {};
  return { error: { code: 'internal', message, ...stack }, exitCode: EXIT.failed };
}

/** The failure of an interrupted command. */
export function buildInterruptedFailure(report: InterruptionReport): Failure {
  return { error: { code: 'interrupted', ...report }, exitCode: EXIT.interrupted };
}

/** An error for people. The stack of an internal one is what a bug report needs. */
export function formatFailure({ error }: Failure): string {
  const label = process.stderr.isTTY ? pc.red('error:') : 'error:';
  return `${label} ${error.stack ?? error.message}`;
}
