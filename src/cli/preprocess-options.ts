import { type Command, InvalidArgumentError, Option } from 'commander';
import type { OpenOptions } from '../io/models/model-file.js';
import type { PreprocessOptions } from '../models/preprocessing.js';
import { defined } from '../values.js';
import { GROUPS, rareGroup } from './help.js';
import { withRenamed } from './renamed.js';

/** What pixels become by the name of `--scale`. */
const scales = { '0-1': [0, 1], '0-255': [0, 255], '-1-1': [-1, 1] } as const;
type Scale = keyof typeof scales;

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
function channelNumbers(text: string): number[] {
  const values = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if ((values.length === 1 || values.length === 3) && values.every(Number.isFinite)) return values;
  throw new InvalidArgumentError('Expected one number, or three divided by commas, such as 0.485,0.456,0.406.');
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('Expected a number.');
}

/** Adds the options of how images become a model's input. */
export function withPreprocess(command: Command): Command {
  const choice = (flags: string, text: string, choices: readonly string[]) => new Option(flags, text).choices(choices);
  rareGroup(command, GROUPS.preprocessing)
    .addOption(
      choice('--image-layout <axes>', 'axes of the images in the file (default: from the graph)', ['nchw', 'nhwc']),
    )
    .addOption(
      choice('--scale <range>', 'what pixels 0-255 become before mean and std (with those: 0-1)', Object.keys(scales)),
    )
    .option('--mean <numbers>', 'subtracted from each channel, in the order the model has them', channelNumbers)
    .option('--std <numbers>', 'what each channel is divided by (default with --mean: 1)', channelNumbers)
    .addOption(choice('--color <order>', "order of the model's channels", ['rgb', 'bgr']))
    .addOption(choice('--resize <how>', 'how images get to the size', ['shorter-side', 'stretch', 'none']))
    .option('--shorter-side <pixels>', 'what the shorter side becomes before the middle is cut out', number)
    .option('--crop <fraction>', 'the same as a fraction of the cut: 0.875 is 256 for 224', number)
    .addOption(
      choice('--filter <name>', 'resampling filter', ['nearest', 'box', 'bilinear', 'hamming', 'bicubic', 'lanczos']),
    );
  // `--layout` is the layout of tensor-train cores where a command has them.
  const isFree = !command.options.some(({ long }) => long === '--layout');
  return withRenamed(command, isFree ? [{ flags: '--layout <axes>', to: '--image-layout' }] : []);
}

/** Preprocessing options in the library's form. */
export function preprocessOptions(flags: PreprocessFlags): Pick<OpenOptions, 'layout' | 'preprocess'> {
  const { imageLayout, color, scale, mean, std, resize, shorterSide, crop, filter } = flags;
  const preprocess: PreprocessOptions = {
    ...(color && { color }),
    ...(scale && { range: scales[scale] }),
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
