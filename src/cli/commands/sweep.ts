import { Command } from 'commander';
import { defined } from '../../values.js';
import { parseSweepLimits } from '../compression-goal.js';
import { formatSweep } from '../compression-text.js';
import { getWorkFolder } from '../interruption.js';
import { parsePatterns, parsePositiveInteger } from '../option-parsers.js';
import { addCommonOptions, addModelOptions, type CommonOptions } from '../options.js';
import { startCommand } from '../start-command.js';
import {
  checkCompressionOptions,
  refuseAcceptance,
  type SharedCompressionOptions,
  toCompressionSettings,
  toCompressionSources,
  withCompression,
} from './compression-options.js';
import { requireOption } from './required-option.js';

interface SweepOptions extends CommonOptions, Omit<SharedCompressionOptions, 'params' | 'size' | 'macs'> {
  readonly params?: string[];
  readonly size?: string[];
  readonly macs?: string[];
  readonly jobs?: number;
  readonly output?: string;
}

/** `shibori sweep MODEL --data D` */
export function sweepCommand(): Command {
  const command = new Command('sweep')
    .description('compress a model to many sizes and plot accuracy against size; resumable')
    .argument('<model>', '.onnx, .pt/.pth/.ckpt/.th or .safetensors file')
    .optionsGroup('Sizes (of one kind):')
    .option('--params <amounts>', 'parameters, such as 5%,10%,20% (default: 3% to 60%, eight of them)', parsePatterns)
    .option('--size <amounts>', 'bytes of the ONNX file, such as 2MB,4MB', parsePatterns)
    .option('--macs <amounts>', 'MACs of one image, such as 20%,40%', parsePatterns)
    .optionsGroup('Output:')
    .option('-o, --output <folder>', 'models, report.html, report.json (default: shibori-out/sweep/MODEL)')
    .option('--jobs <n>', 'models made at the same time (default: by cores and memory)', parsePositiveInteger);
  refuseAcceptance(withCompression(command));
  return addCommonOptions(
    addModelOptions(command),
    'shibori sweep vgg16.pt --data train --validation-data val --params 5%,10%,20%,40% --baseline-plan ranks.yaml',
  ).action(async (file: string, options: SweepOptions) => {
    checkCompressionOptions(options);
    const sources = toCompressionSources(file, options);
    const saved = `Intermediate results are in ${sources.work}; finished models are kept.`;
    const { output, context, finish } = startCommand(command, options, { resume: 'same', saved });
    const data = requireOption(options.data, '--data', 'a sweep needs images to learn from and to be measured on');
    const folder = getWorkFolder('sweep', file, options.output);
    const { sweep } = await import('../../workflows/sweep.js');
    const result = await sweep({
      ...sources,
      ...toCompressionSettings(options),
      ...defined({ limits: parseSweepLimits(options), jobs: options.jobs }),
      ...context,
      data,
      output: folder,
      report: folder,
    });
    finish();
    output.result(result, formatSweep);
  });
}
