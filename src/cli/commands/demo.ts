import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { comparisonText } from '../comparison-text.js';
import { type CommonOptions, start, withCommon } from '../options.js';

/** `shibori demo` */
export function demoCommand(): Command {
  const command = new Command('demo')
    .description(
      'the whole study in miniature, in under two minutes: train a small net on cluttered digits, squeeze it, compare',
    )
    .option('-o, --output <folder>', 'where everything goes (default: shibori-out/demo)')
    .option('--seed <n>', 'decides digits, weights and order (default: 1)', Number)
    .addHelpText('after', '\nExample:\n  shibori demo');
  return withCommon(command).action(async (options: CommonOptions & { output?: string; seed?: number }) => {
    const { output, context, finish } = start(options);
    const { demo } = await import('../../verbs/demo.js');
    const result = await demo(
      {
        ...(options.output ? { output: options.output } : {}),
        ...(options.seed === undefined ? {} : { seed: options.seed }),
      },
      context,
    );
    finish();
    output.result(
      result,
      (r) => `${comparisonText(r.comparison)}\n\n${r.seconds.toFixed(0)} s in all. Report: ${r.output}/report.html`,
    );
    if (output.json || !process.stdout.isTTY) return;
    const { terminalImage } = await import('../../node/terminal-image.js');
    process.stdout.write(await terminalImage(readFileSync(join(result.output, 'triptychs.png'))));
  });
}
