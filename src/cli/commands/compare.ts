import { Command } from 'commander';
import { defined } from '../../values.js';
import { comparisonText } from '../comparison-text.js';
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
import { positiveInteger } from '../parse.js';
import { withRenamed } from '../renamed.js';
import { start } from '../start.js';
import { required } from './required.js';

interface CompareOptions extends CommonOptions, ModelOptions, ImageOptions {
  readonly layer?: string;
  readonly mapImages?: number;
  readonly pictures?: number;
  readonly output?: string;
}

/** `shibori compare A B --data D` */
export function compareCommand(): Command {
  const command = new Command('compare')
    .description('compare two models: accuracy, sizes, speed, maps, changed predictions')
    .argument('<before>', 'the original model')
    .argument('<after>', 'the compressed model')
    .option('--layer <name>', 'layer whose maps are compared (default: the last spatial activation)')
    .option('--map-images <n>', 'images whose maps are compared (default: 64)', positiveInteger)
    .option(
      '--pictures <n>',
      'images that are drawn: lowest agreement, changed predictions (default: 8)',
      positiveInteger,
    )
    .option('-o, --output <folder>', 'where report.html, report.json, figures/ go (default: shibori-out/compare)');
  withRenamed(command, [{ flags: '--images <n>', to: '--map-images' }]);
  return withCommon(
    withModel(withSeed(withData(command))),
    'shibori compare vgg16.pt vgg16-compressed.onnx --data val.zip',
  ).action(async (before: string, after: string, options: CompareOptions) => {
    const { output, context, finish } = start(command, options);
    const { compare } = await import('../../workflows/compare.js');
    const result = await compare(
      before,
      after,
      {
        ...openOptions(options),
        ...dataOptions(options),
        data: required(options.data, '--data', 'compare needs images'),
        ...defined({
          layer: options.layer,
          mapImages: options.mapImages,
          pictures: options.pictures,
          output: options.output,
        }),
      },
      context,
    );
    finish();
    output.result(
      result,
      (r) => `${comparisonText(r)}\n\nReport: ${options.output ?? 'shibori-out/compare'}/report.html`,
    );
  });
}
