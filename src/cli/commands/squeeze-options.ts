/** The options of `compress` (and `sweep`) that say what a squeeze is to reach and from which images. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { GoalTexts, SqueezePlan } from '../../verbs/squeeze/goal.js';
import type { SqueezeFileOptions } from '../../verbs/squeeze/squeeze.js';
import {
  type CommonOptions,
  count,
  dataOptions,
  type ImageOptions,
  type ModelOptions,
  openOptions,
  patterns,
  positiveInteger,
  withData,
} from '../options.js';

/** Options of a squeeze. */
export interface SqueezeOptions extends CommonOptions, ModelOptions, ImageOptions, GoalTexts {
  readonly valData?: string;
  readonly valSplit?: string;
  readonly layers?: string[];
  readonly schemes?: string[];
  readonly calibration?: number;
  readonly minCamSimilarity?: number;
  readonly mapImages?: number;
  readonly rounds?: number;
  readonly finetune?: number;
  readonly control?: boolean;
  readonly beside?: string;
  readonly store?: SqueezePlan['store'];
  readonly allowSlower?: boolean;
  readonly seed?: number;
  readonly work?: string;
  readonly fresh?: boolean;
}

/** Their names, to tell a squeeze from a plan of hand-chosen ranks. */
export const squeezeOptionNames: readonly (keyof SqueezeOptions)[] = [
  'params',
  'size',
  'macs',
  'maxAccuracyDrop',
  'maxError',
  'data',
  'split',
  'randomSplit',
  'limit',
  'valData',
  'valSplit',
  'layers',
  'schemes',
  'calibration',
  'minCamSimilarity',
  'mapImages',
  'rounds',
  'finetune',
  'control',
  'beside',
  'store',
  'allowSlower',
  'seed',
  'work',
  'fresh',
];

/** Parses a correlation above 0 and up to 1. */
function correlation(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value > 0 && value <= 1) return value;
  throw new InvalidArgumentError('Expected a correlation above 0 and up to 1, such as 0.95.');
}

/** Adds the options that say how a squeeze is done, whatever its goal. */
export function withSqueeze(command: Command): Command {
  return withData(command)
    .option('--val-data <source>', 'images that measure (default: a seeded tenth of --data is held out)')
    .option('--val-split <file>', 'split file of the images that measure')
    .option('--layers <patterns>', "layers to squeeze, such as 'features.*' (default: all)", patterns)
    .option(
      '--schemes <names>',
      'svd, svd-input, spatial, tucker2, tt-conv, tt, tt-matrix (default: svd,tucker2,tt-conv)',
      patterns,
    )
    .option(
      '--calibration <n>',
      'images to learn statistics from (default: 2000, less for large ones)',
      positiveInteger,
    )
    .option('--min-cam-similarity <r>', 'least mean correlation of Grad-CAM maps with the original’s', correlation)
    .option('--map-images <n>', 'images whose maps are compared (default: 64)', positiveInteger)
    .option('--rounds <n>', 'ways of sharing the budget that are fitted and measured (default: 1)', positiveInteger)
    .option('--finetune <n>', 'epochs of training afterwards (default: 0)', count)
    .option('--control', 'put the dense original through the same training, to compare with')
    .option('--beside <plan>', 'YAML plan of ranks of your own, to be measured and drawn beside')
    .addOption(new Option('--store <type>', 'how weights are stored').choices(['float32', 'float16', 'int8']))
    .option('--allow-slower', 'take a model that runs slower than the original')
    .option('--work <folder>', 'where the work is kept, to be gone on with (default: shibori-out/compress/MODEL)')
    .option('--fresh', 'begin anew, whatever is kept there')
    .option('--seed <n>', 'decides images held out, calibration images and training (default: 42)', count);
}

/** What a squeeze is told beside its goal. */
export async function planOf(options: Omit<SqueezeOptions, keyof GoalTexts>): Promise<Omit<SqueezePlan, 'goal'>> {
  const { schemesNamed } = await import('../../verbs/squeeze/goal.js');
  const { layers, schemes, calibration, minCamSimilarity, mapImages, rounds, finetune, control, beside } = options;
  const { store, allowSlower, seed } = options;
  return {
    ...(layers ? { layers } : {}),
    ...(schemes ? { schemes: schemesNamed(schemes) } : {}),
    ...(calibration === undefined ? {} : { calibration }),
    ...(minCamSimilarity === undefined ? {} : { minMapSimilarity: minCamSimilarity }),
    ...(mapImages === undefined ? {} : { mapImages }),
    ...(rounds === undefined ? {} : { rounds }),
    ...(finetune === undefined ? {} : { finetune }),
    ...(control ? { control } : {}),
    ...(beside === undefined ? {} : { beside }),
    ...(store ? { store } : {}),
    ...(allowSlower ? { allowSlower } : {}),
    ...(seed === undefined ? {} : { seed }),
  };
}

/** The files of a squeeze. */
export function filesOf(options: Omit<SqueezeOptions, keyof GoalTexts>, data: string): SqueezeFileOptions {
  const { valData, valSplit, work, fresh } = options;
  const validation = valData ?? (valSplit === undefined ? undefined : data);
  return {
    ...openOptions(options),
    ...dataOptions(options),
    data,
    ...(work === undefined ? {} : { work }),
    ...(fresh ? { fresh } : {}),
    ...(validation === undefined
      ? {}
      : { validation: { data: validation, ...(valSplit === undefined ? {} : { split: valSplit }) } }),
  };
}
