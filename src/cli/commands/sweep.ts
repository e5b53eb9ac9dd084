import { Command } from 'commander';
import type { SweepFileOptions as SweepFilesOptions } from '../../compression-run/sweep-sizes.js';
import { defined } from '../../values.js';
import { getWorkFolder } from '../interruption.js';
import { parsePatterns, parsePositiveInteger } from '../option-parsers.js';
import { addCommonOptions, addModelOptions, type CommonOptions } from '../options.js';
import { formatInteger, formatPercent } from '../output.js';
import { startCommand } from '../start-command.js';
import { formatTable } from '../terminal-table.js';
import {
  buildCompressFileOptions,
  buildCompressionPlan,
  checkCompressionOptions,
  refuseAcceptance,
  type SharedCompressionOptions,
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
    .option('--macs <amounts>', 'multiply-adds of one image, such as 20%,40%', parsePatterns)
    .optionsGroup('Output:')
    .option('-o, --output <folder>', 'models, report.html, report.json (default: shibori-out/sweep/MODEL)')
    .option('--jobs <n>', 'models made at the same time (default: by cores and memory)', parsePositiveInteger);
  refuseAcceptance(withCompression(command));
  return addCommonOptions(
    addModelOptions(command),
    'shibori sweep vgg16.pt --data train --validation-data val --params 5%,10%,20%,40% --baseline-plan ranks.yaml',
  ).action(async (file: string, options: SweepOptions) => {
    checkCompressionOptions(options);
    const saved = `Intermediate results are in ${getWorkFolder('compress', file, options.work)}; finished models are kept.`;
    const { output, context, finish } = startCommand(command, options, { resume: 'same', saved });
    const { parseSweepAmounts: amountsOf } = await import('../../compression-run/compression-plan.js');
    const data = requireOption(options.data, '--data', 'a sweep needs images to learn from and to be measured on');
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
        formatTable(
          ['parameters', 'left', 'gzip', 'mult-adds', 'top-1', 'lost', 'KL', 'maps', 'file'],
          [
            ['original', '', '', '', before ? formatPercent(before.top1) : '–', '', '', '', ''],
            ...points.map(({ limit, reached }) =>
              reached
                ? [
                    formatInteger(reached.size.after.parameters),
                    formatPercent(100 * reached.size.ratio.parameters, 1),
                    formatPercent(100 * reached.size.ratio.gzipBytes, 1),
                    formatPercent(100 * reached.size.ratio.multAdds, 1),
                    reached.accuracy ? formatPercent(reached.accuracy.top1) : '–',
                    reached.top1Drop?.toFixed(2) ?? '–',
                    reached.divergence.toPrecision(3),
                    reached.maps?.pearson?.mean.toFixed(3) ?? '–',
                    reached.file,
                  ]
                : [formatInteger(limit), ...Array<string>(7).fill('–'), 'not reached'],
            ),
          ],
          { optional: ['gzip', 'mult-adds', 'KL', 'maps'] },
        ),
        ...points.flatMap(({ limit, smallest }) =>
          smallest === undefined
            ? []
            : [`${formatInteger(limit)} cannot be reached; the smallest is ${formatInteger(smallest)}.`],
        ),
        ...(control
          ? [
              `The original, trained alike: ${control.accuracy ? formatPercent(control.accuracy.top1) : 'without labels'}`,
            ]
          : []),
        '',
        `Took ${seconds.toFixed(0)} s. Report: ${page}`,
      ].join('\n'),
    );
  });
}
