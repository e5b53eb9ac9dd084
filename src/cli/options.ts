import { type Command, InvalidArgumentError } from 'commander';
import type { OpenOptions } from '../node/model-file.js';
import { createProgress, type Progress } from '../node/progress.js';
import type { ProgressEvent, VerbContext } from '../verbs/context.js';
import type { DataOptions } from '../verbs/dataset.js';
import { type Output, processOutput } from './output.js';
import { type PreprocessFlags, preprocessOptions, withPreprocess } from './preprocess-options.js';

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly threads?: number;
  readonly workers?: number;
}

/** Options of commands that read a model. */
export interface ModelOptions extends PreprocessFlags {
  readonly arch?: string;
  readonly input?: readonly number[];
}

/** Options of commands that read images. */
export interface ImageOptions {
  readonly data?: string;
  readonly split?: string;
  readonly randomSplit?: DataOptions['randomSplit'];
  readonly limit?: number;
}

/** Parses `112,224`. */
export function integers(text: string): number[] {
  const values = text.split(/[,x×]/).map((part) => Number(part.trim()));
  if (values.every((value) => Number.isInteger(value) && value > 0)) return values;
  throw new InvalidArgumentError('Expected positive integers divided by commas, such as 112,224.');
}

/** Parses a positive integer. */
export function positiveInteger(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('Expected a positive integer.');
}

/** Parses an integer of 0 or more. */
export function count(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError('Expected 0 or a positive integer.');
}

/** Parses a positive number. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('Expected a positive number.');
}

/** Parses `classifier.*,features.28.*`. */
export function patterns(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}

/** Parses `0.95,0.05:42:1`: fractions, seed and part (default: the last). */
export function randomSplit(text: string): NonNullable<DataOptions['randomSplit']> {
  const [list = '', seed = '42', part] = text.split(':');
  const fractions = list.split(',').map(Number);
  const chosen = part === undefined ? fractions.length - 1 : Number(part);
  const good = fractions.every((fraction) => fraction > 0) && Number.isInteger(Number(seed)) && chosen in fractions;
  if (good) return { fractions, seed: Number(seed), part: chosen };
  throw new InvalidArgumentError('Expected FRACTIONS:SEED[:PART], such as 0.95,0.05:42:1.');
}

/** Adds the options that every command has. */
export function withCommon(command: Command): Command {
  return command
    .option('--json', 'print one JSON document for machines, nothing else')
    .option('-q, --quiet', 'no progress and no remarks')
    .option('--threads <n>', 'threads to compute with (default: all cores)', positiveInteger)
    .option('--workers <n>', 'threads that load images beside them; 0: none (default: by the cores)', count);
}

/** Adds the options of commands that read a model. */
export function withModel(command: Command): Command {
  return withPreprocess(
    command
      .option('--arch <name>', 'architecture of a state dict (default: recognised from its keys)')
      .option('--input <c,h,w>', 'channels, height and width of one image, such as 3,64,64', integers),
  );
}

/** Adds the options of commands that read images. */
export function withData(command: Command): Command {
  return command
    .option('--data <source>', 'ImageFolder directory, a .zip of one, a split file, tiny-imagenet or cluttered-digits')
    .option('--split <file>', 'use the images that this file lists, in its order')
    .option(
      '--random-split <spec>',
      "part of PyTorch's random_split: FRACTIONS:SEED[:PART], such as 0.95,0.05:42:1",
      randomSplit,
    )
    .option('--limit <n>', 'use the first n images only', positiveInteger);
}

/** Model options in the library's form. */
export function openOptions(options: ModelOptions): OpenOptions {
  const { input } = options;
  const [width, height, channels] = input?.toReversed() ?? [];
  return {
    ...preprocessOptions(options),
    ...(options.arch === undefined ? {} : { arch: options.arch }),
    ...(channels === undefined ? {} : { channels }),
    ...(height === undefined || width === undefined ? {} : { inputSize: [height, width] as const }),
  };
}

/** Data options in the library's form. */
export function dataOptions(options: ImageOptions): Omit<DataOptions, 'data'> {
  return {
    ...(options.split === undefined ? {} : { split: options.split }),
    ...(options.randomSplit === undefined ? {} : { randomSplit: options.randomSplit }),
    ...(options.limit === undefined ? {} : { limit: options.limit }),
  };
}

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
