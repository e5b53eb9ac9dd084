import { Command } from 'commander';
import { defined } from '../../values.js';
import {
  type CommonOptions,
  dataOptions,
  type ImageOptions,
  type ModelOptions,
  openOptions,
  withCommon,
  withData,
  withModel,
  withSeed,
} from '../options.js';
import { integer, percent } from '../output.js';
import { positiveInteger } from '../parse.js';
import { start } from '../start.js';
import { required } from './required.js';

/** `shibori evaluate MODEL --data D` */
export function evaluateCommand(): Command {
  const command = new Command('evaluate')
    .description('measure top-1, top-5 and the mean negative log-likelihood on images')
    .argument('<model>', '.onnx, .pt/.pth/.ckpt/.th or .safetensors file')
    .option('--output <name>', 'short for --output-name')
    .option('--batch <n>', 'images a batch (default: 64)', positiveInteger);
  return withCommon(
    withModel(withSeed(withData(command))),
    'shibori evaluate vgg16.pt --data tiny-imagenet-200.zip --random-split 0.95,0.05:42',
  ).action(
    async (
      file: string,
      options: CommonOptions & ModelOptions & ImageOptions & { batch?: number; output?: string },
    ) => {
      const { output, context, finish } = start(command, options);
      const data = required(options.data, '--data', 'evaluate needs images');
      const { evaluate } = await import('../../workflows/evaluate.js');
      const result = await evaluate(
        file,
        {
          ...openOptions(options),
          ...defined({ outputName: options.output }),
          ...dataOptions(options),
          data,
          ...(options.batch ? { batch: options.batch } : {}),
        },
        context,
      );
      finish();
      output.result(result, (r) =>
        [
          `Images   ${integer(r.images)}${r.part === null ? '' : ` of "${r.part}"`}${r.skipped.length > 0 ? ` (${r.skipped.length} skipped: unreadable)` : ''}`,
          `Top-1    ${percent(r.top1)} (${integer(r.top1Correct)})`,
          `Top-5    ${percent(r.top5)} (${integer(r.top5Correct)})`,
          `NLL      ${r.nll.toFixed(4)}`,
          `Speed    ${r.imagesPerSecond.toFixed(0)} images/s, ${percent(100 * r.waiting.share, 0)} of the time waiting for images`,
        ].join('\n'),
      );
    },
  );
}
