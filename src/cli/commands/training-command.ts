import { type Command, Option } from 'commander';
import type { z } from 'zod';
import { UsageError } from '../../errors.js';
import { DEFAULT_DISTILLATION } from '../../recipes/default-distillation.js';
import { optimizers } from '../../train/optimizers.js';
import { DEFAULT_LEARNING_RATE, schedules } from '../../train/schedules.js';
import type { TrainingSourceOptions, TrainResult } from '../../training-run/train-sources.js';
import type { TrainedEpoch } from '../../training-run/training-outcome.js';
import { defined } from '../../values.js';
import { buildInterruptedFailure, EXIT } from '../failure.js';
import { SEED_HELP, startRareGroup } from '../help.js';
import { formatInterruption, getWorkFolder } from '../interruption.js';
import {
  type NamedChoice,
  parseNamedChoice,
  parseNonNegativeInteger,
  parsePatterns,
  parsePositiveInteger,
  parsePositiveNumber,
} from '../option-parsers.js';
import {
  addCommonOptions,
  addDataOptions,
  addModelOptions,
  type CommonOptions,
  type ImageOptions,
  type ModelOptions,
  RENAMED_VALIDATION,
  toDataOptions,
  toOpenOptions,
} from '../options.js';
import { formatInteger, formatPercent } from '../output.js';
import { addRenamedOptions } from '../renamed-options.js';
import { clearProgress, reportInterruption, startCommand } from '../start-command.js';
import { formatTable } from '../terminal-table.js';
import { requireOption } from './required-option.js';

/** Options of a stage of a training. */
export interface StageOptions {
  readonly train?: string[];
  readonly epochs?: number;
  readonly batch?: number;
  readonly accumulate?: number;
  readonly optimizer?: NamedChoice;
  readonly momentum?: number;
  readonly weightDecay?: number;
  readonly lr?: number;
  readonly maxLr?: number;
  readonly schedule?: NamedChoice;
  readonly stepSize?: number;
  readonly warmUp?: number;
  readonly labelSmoothing?: number;
  readonly clip?: number;
  readonly ema?: number;
  readonly freezeBatchNorm?: boolean;
  readonly dropout?: boolean;
  readonly teacher?: string;
  readonly seed?: number;
  readonly augment?: boolean;
  readonly views?: number;
  readonly patience?: number;
  readonly keep?: 'best' | 'last';
}

/** Options of `train` and `finetune`. */
export interface TrainingOptions extends CommonOptions, ModelOptions, ImageOptions, StageOptions {
  readonly validationData?: string;
  readonly validationSplit?: string;
  readonly work?: string;
  readonly resume?: boolean;
  readonly output?: string;
}

/** Lists the defaults: crops of 56 of 64 pixels at the least, mirrored half of the time, saturation and hue jittered. */
const DEFAULT_AUGMENTATION = {
  randomResizedCrop: { scale: [(56 / 64) ** 2, 1], ratio: [3 / 4, 4 / 3] },
  horizontalFlip: 0.5,
  colorJitter: { saturation: 0.2, hue: 0.1 },
};

/** A named choice with its options. */
const toChoiceObject = (choice: NamedChoice) => (typeof choice === 'string' ? { name: choice } : choice);

