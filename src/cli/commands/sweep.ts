import { Command } from 'commander';
import type { SweepFileOptions as SweepFilesOptions } from '../../compression-run/sweep-sizes.js';
import { defined } from '../../values.js';
import { workFolder } from '../interruption.js';
import { type CommonOptions, withCommon, withModel } from '../options.js';
import { integer, percent } from '../output.js';
import { patterns, positiveInteger } from '../parse.js';
import { start } from '../start.js';
import { table } from '../table.js';
import {
  buildCompressFileOptions,
  buildCompressionPlan,
  checkCompressionOptions,
  refuseAcceptance,
  type SharedCompressionOptions,
  withCompression,
} from './compression-options.js';
import { required } from './required.js';

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
    .option('--params <amounts>', 'parameters, such as 5%,10%,20% (default: 3% to 60%, eight of them)', patterns)
    .option('--size <amounts>', 'bytes of the ONNX file, such as 2MB,4MB', patterns)
    .option('--macs <amounts>', 'multiply-adds of one image, such as 20%,40%', patterns)
    .optionsGroup('Output:')
    .option('-o, --output <folder>', 'models, report.html, report.json (default: shibori-out/sweep/MODEL)')
    .option('--jobs <n>', 'models made at the same time (default: by cores and memory)', positiveInteger);
  refuseAcceptance(withCompression(command));
  return withCommon(
    withModel(command),
    'shibori sweep vgg16.pt --data train --val-data val --params 5%,10%,20%,40% --beside study.yaml',
  ).action(async (file: string, options: SweepOptions) => {
    checkCompressionOptions(options);
    const saved = `Intermediate results are in ${workFolder('compress', file, options.work)}; finished models are kept.`;
    const { output, context, finish } = start(command, options, { resume: 'same', saved });
    const { parseSweepAmounts: amountsOf } = await import('../../compression-run/compression-plan.js');
    const data = required(options.data, '--data', 'a sweep needs images to learn from and to be measured on');
    const plan = { ...(await buildCompressionPlan(options)), ...amountsOf(options) };
    const { jobs } = options;
    const files: SweepFilesOptions = {
      ...buildCompressFileOptions(options, data),
      ...(options.output ? { output: options.output } : {}),
      ...defined({ jobs }),
    };
    const { sweep } = await import('../../compression-run/sweep-sizes.js');
    const result = await sweep(file, plan, files, context);
    finish();
    output.result(result, ({ before, points, control, page, seconds }) =>
      [
        table(
          ['parameters', 'left', 'gzip', 'mult-adds', 'top-1', 'lost', 'KL', 'maps', 'file'],
          [
            ['original', '', '', '', before ? percent(before.top1) : '–', '', '', '', ''],
            ...points.map(({ limit, reached }) =>
              reached
                ? [
                    integer(reached.size.after.parameters),
                    percent(100 * reached.size.ratio.parameters, 1),
                    percent(100 * reached.size.ratio.gzipBytes, 1),
                    percent(100 * reached.size.ratio.multAdds, 1),
                    reached.accuracy ? percent(reached.accuracy.top1) : '–',
                    reached.top1Drop?.toFixed(2) ?? '–',
                    reached.divergence.toPrecision(3),
                    reached.maps?.pearson?.mean.toFixed(3) ?? '–',
                    reached.file,
                  ]
                : [integer(limit), ...Array<string>(7).fill('–'), 'not reached'],
            ),
          ],
          { optional: ['gzip', 'mult-adds', 'KL', 'maps'] },
        ),
        ...points.flatMap(({ limit, smallest }) =>
          smallest === undefined ? [] : [`${integer(limit)} cannot be reached; the smallest is ${integer(smallest)}.`],
        ),
        ...(control
          ? [`The original, trained alike: ${control.accuracy ? percent(control.accuracy.top1) : 'without labels'}`]
          : []),
        '',
        `Took ${seconds.toFixed(0)} s. Report: ${page}`,
      ].join('\n'),
    );
  });
}
