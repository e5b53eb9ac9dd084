import { type Command, InvalidArgumentError, Option } from 'commander';
import type { OpenOptions } from '../io/models/model-file.js';
import type { PreprocessOptions } from '../models/preprocessing.js';
import { defined } from '../values.js';
import { GROUPS, startRareGroup } from './help.js';
import { addRenamedOptions } from './renamed-options.js';

/** What pixels become by the name of `--scale`. */
const scaleRanges = { '0-1': [0, 1], '0-255': [0, 255], '-1-1': [-1, 1] } as const;
type Scale = keyof typeof scaleRanges;

/** Options of how images become a model's input. They win over what the model's files say. */
export interface PreprocessFlags {
  readonly imageLayout?: 'nchw' | 'nhwc';
  readonly color?: 'rgb' | 'bgr';
  readonly scale?: Scale;
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  readonly resize?: NonNullable<PreprocessOptions['resize']>;
  readonly shorterSide?: number;
  readonly crop?: number;
  readonly filter?: NonNullable<PreprocessOptions['filter']>;
}

/** Parses one number, or one for each channel. */
function parseChannelNumbers(text: string): number[] {
  const values = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if ((values.length === 1 || values.length === 3) && values.every(Number.isFinite)) return values;
  throw new InvalidArgumentError('Expected one number, or three divided by commas, such as 0.485,0.456,0.406.');
}

function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('Expected a number.');
}

/** Adds the options of how images become a model's input. */
export function addPreprocessOptions(command: Command): Command {
  const buildChoiceOption = (flags: string, text: string, choices: readonly string[]) =>
    new Option(flags, text).choices(choices);
  startRareGroup(command, GROUPS.preprocessing)
    .addOption(
      buildChoiceOption('--image-layout <axes>', 'axes of the images in the file (default: from the graph)', [
        'nchw',
        'nhwc',
      ]),
    )
    .addOption(
      buildChoiceOption(
        '--scale <range>',
        'what pixels 0-255 become before mean and std (with those: 0-1)',
        Object.keys(scaleRanges),
      ),
    )
    .option('--mean <numbers>', 'subtracted from each channel, in the order the model has them', parseChannelNumbers)
    .option('--std <numbers>', 'what each channel is divided by (default with --mean: 1)', parseChannelNumbers)
    .addOption(buildChoiceOption('--color <order>', "order of the model's channels", ['rgb', 'bgr']))
    .addOption(buildChoiceOption('--resize <how>', 'how images get to the size', ['shorter-side', 'stretch', 'none']))
    .option('--shorter-side <pixels>', 'what the shorter side becomes before the middle is cut out', parseNumber)
    .option('--crop <fraction>', 'the same as a fraction of the cut: 0.875 is 256 for 224', parseNumber)
    .addOption(
      buildChoiceOption('--filter <name>', 'resampling filter', [
        'nearest',
        'box',
        'bilinear',
        'hamming',
        'bicubic',
        'lanczos',
      ]),
    );
  // `--layout` is the layout of tensor-train cores where a command has them.
  const isFree = !command.options.some(({ long }) => long === '--layout');
  return addRenamedOptions(command, isFree ? [{ flags: '--layout <axes>', to: '--image-layout' }] : []);
}

/** Preprocessing options in the library's form. */
export function toPreprocessOptions(flags: PreprocessFlags): Pick<OpenOptions, 'layout' | 'preprocess'> {
  const { imageLayout, color, scale, mean, std, resize, shorterSide, crop, filter } = flags;
  const preprocess: PreprocessOptions = {
    ...(color && { color }),
    ...(scale && { range: scaleRanges[scale] }),
    ...defined({ mean, std }),
    ...(resize && { resize }),
    ...defined({ shorterSide, crop }),
    ...(filter && { filter }),
  };
  return {
    ...(imageLayout && { layout: imageLayout }),
    ...(Object.keys(preprocess).length > 0 && { preprocess }),
  };
}
