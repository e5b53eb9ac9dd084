import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { defined } from '../../values.js';
import { formatComparison } from '../comparison-text.js';
import { SEED_HELP } from '../help.js';
import { parseNonNegativeInteger } from '../option-parsers.js';
import { addCommonOptions, type CommonOptions } from '../options.js';
import { toRecipeReport } from '../recipe-report.js';
import { startCommand } from '../start-command.js';

/** `shibori demo` */
export function demoCommand(): Command {
  const command = new Command('demo')
    .description('run the whole recipe in miniature, in under two minutes: train a small network, compress it, compare')
    .option('-o, --output <folder>', 'where everything goes (default: shibori-out/demo)')
    .option('--seed <n>', SEED_HELP, parseNonNegativeInteger);
  return addCommonOptions(command, 'shibori demo').action(
    async (options: CommonOptions & { output?: string; seed?: number }) => {
      const { output, context, finish } = startCommand(command, options);
      const { demo } = await import('../../workflows/demo.js');
      const result = await demo({
        ...context,
        output: options.output ?? join('shibori-out', 'demo'),
        ...defined({ seed: options.seed }),
      });
      finish();
      output.result(
        toRecipeReport(result),
        (r) => `${formatComparison(r.comparison)}\n\n${r.seconds.toFixed(0)} s in all. Report: ${r.output}/report.html`,
      );
      if (output.json || !process.stdout.isTTY) return;
      const { encodeTerminalImage: terminalImage } = await import('../terminal/terminal-image.js');
      process.stdout.write(await terminalImage(readFileSync(join(result.output, 'triptychs.png'))));
    },
  );
}
