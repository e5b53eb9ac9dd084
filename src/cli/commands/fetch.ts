import { Command } from 'commander';
import { downloads, fetchNamed } from '../../io/named-downloads.js';
import { defined } from '../../values.js';
import { addCommonOptions, type CommonOptions } from '../options.js';
import { startCommand } from '../start-command.js';

/** `shibori fetch NAME` */
export function fetchCommand(): Command {
  const command = new Command('fetch')
    .description('download a data set or a model: resumable, checked by its digest')
    .argument('<name>', `one of: ${Object.keys(downloads).join(', ')}`)
    .option('-o, --output <file>', 'where it goes (default: the cache folder)');
  return addCommonOptions(command, 'shibori fetch tiny-imagenet').action(
    async (name: string, options: CommonOptions & { output?: string }) => {
      const { output, context, finish } = startCommand(command, options, {
        resume: 'same',
        saved: 'The part that was downloaded is kept.',
      });
      const file = await fetchNamed(name, {
        onProgress: (done: number, total: number) =>
          context.onProgress?.({ phase: `${name} (MB)`, done: Math.floor(done / 1e6), total: Math.ceil(total / 1e6) }),
        ...defined({ signal: context.signal }),
        ...(options.output ? { destination: options.output } : {}),
      });
      finish();
      output.result({ name, file }, (r) => r.file);
    },
  );
}
