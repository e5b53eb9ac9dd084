/** The options of `compress` and `sweep`: what a compression has to reach, and from which images. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import { schemeNames } from '../../compression/schemes/decomposition-scheme.js';
import type { CompressToGoalOptions } from '../../compression-run/compression-options.js';
import type { CompressionSettings } from '../../compression-run/compression-plan.js';
import { UsageError } from '../../errors.js';
import { defined } from '../../values.js';
import { type GoalTexts, parseSchemes } from '../compression-goal.js';
import { SEED_HELP, startRareGroup } from '../help.js';
import { getWorkFolder } from '../interruption.js';
import { parseNonNegativeInteger, parsePatterns, parsePositiveInteger } from '../option-parsers.js';
import {
  addDataOptions,
  type CommonOptions,
  type ImageOptions,
  type ModelOptions,
  RENAMED_VALIDATION,
  toDataOptions,
  toOpenOptions,
} from '../options.js';
import { addRenamedOptions } from '../renamed-options.js';

/** Lists the options of a compression to a goal. */
export interface SharedCompressionOptions extends CommonOptions, ModelOptions, ImageOptions, GoalTexts {
  readonly validationData?: string;
  readonly validationSplit?: string;
  readonly layers?: string[];
  readonly schemes?: string[];
  readonly calibration?: number;
  readonly minCamSimilarity?: number;
  readonly mapImages?: number;
  readonly rounds?: number;
  readonly finetune?: number;
  readonly control?: boolean;
  readonly baselinePlan?: string;
  readonly store?: CompressionSettings['store'];
  readonly allowSlower?: boolean;
  readonly seed?: number;
  readonly work?: string;
  readonly fresh?: boolean;
}

/** Names these options, to tell a compression to a goal from one with given ranks. */
export const compressionOptionNames: readonly (keyof SharedCompressionOptions)[] = [
  'params',
  'size',
  'macs',
  'maxAccuracyDrop',
  'maxError',
  'data',
  'split',
  'randomSplit',
  'part',
  'limit',
  'validationData',
  'validationSplit',
  'layers',
  'schemes',
  'calibration',
  'minCamSimilarity',
  'mapImages',
  'rounds',
  'finetune',
  'control',
  'baselinePlan',
  'store',
  'allowSlower',
  'seed',
  'work',
  'fresh',
];

/** Parses a correlation above 0 and up to 1. */
function parseCorrelation(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value > 0 && value <= 1) return value;
  throw new InvalidArgumentError('Expected a correlation above 0 and up to 1, such as 0.95.');
}

/** Adds the options that say how a model is compressed, whatever the goal. */
export function withCompression(command: Command): Command {
  command
    .optionsGroup('Compression:')
    .addOption(new Option('--store <type>', 'type of the stored weights').choices(['float32', 'float16', 'int8']))
    .option('--layers <patterns>', "layers, such as 'features.*' (default: all)", parsePatterns)
    .option('--finetune <n>', 'epochs of fine-tuning afterwards (default: 0)', parseNonNegativeInteger)
    .option('--seed <n>', SEED_HELP, parseNonNegativeInteger)
    .option('--work <folder>', 'intermediate results (default: in shibori-out)')
    .option('--fresh', 'start over instead of resuming');
  addDataOptions(command)
    .option('--validation-data <source>', 'validation images (default: val or test in --data, else a tenth of it)')
    .option('--validation-split <file>', 'split file of the validation images')
    .option('--calibration <n>', 'calibration images (default: up to 2000)', parsePositiveInteger);
  startRareGroup(command, 'Details of the compression:')
    .option('--schemes <names>', `${schemeNames.join(', ')} (default: svd,tucker2,tt-conv)`, parsePatterns)
    .option(
      '--rounds <n>',
      'ways of sharing the budget that are fitted and measured (default: 1)',
      parsePositiveInteger,
    )
    .option('--map-images <n>', 'images whose maps are compared (default: 64)', parsePositiveInteger)
    .option('--control', 'with --finetune: train the dense original alike, to compare with')
    .option('--baseline-plan <plan>', 'YAML plan of given ranks, to compare with');
  addRenamedOptions(command, RENAMED_VALIDATION);
  return addRenamedOptions(command, [{ flags: '--beside <plan>', to: '--baseline-plan' }]);
}

/** Options of a goal for one model, which a sweep over many sizes does not have. */
export function withAcceptance(command: Command): Command {
  return command
    .option('--min-cam-similarity <r>', "least mean correlation of Grad-CAM maps with the original's", parseCorrelation)
    .option('--allow-slower', 'accept a model that runs slower than the original');
}

/** Refuses those options where they have no effect: a sweep reports every size, whatever it loses. */
export function refuseAcceptance(command: Command): Command {
  const refused = (flags: string, why: string) =>
    command.addOption(new Option(flags).hideHelp()).on(`option:${new Option(flags).name()}`, () => {
      throw new UsageError(`sweep has no ${flags.split(' ')[0]}: ${why}. Leave it out, or use compress.`);
    });
  refused('--min-cam-similarity <r>', 'it reports the similarity of maps for every size and refuses none');
  refused('--allow-slower', 'it does not measure latency and refuses no model');
  return command;
}

/** Throws UsageError for options that have no effect without others. */
export function checkCompressionOptions({ control, finetune }: Omit<SharedCompressionOptions, keyof GoalTexts>): void {
  if (control && !finetune) {
    throw new UsageError('--control trains the dense original as the compressed model is trained: add --finetune N.');
  }
}

/** Reads the settings of a compression, its goal aside. */
export function toCompressionSettings(options: Omit<SharedCompressionOptions, keyof GoalTexts>): CompressionSettings {
  const { layers, schemes, calibration, minCamSimilarity, mapImages, rounds, finetune, control, baselinePlan } =
    options;
  const { store, allowSlower, seed } = options;
  return defined({
    layers,
    schemes: schemes && parseSchemes(schemes),
    calibrationImages: calibration,
    minMapSimilarity: minCamSimilarity,
    mapImages,
    rounds,
    finetuneEpochs: finetune,
    control,
    baselinePlan,
    store,
    allowSlower,
    seed,
  });
}

/** Reads where model, images and intermediate results are. */
export function toCompressionSources(
  model: string,
  options: Omit<SharedCompressionOptions, keyof GoalTexts>,
): Omit<CompressToGoalOptions, 'data' | 'goal'> & { readonly work: string } {
  const { validationData, validationSplit, fresh } = options;
  return {
    model,
    ...toOpenOptions(options),
    ...toDataOptions(options),
    ...defined({ validationData, validationSplit, fresh }),
    work: getWorkFolder('compress', model, options.work),
  };
}
