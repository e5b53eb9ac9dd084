import { Command } from 'commander';
import { UsageError } from '../../errors.js';
import type { TrainPlan } from '../../recipes/recipe.js';
import { defined } from '../../values.js';
import { noteEarly } from '../output.js';
import { addRenamedValues } from '../renamed-options.js';
import {
  addTrainingOptions,
  listGivenFields,
  parseOptions,
  readStageOptions,
  runTraining,
  type TrainingOptions,
} from './training-command.js';

interface TrainCommandOptions extends TrainingOptions {
  readonly plan?: string;
  readonly head?: string;
  readonly init?: string;
}

async function readTrainPlan(options: TrainCommandOptions): Promise<TrainPlan> {
  const { readYaml, trainSchema } = await import('../../recipes/recipe.js');
  const { plan, head, init } = options;
  if (plan === undefined) {
    // `--head 10` is a number of classes.
    const classes = head !== undefined && Number.isInteger(Number(head)) ? Number(head) : head;
    return parseOptions(trainSchema, {
      ...readStageOptions(options),
      ...defined({ head: classes, init }),
    });
  }
  const also = [
    ...Object.keys(listGivenFields(options)),
    ...Object.keys({ ...(head ? { head } : {}), ...(init ? { init } : {}) }),
  ];
  if (also.length > 0) {
    throw new UsageError(
      `The plan "${plan}" says how to train; leave out what it says, or the plan: ${also.join(', ')}.`,
    );
  }
  return readYaml(plan, 'plan', trainSchema, (text) => noteEarly(options, text));
}

/** `shibori train MODEL|ARCH --data D` */
export function trainCommand(): Command {
  const command = new Command('train')
    .description('train a model from scratch or with a fresh head, in stages; resumable')
    .argument(
      '<model>',
      '.onnx, .pt/.pth/.ckpt/.th or .safetensors file, or a network to make: vgg11 … vgg19, vgg16_bn …',
    )
    .optionsGroup('Model and plan:')
    .option('--plan <file>', 'YAML file with the stages of the training')
    .option('--head <classes>', 'fresh last layer: n classes, auto or compact')
    .option('--init <how>', 'pretrained or scratch (default: pretrained)');
  addRenamedValues(command, '--head', { study: 'compact' });
  return addTrainingOptions(command, {
    defaultPatterns: 'all',
    outputSuffix: 'trained',
    examples: [
      'shibori train resnet.onnx --data photos --head auto --train head --epochs 5 --lr 1e-3',
      'shibori train vgg16.pt --data tiny-imagenet --validation-data tiny-imagenet --plan recipes/tiny-imagenet-vgg16-train.yaml',
    ],
  }).action(async (model: string, options: TrainCommandOptions) => {
    const plan = await readTrainPlan(options);
    const { train } = await import('../../workflows/train.js');
    await runTraining(command, model, { ...options, outputSuffix: 'trained' }, (own) => train({ ...own, plan }));
  });
}
