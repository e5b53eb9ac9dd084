import type { Command } from 'commander';
import type { RunContext } from '../context/run-context.js';
import { defined } from '../values.js';
import { describeCommand } from './command-line.js';
import { buildInterruptedFailure, EXIT } from './failure.js';
import {
  describeInterruption,
  formatInterruption,
  type Interruption,
  type InterruptionReport,
} from './interruption.js';
import type { CommonOptions } from './options.js';
import { createProcessOutput, type Output, printJson } from './output.js';
import { createProgress } from './terminal/progress.js';

/** Describes where a command prints, and the context its workflow runs in: progress, warnings, Ctrl-C. */
export interface RunningCommand {
  readonly output: Output;
  readonly context: RunContext;
  /** Ends the progress line that is shown, as completed. */
  finish(): void;
}

/** Sets the time in which a command that saves its results on the way must end after Ctrl-C. */
const GRACE_MS = 4000;

/** The command that runs in this process. */
let running: { readonly interruption: Interruption; clear(): void } | undefined;

/** Clears the progress line of the running command: something else is to be printed. */
export function clearProgress(): void {
  running?.clear();
}

/** What to report when the running command is interrupted. */
export function reportInterruption(): InterruptionReport {
  return describeInterruption(running?.interruption ?? { resume: 'none' });
}

/** Ends the process as an interrupted one, at once. */
function exitInterrupted(json: boolean): never {
  clearProgress();
  const report = reportInterruption();
  if (json) printJson({ error: buildInterruptedFailure(report).error });
  process.stderr.write(`${formatInterruption(report)}\n`);
  process.exit(EXIT.interrupted);
}

/**
 * Starts a command: its output, its progress and its reaction to Ctrl-C.
 *
 * @param interruption what Ctrl-C leaves of it. Default: nothing, and it ends at once.
 */
export function startCommand(
  command: Command,
  options: CommonOptions,
  interruption: Interruption = { resume: 'none' },
): RunningCommand {
  const silent = options.json === true || options.quiet === true;
  const progress = createProgress({ stream: silent ? undefined : process.stderr, name: command.name() });
  const output = createProcessOutput(options, (text) => {
    if (silent) process.stderr.write(`${text}\n`);
    else progress.print(text);
  });
  const clear = () => progress.end('cleared');
  running = { interruption, clear };
  const controller = new AbortController();
  const interrupt = () => {
    // The first Ctrl-C lets a command that can be resumed save what it has; the second ends the process at once.
    if (controller.signal.aborted || interruption.resume === 'none') exitInterrupted(output.json);
    clear();
    output.note('Stopping … (Ctrl-C again: at once)');
    controller.abort();
    // Results that are saved on the way are whole at any time; only a training has something to save at the end.
    if (interruption.resume === 'same') setTimeout(() => exitInterrupted(output.json), GRACE_MS).unref();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  process.stderr.on('resize', () => progress.redraw());
  return {
    output,
    finish: () => progress.end('completed'),
    context: {
      onProgress: (event) => {
        if (!controller.signal.aborted) progress.update(event);
      },
      onPhases: (plan) => progress.plan(plan),
      onWarning: (text) => output.warn(text),
      onNote: (text) => output.note(`note: ${text}`),
      command: describeCommand(process.argv),
      signal: controller.signal,
      ...defined({ threads: options.threads, workers: options.workers }),
    },
  };
}
