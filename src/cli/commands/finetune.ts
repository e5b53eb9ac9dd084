import { Command } from 'commander';
import { finetune } from '../../verbs/finetune.js';
import { finetuneSchema } from '../../verbs/recipe.js';
import {
  type CommonOptions,
  dataOptions,
  type ImageOptions,
  type ModelOptions,
  openOptions,
  patterns,
  positiveInteger,
  positiveNumber,
  start,
  withCommon,
  withData,
  withModel,
} from '../options.js';
import { integer, percent, table } from '../output.js';
import { required } from './required.js';

interface FinetuneOptions extends CommonOptions, ModelOptions, ImageOptions {
  readonly train?: string[];
  readonly epochs: number;
  readonly batch: number;
  readonly lr: number;
  readonly maxLr?: number;
  readonly stepSize?: number;
  readonly seed: number;
  readonly augment?: boolean;
  readonly views?: number;
  readonly patience?: number;
  readonly valData?: string;
  readonly valSplit?: string;
  readonly work?: string;
  readonly resume?: boolean;
  readonly output?: string;
}

/** Exit code of a training that was stopped with Ctrl-C and can be gone on with. */
const INTERRUPTED = 130;

/** The study's: crops of 56 of 64 pixels at the least, mirrored half of the time, saturation and hue jittered. */
const AUGMENTATION = {
  randomResizedCrop: { scale: [(56 / 64) ** 2, 1], ratio: [3 / 4, 4 / 3] },
  horizontalFlip: 0.5,
  colorJitter: { saturation: 0.2, hue: 0.1 },
};

/** `shibori finetune MODEL --data D` */
export function finetuneCommand(): Command {
  const command = new Command('finetune')
    .description('train part of a model, everything else frozen; resumable')
    .argument('<model>', '.onnx, .pt/.pth or .safetensors file')
    .option('--train <patterns>', "parameters to train, such as 'classifier.*' (default: the model's head)", patterns)
    .option('--epochs <n>', 'times through the images', positiveInteger, 1)
    .option('--batch <n>', 'images a step', positiveInteger, 64)
    .option('--lr <rate>', 'learning rate; with --max-lr the base of the cycle', positiveNumber, 1e-4)
    .option('--max-lr <rate>', 'peak of a cyclic schedule (triangular2)', positiveNumber)
    .option('--step-size <n>', 'steps from base to peak (default: half of the training)', positiveInteger)
    .option('--seed <n>', 'decides order, views and dropout', positiveInteger, 42)
    .option('--augment', 'random crops, mirror images, saturation and hue')
    .option('--views <n>', 'random views of each image that are cached (default: 2)', positiveInteger)
    .option('--patience <n>', 'stop when the validation loss has not improved for n epochs', positiveInteger)
    .option('--val-data <source>', 'images to validate on after each epoch (default with --val-split: those of --data)')
    .option('--val-split <file>', 'split file of the validation images')
    .option('--work <folder>', 'checkpoints and metrics (default: shibori-out/finetune/MODEL)')
    .option('--resume', 'go on from the checkpoint in the work folder')
    .option('-o, --output <file>', 'where the model goes (default: MODEL-finetuned)')
    .addHelpText(
      'after',
      "\nExample:\n  shibori finetune small.onnx --data tiny-imagenet --train 'classifier.*' --epochs 5 --lr 1e-5 --max-lr 6e-5 --augment",
    );
  return withCommon(withData(withModel(command))).action(async (file: string, options: FinetuneOptions) => {
    const { output, context, finish } = start(options);
    const data = required(options.data, '--data', 'finetune needs images');
    const validationData = options.valData ?? (options.valSplit === undefined ? undefined : data);
    const plan = finetuneSchema.parse({
      epochs: options.epochs,
      batch: options.batch,
      learningRate: options.maxLr === undefined ? options.lr : [options.lr, options.maxLr],
      seed: options.seed,
      ...(options.train ? { train: options.train } : {}),
      ...(options.stepSize ? { stepSizeUp: options.stepSize } : {}),
      ...(options.augment ? { augment: AUGMENTATION } : {}),
      ...(options.views ? { views: options.views } : {}),
      ...(options.patience ? { patience: options.patience } : {}),
    });
    const result = await finetune(
      file,
      plan,
      {
        ...openOptions(options),
        ...dataOptions(options),
        data,
        ...(validationData === undefined
          ? {}
          : { validation: { data: validationData, ...(options.valSplit ? { split: options.valSplit } : {}) } }),
        ...(options.output ? { output: options.output } : {}),
        ...(options.work ? { work: options.work } : {}),
        ...(options.resume ? { resume: true } : {}),
      },
      context,
    );
    finish();
    if (result.interrupted) process.exitCode = INTERRUPTED;
    output.result(result, (r) =>
      [
        table(
          ['epoch', 'loss', 'top-1', 'validation loss', 'validation top-1', 'seconds'],
          r.history.map((e) => [
            e.epoch,
            e.trainLoss.toFixed(4),
            percent(e.trainTop1),
            e.validationLoss?.toFixed(4) ?? '–',
            e.validationTop1 === undefined ? '–' : percent(e.validationTop1),
            e.seconds.toFixed(1),
          ]),
        ),
        '',
        `Trained ${integer(r.trained)} parameters in ${integer(r.steps)} steps.`,
        r.output === null
          ? `Interrupted; the checkpoint is in ${r.work}. Go on with the same command and --resume.`
          : `Written to ${r.output}; metrics are in ${r.work}.`,
      ].join('\n'),
    );
  });
}
