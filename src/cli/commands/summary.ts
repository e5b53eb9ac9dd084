import { Command } from 'commander';
import { defined } from '../../values.js';
import { parsePatterns, parsePositiveInteger } from '../option-parsers.js';
import { addCommonOptions, addModelOptions, type CommonOptions, type ModelOptions, toOpenOptions } from '../options.js';
import { startCommand } from '../start-command.js';
import { formatSummary } from '../summary-text.js';

/** Names are shown up to this number of characters, and up to this number of them. */
const [LONGEST_NAME, MOST_NAMES] = [80, 30];

/** Names out of a file as a list: without control characters, of bounded length. */
function formatNameList(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMES).map((name) => JSON.stringify(name.slice(0, LONGEST_NAME)).slice(1, -1));
  return shown.join(', ') + (names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : '');
}

/** `shibori summary MODEL` */
export function summaryCommand(): Command {
  const command = new Command('summary')
    .description('list layers: output shapes, parameters, MACs, sizes')
    .argument('<model>', '.onnx, .pt/.pth/.ckpt/.th or .safetensors file')
    .option(
      '--train <patterns>',
      'count only these parameters as trainable, such as "classifier.*" (default: all)',
      parsePatterns,
    )
    .option('--output <name>', 'short for --output-name')
    .option('--batch <n>', 'images a batch (default: 1)', parsePositiveInteger);
  return addCommonOptions(addModelOptions(command), "shibori summary vgg16.pt --train 'classifier.*'").action(
    async (
      file: string,
      options: CommonOptions & ModelOptions & { train?: string[]; batch?: number; output?: string },
    ) => {
      const { output } = startCommand(command, options);
      const { summarize } = await import('../../workflows/summarize.js');
      const result = await summarize({
        model: file,
        ...toOpenOptions(options),
        ...defined({ outputName: options.output, train: options.train }),
        ...(options.batch ? { batch: options.batch } : {}),
      });
      if (result.ignored.length > 0) output.note(`Not part of the model, left out: ${formatNameList(result.ignored)}`);
      output.result(result, formatSummary);
    },
  );
}
