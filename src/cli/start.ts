import { createProgress, type Progress } from '../node/progress.js';
import type { ProgressEvent, VerbContext } from '../verbs/context.js';
import type { CommonOptions } from './options.js';
import { type Output, processOutput } from './output.js';

/** Where a command prints, and the context its verb runs in: progress bars, warnings, Ctrl-C. */
export interface Running {
  readonly output: Output;
  readonly context: VerbContext;
  /** Ends the progress bar that is being shown. */
  finish(): void;
}

/** Starts a command: its output, its progress and its reaction to Ctrl-C. */
export function start(options: CommonOptions): Running {
  const output = processOutput(options);
  const silent = options.json === true || options.quiet === true;
  let bar: Progress | undefined;
  let stage = '';
  const finish = () => {
    bar?.done();
    bar = undefined;
    stage = '';
  };
  const controller = new AbortController();
  const interrupt = () => {
    // The first Ctrl-C lets the job save what it has; the second ends the process at once.
    if (controller.signal.aborted) process.exit(130);
    output.note('\nStopping after this step (press Ctrl-C again to quit at once) …');
    controller.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  const onProgress = (event: ProgressEvent) => {
    if (silent) return;
    if (event.stage !== stage) {
      finish();
      stage = event.stage;
      bar = createProgress({ stream: process.stderr, label: event.stage, total: event.total });
    }
    bar?.update(event.done, event.fields ?? {});
    if (event.done >= event.total) finish();
  };
  return {
    output,
    finish,
    context: {
      onProgress,
      onWarning: (text) => output.warn(text),
      onNote: (text) => output.note(`note: ${text}`),
      signal: controller.signal,
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      ...(options.workers === undefined ? {} : { workers: options.workers }),
    },
  };
}
