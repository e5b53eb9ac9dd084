import { Command } from 'commander';
import type { SweepOptions as SweepFilesOptions } from '../../verbs/squeeze/sweep.js';
import { type CommonOptions, patterns, positiveInteger, start, withCommon, withModel } from '../options.js';
import { integer, percent, table } from '../output.js';
import { required } from './required.js';
import { filesOf, planOf, type SqueezeOptions, withSqueeze } from './squeeze-options.js';

interface SweepOptions extends CommonOptions, Omit<SqueezeOptions, 'params' | 'size' | 'macs'> {
  readonly params?: string[];
  readonly size?: string[];
  readonly macs?: string[];
  readonly jobs?: number;
  readonly output?: string;
}

/** `shibori sweep MODEL --data D` */
export function sweepCommand(): Command {
  const command = new Command('sweep')
    .description('squeeze a model to many sizes and draw what survives; resumable, points side by side')
    .argument('<model>', '.onnx, .pt/.pth or .safetensors file')
    .option('--params <amounts>', 'sizes, such as 5%,10%,20% (default: 3% to 60%, eight of them)', patterns)
    .option('--size <amounts>', 'or bytes of the ONNX file, such as 2MB,4MB', patterns)
    .option('--macs <amounts>', 'or multiply-adds of one image, such as 20%,40%', patterns)
    .option('--jobs <n>', 'points made at once (default: by cores and memory)', positiveInteger)
    .option('-o, --output <folder>', 'models, report.html and report.json (default: shibori-out/sweep/MODEL)')
    .addHelpText(
      'after',
      '\nExample:\n  shibori sweep vgg16.pt --data train --val-data val --params 5%,10%,20%,40% --beside study.yaml',
    );
  return withCommon(withSqueeze(withModel(command))).action(async (file: string, options: SweepOptions) => {
    const { output, context, finish } = start(options);
    const { amountsOf } = await import('../../verbs/squeeze/goal.js');
    const data = required(options.data, '--data', 'a sweep needs images to learn from and to be measured on');
    const plan = { ...(await planOf(options)), ...amountsOf(options) };
    const { jobs } = options;
    const files: SweepFilesOptions = {
      ...filesOf(options, data),
      ...(options.output ? { output: options.output } : {}),
      ...(jobs === undefined ? {} : { jobs }),
    };
    const { sweep } = await import('../../verbs/squeeze/sweep.js');
    const result = await sweep(file, plan, files, context);
    finish();
    output.result(result, ({ before, points, page, seconds }) =>
      [
        table(
          ['parameters', 'left', 'gzip', 'mult-adds', 'top-1', 'lost', 'KL', 'maps', 'file'],
          [
            ['original', '', '', '', percent(before.top1), '', '', '', ''],
            ...points.map(({ limit, smallest, reached }) =>
              reached
                ? [
                    integer(reached.size.after.parameters),
                    percent(100 * reached.size.ratio.parameters, 1),
                    percent(100 * reached.size.ratio.gzipBytes, 1),
                    percent(100 * reached.size.ratio.multAdds, 1),
                    percent(reached.accuracy.top1),
                    reached.top1Drop.toFixed(2),
                    reached.divergence.toPrecision(3),
                    reached.maps?.pearson?.mean.toFixed(3) ?? '–',
                    reached.file,
                  ]
                : [`${integer(limit)} cannot be reached: ${integer(smallest ?? 0)} can`, ...Array<string>(8).fill('')],
            ),
          ],
        ),
        '',
        `Took ${seconds.toFixed(0)} s. Report: ${page}`,
      ].join('\n'),
    );
  });
}
