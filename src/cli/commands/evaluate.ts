import { Command } from 'commander';
import { defined } from '../../values.js';
import { parsePositiveInteger } from '../option-parsers.js';
import {
  addCommonOptions,
  addDataOptions,
  addModelOptions,
  addSeedOption,
  type CommonOptions,
  type ImageOptions,
  type ModelOptions,
  toDataOptions,
  toOpenOptions,
} from '../options.js';
import { formatInteger, formatPercent } from '../output.js';
import { startCommand } from '../start-command.js';
import { requireOption } from './required-option.js';

/** `shibori evaluate MODEL --data D` */
export function evaluateCommand(): Command {
  const command = new Command('evaluate')
    .description('measure top-1, top-5 and the mean negative log-likelihood on images')
    .argument('<model>', '.onnx, .pt/.pth/.ckpt/.th or .safetensors file')
    .option('--output <name>', 'short for --output-name')
    .option('--batch <n>', 'images a batch (default: 64)', parsePositiveInteger);
  return addCommonOptions(
    addModelOptions(addSeedOption(addDataOptions(command))),
    'shibori evaluate vgg16.pt --data tiny-imagenet-200.zip --random-split 0.95,0.05:42',
  ).action(
    async (
      file: string,
      options: CommonOptions & ModelOptions & ImageOptions & { batch?: number; output?: string },
    ) => {
      const { output, context, finish } = startCommand(command, options);
      const data = requireOption(options.data, '--data', 'evaluate needs images');
      const { evaluate } = await import('../../workflows/evaluate.js');
      const result = await evaluate({
        model: file,
        ...toOpenOptions(options),
        ...defined({ outputName: options.output }),
        ...toDataOptions(options),
        data,
        ...(options.batch ? { batch: options.batch } : {}),
        ...context,
      });
      finish();
      output.result(result, (r) =>
        [
          `Images   ${formatInteger(r.images)}${r.part === null ? '' : ` of "${r.part}"`}${r.skipped.length > 0 ? ` (${r.skipped.length} skipped: unreadable)` : ''}`,
          `Top-1    ${formatPercent(r.top1)} (${formatInteger(r.top1Correct)})`,
          `Top-5    ${formatPercent(r.top5)} (${formatInteger(r.top5Correct)})`,
          `NLL      ${r.nll.toFixed(4)}`,
          `Speed    ${r.imagesPerSecond.toFixed(0)} images/s, ${formatPercent(100 * r.waiting.share, 0)} of the time waiting for images`,
        ].join('\n'),
      );
    },
  );
}
