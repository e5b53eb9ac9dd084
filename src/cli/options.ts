import { type Command, Option } from 'commander';
import type { DataOptions } from '../images/open-dataset.js';
import type { OpenOptions } from '../io/models/model-file.js';
import { defined } from '../values.js';
import { configureShortHelp, GROUPS, SEED_HELP, startRareGroup } from './help.js';
import {
  parseNonNegativeInteger,
  parsePositiveInteger,
  parsePositiveIntegers,
  parseRandomSplit,
} from './option-parsers.js';
import { addPreprocessOptions, type PreprocessFlags, toPreprocessOptions } from './preprocess-options.js';

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
  readonly weights?: string;
  readonly input?: readonly number[];
  readonly outputName?: string;
  readonly task?: OpenOptions['task'];
}

/** Options of commands that read images. */
export interface ImageOptions {
  readonly data?: string;
  readonly split?: string;
  readonly randomSplit?: DataOptions['randomSplit'];
  readonly part?: string;
  readonly limit?: number;
  readonly seed?: number;
}

/** Old names of the options of validation images. */
export const RENAMED_VALIDATION = [
  { flags: '--val-data <source>', to: '--validation-data' },
  { flags: '--val-split <file>', to: '--validation-split' },
];

/** Adds the options that every command has, and examples of the command to its help. */
export function addCommonOptions(command: Command, ...examples: readonly string[]): Command {
  return configureShortHelp(
    command
      .optionsGroup(GROUPS.common)
      .option('--json', 'print one JSON document, errors included')
      .option('-q, --quiet', 'no progress and no notes')
      .option('--threads <n>', 'threads that compute (default: all cores)', parsePositiveInteger)
      .option('--workers <n>', 'threads that load images; 0: none', parseNonNegativeInteger),
    examples,
  );
}

/** Commands with so many options that those of the scores are only named in their short help. */
const commandsWithManyOptions: ReadonlySet<string> = new Set(['compress', 'sweep', 'train', 'finetune']);

/** Adds the options of what a model's scores are. */
function addScoreOptions(command: Command): Command {
  const group = commandsWithManyOptions.has(command.name())
    ? startRareGroup(command, GROUPS.scores)
    : command.optionsGroup(GROUPS.scores);
  return group
    .option('--output-name <name>', 'output that holds the scores')
    .addOption(new Option('--task <task>', 'what the scores are for').choices(['classification', 'regression']));
}

/** Adds the options of commands that read a model. */
export function addModelOptions(command: Command): Command {
  return addPreprocessOptions(
    addScoreOptions(command)
      .optionsGroup(GROUPS.model)
      .option('--arch <name>', 'network of a state dict (default: by its keys)')
      .option('--weights <key>', 'weights of a checkpoint to use, such as model_ema')
      .option('--input <c,h,w>', 'channels, height and width, such as 3,64,64', parsePositiveIntegers),
  );
}

/** Adds the options of commands that read images. */
export function addDataOptions(command: Command): Command {
  return command
    .optionsGroup(GROUPS.images)
    .option('--data <source>', 'class folders, .zip, split file or tiny-imagenet')
    .option('--split <file>', 'use the images that this file lists, in order')
    .option(
      '--random-split <spec>',
      "a part of PyTorch's random_split: FRACTIONS:SEED[:PART], such as 0.95,0.05:42:1",
      parseRandomSplit,
    )
    .option('--part <name>', 'part of the data, such as val (default: by use)')
    .option('--limit <n>', 'use n images, the same share of each class', parsePositiveInteger);
}

/** Adds `--seed` to a command that has nothing else that is random than the images that `--limit` draws. */
export function addSeedOption(command: Command): Command {
  return command.option('--seed <n>', SEED_HELP, parseNonNegativeInteger);
}

/** Model options in the library's form. */
export function toOpenOptions(options: ModelOptions): OpenOptions {
  const { input } = options;
  const [width, height, channels] = input?.toReversed() ?? [];
  return {
    ...toPreprocessOptions(options),
    ...defined({
      arch: options.arch,
      weights: options.weights,
      outputName: options.outputName,
      task: options.task,
      channels,
    }),
    ...(height === undefined || width === undefined ? {} : { inputSize: [height, width] as const }),
  };
}

/** Data options in the library's form. */
export function toDataOptions(options: ImageOptions): Omit<DataOptions, 'data'> {
  return {
    ...defined({
      split: options.split,
      randomSplit: options.randomSplit,
      part: options.part,
      limit: options.limit,
      seed: options.seed,
    }),
  };
}
