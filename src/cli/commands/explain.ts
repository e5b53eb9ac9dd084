import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { defined } from '../../values.js';
import { toExplainJson } from '../explain-json.js';
import { formatExplanations } from '../explain-text.js';
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
import { startCommand } from '../start-command.js';
import { formatTable } from '../terminal-table.js';

interface ExplainCommandOptions extends CommonOptions, ModelOptions, ImageOptions {
  readonly layer?: string;
  readonly class?: string;
  readonly score?: 'logits' | 'output';
  readonly output?: string;
  readonly maps?: string;
  readonly picture: boolean;
}

/** `shibori explain MODEL IMAGE…` */
export function explainCommand(): Command {
  const command = new Command('explain')
    .description('show where a model looks: Grad-CAM triptychs (image | map | overlay)')
    .argument('<model>', '.onnx, .pt/.pth/.ckpt/.th or .safetensors file')
    .argument('[images...]', 'images, folders or .txt lists of them; with --data: positions or paths in it')
    .option('--layer <name>', 'layer to look at; "list" shows the candidates (default: the last activation on a grid)')
    .option('--class <class>', 'class to explain: index, name or id (default: the predicted one)')
    .addOption(
      new Option(
        '--score <which>',
        "explain logits or the model's output (default: logits, but log-softmax as it is)",
      ).choices(['logits', 'output']),
    )
    .option('-o, --output <folder>', 'where the pictures go (default: shibori-out/explain)')
    .option('--maps <folder>', 'also write each map as float32 .npy [H, W]')
    .option('--no-picture', 'write no pictures');
  return addCommonOptions(
    addModelOptions(addSeedOption(addDataOptions(command))),
    'shibori explain vgg16.pt goldfish.jpeg --layer features.29 --class goldfish',
  ).action(async (file: string, images: string[], options: ExplainCommandOptions) => {
    const { output, context, finish } = startCommand(command, options);
    if (options.layer === 'list') {
      const { listLayers } = await import('../../workflows/list-layers.js');
      output.result(await listLayers({ model: file, ...toOpenOptions(options), ...context }), (layers) =>
        formatTable(
          ['layer', 'operator', 'activation', 'channels', 'grid', ''],
          layers.map(({ name, op, shape, grid, isDefault }) => [
            name,
            op,
            `[${shape.join(', ')}]`,
            grid.channels,
            `${grid.height}×${grid.width}`,
            isDefault ? 'default' : '',
          ]),
        ),
      );
      return;
    }
    const { explain } = await import('../../workflows/explain.js');
    const result = toExplainJson(
      await explain({
        model: file,
        images,
        ...toOpenOptions(options),
        ...toDataOptions(options),
        ...defined({
          data: options.data,
          layer: options.layer,
          target: options.class,
          score: options.score,
          maps: options.maps,
        }),
        ...(options.picture && { output: options.output ?? join('shibori-out', 'explain') }),
        ...context,
      }),
    );
    finish();
    output.result(result, formatExplanations);
    if (output.json || !process.stdout.isTTY) return;
    const { encodeTerminalImage: terminalImage } = await import('../terminal/terminal-image.js');
    for (const { picture } of result.images) {
      if (picture !== null) process.stdout.write(await terminalImage(readFileSync(picture)));
    }
  });
}
