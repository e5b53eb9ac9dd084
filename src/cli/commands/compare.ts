import { join } from 'node:path';
import { Command } from 'commander';
import { defined } from '../../values.js';
import { formatComparison } from '../comparison-text.js';
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
import { addRenamedOptions } from '../renamed-options.js';
import { startCommand } from '../start-command.js';
import { requireOption } from './required-option.js';

interface CompareCommandOptions extends CommonOptions, ModelOptions, ImageOptions {
  readonly layer?: string;
  readonly mapImages?: number;
  readonly pictures?: number;
  readonly output?: string;
}

/** Where reports go unless a folder is named. */
const DEFAULT_OUTPUT = join('shibori-out', 'compare');

/** `shibori compare A B --data D` */
export function compareCommand(): Command {
  const command = new Command('compare')
    .description('compare two models: accuracy, sizes, speed, maps, changed predictions')
    .argument('<before>', 'the original model')
    .argument('<after>', 'the compressed model')
    .option('--layer <name>', 'layer whose maps are compared (default: the last spatial activation)')
    .option('--map-images <n>', 'images whose maps are compared (default: 64)', parsePositiveInteger)
    .option(
      '--pictures <n>',
      'images that are drawn: lowest agreement, changed predictions (default: 8)',
      parsePositiveInteger,
    )
    .option('-o, --output <folder>', 'where report.html, report.json, figures/ go (default: shibori-out/compare)');
  addRenamedOptions(command, [{ flags: '--images <n>', to: '--map-images' }]);
  return addCommonOptions(
    addModelOptions(addSeedOption(addDataOptions(command))),
    'shibori compare vgg16.pt vgg16-compressed.onnx --data val.zip',
  ).action(async (before: string, after: string, options: CompareCommandOptions) => {
    const { output, context, finish } = startCommand(command, options);
    const { compare } = await import('../../workflows/compare.js');
    const result = await compare({
      before,
      after,
      ...toOpenOptions(options),
      ...toDataOptions(options),
      data: requireOption(options.data, '--data', 'compare needs images'),
      ...defined({
        layer: options.layer,
        mapImages: options.mapImages,
        pictures: options.pictures,
        output: options.output ?? DEFAULT_OUTPUT,
      }),
      ...context,
    });
    finish();
    output.result(result, (r) => `${formatComparison(r)}\n\nReport: ${options.output ?? DEFAULT_OUTPUT}/report.html`);
  });
}
