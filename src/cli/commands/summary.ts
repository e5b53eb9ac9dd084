import { Command } from 'commander';
import { defined } from '../../values.js';
import { type CommonOptions, type ModelOptions, openOptions, withCommon, withModel } from '../options.js';
import { patterns, positiveInteger } from '../parse.js';
import { start } from '../start.js';
import { summaryText } from '../summary-text.js';

/** Names are shown up to this number of characters, and up to this number of them. */
const [LONGEST_NAME, MOST_NAMES] = [80, 30];

/** Names out of a file as a list: without control characters, of bounded length. */
function namesText(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMES).map((name) => JSON.stringify(name.slice(0, LONGEST_NAME)).slice(1, -1));
  return shown.join(', ') + (names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : '');
}

/** `shibori summary MODEL` */
export function summaryCommand(): Command {
  const command = new Command('summary')
    .description('list layers: output shapes, parameters, multiply-adds, sizes')
    .argument('<model>', '.onnx, .pt/.pth/.ckpt/.th or .safetensors file')
    .option(
      '--train <patterns>',
      'count only these parameters as trainable, such as "classifier.*" (default: all)',
      patterns,
    )
    .option('--output <name>', 'short for --output-name')
    .option('--batch <n>', 'images a batch (default: 1)', positiveInteger);
  return withCommon(withModel(command), "shibori summary vgg16.pt --train 'classifier.*'").action(
    async (
      file: string,
      options: CommonOptions & ModelOptions & { train?: string[]; batch?: number; output?: string },
    ) => {
      const { output } = start(command, options);
      const { summary } = await import('../../workflows/summarize.js');
      const result = await summary(file, {
        ...openOptions(options),
        ...defined({ outputName: options.output, train: options.train }),
        ...(options.batch ? { batch: options.batch } : {}),
      });
      if (result.ignored.length > 0) output.note(`Not part of the model, left out: ${namesText(result.ignored)}`);
      output.result(result, summaryText);
    },
  );
}