/** The fields of a plan that the options of a stage set. */
export function listGivenFields(options: StageOptions): Readonly<Record<string, unknown>> {
  const { train, epochs, batch, accumulate, optimizer, momentum, weightDecay, lr, maxLr, schedule } = options;
  const { stepSize, warmUp, labelSmoothing, clip, ema, freezeBatchNorm, dropout, teacher } = options;
  const { seed, augment, views, patience, keep } = options;
  const fields = {
    train,
    epochs,
    batch,
    accumulate,
    optimizer: momentum === undefined ? optimizer : { ...toChoiceObject(optimizer ?? 'sgd'), momentum },
    weightDecay,
    learningRate: maxLr === undefined ? lr : [lr ?? DEFAULT_LEARNING_RATE, maxLr],
    schedule,
    stepSizeUp: stepSize,
    warmUp,
    labelSmoothing,
    clip,
    ema,
    batchNorm: freezeBatchNorm ? 'frozen' : undefined,
    // Commander's `--no-dropout` makes it true where it is not given.
    dropout: dropout === false ? false : undefined,
    distill: teacher === undefined ? undefined : DEFAULT_DISTILLATION,
    seed,
    augment: augment ? DEFAULT_AUGMENTATION : undefined,
    views,
    patience,
    keep,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** A stage as a plan has it. */
export const readStageOptions = (options: StageOptions): object => ({
  learningRate: DEFAULT_LEARNING_RATE,
  ...listGivenFields(options),
});

/** Parses what options say. Throws a UsageError with each mistake. */
export function parseOptions<S extends z.ZodType>(schema: S, value: object): z.output<S> {
  const { data, error } = schema.safeParse(value);
  if (!error) return data;
  throw new UsageError(error.issues.map(({ path, message }) => `${path.join('.')}: ${message}.`).join('\n'));
}

/** Adds the options of a stage. `trained` names the default of `--train`. */
export function addStageOptions(command: Command, trained: string): Command {
  command
    .optionsGroup('Training:')
    .option('--train <patterns>', `parameters, such as 'classifier.*' (default: ${trained})`, parsePatterns)
    .option('--epochs <n>', 'passes over the images (default: 1)', parsePositiveInteger)
    .option('--batch <n>', 'images in a batch (default: 64)', parsePositiveInteger)
    .option(
      '--lr <rate>',
      `learning rate; with --max-lr the base of the cycle (default: ${DEFAULT_LEARNING_RATE})`,
      parsePositiveNumber,
    )
    .option('--max-lr <rate>', 'peak of a cyclic schedule', parsePositiveNumber)
    .option(
      '--schedule <name>',
      `${Object.keys(schedules).join(', ')} (default: constant; triangular2 with --max-lr)`,
      parseNamedChoice,
    )
    .option('--optimizer <name>', `${Object.keys(optimizers).join(', ')} (default: adam)`, parseNamedChoice)
    .option('--augment', 'random crops, flips, saturation and hue')
    .option('--teacher <model>', 'learn from this model instead of the labels')
    .addOption(
      new Option('--keep <epoch>', 'epoch to save, by validation top-1 (default: best)').choices(['best', 'last']),
    )
    .option('--seed <n>', SEED_HELP, parseNonNegativeInteger);
  return startRareGroup(command, 'Details of the training:')
    .option('--accumulate <n>', 'batches whose gradients make one step (default: 1)', parsePositiveInteger)
    .option('--momentum <m>', 'momentum of sgd (default: 0)', parsePositiveNumber)
    .option(
      '--weight-decay <d>',
      'weight decay of all trained parameters (default: 0; adamw: 0.01)',
      parsePositiveNumber,
    )
    .option(
      '--step-size <n>',
      'steps from base to peak of a cycle (default: half of the training)',
      parsePositiveInteger,
    )
    .option('--warm-up <n>', 'steps of a linear warm-up', parsePositiveInteger)
    .option('--label-smoothing <s>', 'share of the target that is spread over all classes', parsePositiveNumber)
    .option('--clip <norm>', 'limit of the norm of the gradient', parsePositiveNumber)
    .option('--ema <decay>', 'validate and save a moving average of the weights, such as 0.999', parsePositiveNumber)
    .option('--freeze-batch-norm', 'use the running statistics of batch norms and do not update them')
    .option('--no-dropout', 'turn Dropout off')
    .option('--views <n>', 'cached random views of each image (default: 2)', parsePositiveInteger)
    .option('--patience <n>', 'stop when the validation loss has not improved for n epochs', parsePositiveInteger);
}

/** What differs between `train` and `finetune`. */
interface TrainingHelp {
  /** The default of `--train`. */
  readonly defaultPatterns: string;
  /** The end of the default output's name. */
  readonly outputSuffix: string;
  readonly examples: readonly string[];
}

/** Adds the options of `train` and `finetune`. */
export function addTrainingOptions(
  command: Command,
  { defaultPatterns: trained, outputSuffix: done, examples }: TrainingHelp,
): Command {
  addStageOptions(command, trained)
    .optionsGroup('Output and resuming:')
    .option('-o, --output <file>', `file to write (default: MODEL-${done})`)
    .option('--work <folder>', 'checkpoints and metrics (default: in shibori-out)')
    .option('--resume', 'resume from the checkpoint in the work folder');
  addDataOptions(command)
    .option('--validation-data <source>', 'validation images (default: val or test in --data)')
    .option('--validation-split <file>', 'split file of the validation images');
  addRenamedOptions(command, RENAMED_VALIDATION);
  return addCommonOptions(addModelOptions(command), ...examples);
}

/** What a training prints: its figures without the model, and its files. */
type TrainingReport = Omit<TrainResult, 'model' | 'output'> & { readonly output: string | null };

/** Runs a training and prints what it did. */
export async function runTraining(
  command: Command,
  model: string,
  options: TrainingOptions & { readonly outputSuffix: string },
  training: (options: TrainingSourceOptions) => Promise<TrainResult>,
): Promise<void> {
  const commandName = command.name();
  const work = getWorkFolder(commandName, model, options.work);
  const saved = `The checkpoint is in ${work}; no model was written.`;
  const { output, context, finish } = startCommand(command, options, { resume: 'option', saved });
  const { buildDefaultOutput, getModelExtension } = await import('../../io/models/model-file.js');
  const {
    model: _model,
    output: written = null,
    work: folder,
    ...figures
  } = await training({
    ...context,
    ...toOpenOptions(options),
    ...toDataOptions(options),
    model,
    data: requireOption(options.data, '--data', `${commandName} needs images`),
    ...defined({ validationData: options.validationData, validationSplit: options.validationSplit }),
    output: options.output ?? buildDefaultOutput(model, options.outputSuffix, getModelExtension(model) || '.onnx'),
    work,
    resume: options.resume === true,
    ...defined({ teacher: options.teacher }),
  });
  const result: TrainingReport = { ...figures, output: written, ...defined({ work: folder }) };
  if (result.interrupted) {
    clearProgress();
    const report = reportInterruption();
    process.exitCode = EXIT.interrupted;
    output.result({ ...result, error: buildInterruptedFailure(report).error }, formatTraining);
    process.stderr.write(`${formatInterruption(report)}\n`);
    return;
  }
  finish();
  output.result(result, formatTraining);
}

/** The cells of an epoch's validation. */
function formatValidationCells({ validationLoss: loss, validationTop1: top1 }: Partial<TrainedEpoch>): string[] {
  return [loss?.toFixed(4) ?? '–', top1 === undefined ? '–' : formatPercent(top1)];
}

/** Which epoch is the result, and what it gained. */
function describeKeptEpoch({ before, kept, top1Gain }: TrainingReport): string {
  const name = kept.epoch === 0 ? 'epoch 0, the model before the training' : `epoch ${kept.epoch}`;
  const why = kept.by === 'best' ? 'the best on the validation images' : 'the last one';
  const change =
    before && kept.validationTop1 !== undefined && top1Gain !== undefined && kept.epoch !== 0
      ? ` Validation top-1 ${formatPercent(before.validationTop1)} → ${formatPercent(kept.validationTop1)} (${top1Gain < 0 ? '' : '+'}${top1Gain.toFixed(2)} points).`
      : '';
  return `Saved ${name}: ${why}.${change}`;
}

function formatTraining(result: TrainingReport): string {
  const { history, before } = result;
  const several = history.some(({ stage }) => stage > 1);
  return [
    formatTable(
      [...(several ? ['stage'] : []), 'epoch', 'loss', 'top-1', 'validation loss', 'validation top-1', 'seconds'],
      [
        ...(before ? [[...(several ? ['–'] : []), 0, '–', '–', ...formatValidationCells(before), '–']] : []),
        ...history.map((e) => [
          ...(several ? [e.stage] : []),
          e.epoch,
          e.trainLoss.toFixed(4),
          formatPercent(e.trainTop1),
          ...formatValidationCells(e),
          e.seconds.toFixed(1),
        ]),
      ],
    ),
    '',
    ...(result.output === null ? [] : [describeKeptEpoch(result)]),
    `Trained ${formatInteger(result.trained)} parameters in ${formatInteger(result.steps)} steps; ${formatPercent(100 * result.waiting.share, 0)} of the time waiting for images.`,
    ...(result.output === null ? [] : [`Written to ${result.output}; metrics are in ${result.work}.`]),
  ].join('\n');
}
