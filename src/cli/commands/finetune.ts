import { Command } from 'commander';
import {
  addTrainingOptions,
  parseOptions,
  readStageOptions,
  runTraining,
  type TrainingOptions,
} from './training-command.js';

/** `shibori finetune MODEL --data D` */
export function finetuneCommand(): Command {
  const command = new Command('finetune')
    .description('train part of a model, the rest frozen; resumable')
    .argument('<model>', '.onnx, .pt/.pth/.ckpt/.th or .safetensors file');
  return addTrainingOptions(command, {
    defaultPatterns: "the model's head",
    outputSuffix: 'finetuned',
    examples: [
      "shibori finetune small.onnx --data tiny-imagenet --train 'classifier.*' --epochs 5 --lr 1e-5 --max-lr 6e-5 --augment",
    ],
  }).action(async (file: string, options: TrainingOptions) => {
    const { finetuneSchema } = await import('../../recipes/recipe.js');
    const plan = parseOptions(finetuneSchema, readStageOptions(options));
    const { finetune } = await import('../../workflows/finetune.js');
    await runTraining(command, file, { ...options, outputSuffix: 'finetuned' }, (own) => finetune({ ...own, plan }));
  });
}
