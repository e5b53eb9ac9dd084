import { Command, Option } from 'commander';
import { UsageError } from '../../errors.js';
import type { Plan } from '../../verbs/recipe.js';
import {
  type CommonOptions,
  integers,
  type ModelOptions,
  openOptions,
  patterns,
  start,
  withCommon,
  withModel,
} from '../options.js';
import { integer, megabytes, percent, table } from '../output.js';
import { squeezeText, weightsText } from '../squeeze-text.js';
import { required } from './required.js';
import {
  filesOf,
  type SqueezeOptions,
  squeezeOptionNames,
  planOf as squeezePlanOf,
  withSqueeze,
} from './squeeze-options.js';

interface CompressOptions extends CommonOptions, ModelOptions, SqueezeOptions {
  readonly plan?: string;
  readonly layer?: string;
  readonly in?: number[];
  readonly out?: number[];
  readonly bonds?: number[];
  readonly layout: Plan['layers'][string]['layout'];
  readonly execution?: Plan['execution'];
  readonly train?: string[];
  readonly output?: string;
}

async function planOf(options: CompressOptions): Promise<Plan> {
  if (options.plan !== undefined) {
    if (options.layer !== undefined) throw new UsageError('Give either --plan or --layer, not both.');
    const { planSchema, readYaml } = await import('../../verbs/recipe.js');
    const plan = await readYaml(options.plan, 'plan', planSchema);
    return options.execution === undefined ? plan : { ...plan, execution: options.execution };
  }
  const layer = required(options.layer, '--plan or --layer', 'compress needs to know what to squeeze');
  const modes = {
    in: required(options.in, '--in', 'compress needs the modes of the layer’s inputs'),
    out: required(options.out, '--out', 'compress needs the modes of the layer’s outputs'),
  };
  const bonds = options.bonds === undefined ? {} : { bonds: options.bonds };
  return {
    layers: { [layer]: { layout: options.layout, ...modes, ...bonds } },
    execution: options.execution ?? 'auto',
  };
}

const PLAN_OPTIONS = ['plan', 'layer', 'in', 'out', 'bonds', 'execution', 'train'] as const;

/** Whether ranks are to be found; `false` where they are given. */
function findsRanks(options: CompressOptions): boolean {
  const given = (names: readonly (keyof CompressOptions)[]) => names.filter((name) => options[name] !== undefined);
  const [squeezing, planned] = [given(squeezeOptionNames), given(PLAN_OPTIONS)];
  const [a, b] = [squeezing[0], planned[0]];
  if (a === undefined || b === undefined) return a !== undefined;
  const option = (name: string) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw new UsageError(
    `${option(a)} and ${option(b)}: compress either finds the ranks for a goal, or takes those of --plan or --layer.`,
  );
}

/** Ranks by formula: squeezes to a goal. */
async function squeezeFile(file: string, options: CompressOptions): Promise<void> {
  const { output, context, finish } = start(options);
  const { goalOf } = await import('../../verbs/squeeze/goal.js');
  const plan = { goal: goalOf(options), ...(await squeezePlanOf(options)) };
  const written = options.output ? { output: options.output } : {};
  if (options.data === undefined) {
    const { squeezeFileWeights } = await import('../../verbs/squeeze/weights.js');
    const result = await squeezeFileWeights(file, plan, { ...openOptions(options), ...written }, context);
    finish();
    output.result(result, weightsText);
    return;
  }
  const { squeeze } = await import('../../verbs/squeeze/squeeze.js');
  const result = await squeeze(file, plan, { ...filesOf(options, options.data), ...written }, context);
  finish();
  output.result(result, squeezeText);
}

/** `shibori compress MODEL --data D --params 10%`, or `--plan plan.yaml` */
export function compressCommand(): Command {
  const command = new Command('compress')
    .description('make a model smaller: to a goal, the ranks found by measuring, or by ranks of your own')
    .argument('<model>', '.onnx, .pt/.pth or .safetensors file')
    .option('--params <amount>', 'goal: parameters that may be left, such as 10% or 2.8M')
    .option('--size <amount>', 'goal: bytes of the ONNX file, such as 4MB or 25%')
    .option('--macs <amount>', 'goal: multiply-adds of one image, such as 40% or 1.2G')
    .option('--max-accuracy-drop <points>', 'goal: points of top-1 that may be lost on the images that measure')
    .option(
      '--max-error <share>',
      'goal: relative error of the outputs (log-probabilities about their mean), such as 1%',
    )
    .option(
      '--plan <file>',
      'YAML: layers: { classifier.0: { layout: tt, in: [112, 224], out: [16, 32], bonds: [16, 100, 150] } }',
    )
    .option('--layer <name>', 'one layer, by module path or unique suffix')
    .option('--in <modes>', 'modes whose product is the number of inputs, such as 112,224', integers)
    .option('--out <modes>', 'modes whose product is the number of outputs, such as 16,32', integers)
    .option('--bonds <ranks>', 'inner bond dimensions, one fewer than modes (default: full rank)', integers)
    .addOption(new Option('--layout <layout>', 'order of the cores').choices(['tt', 'tt-matrix']).default('tt'))
    .addOption(
      new Option(
        '--execution <how>',
        'run the cores one by one, rebuild the dense weight at load, or measure both',
      ).choices(['factored', 'rebuilt', 'auto']),
    )
    .option(
      '--train <patterns>',
      "parameters counted as trainable (default: the model's head, such as classifier.*)",
      patterns,
    )
    .option('-o, --output <file>', 'where the model goes, format by extension (default: MODEL-compressed.onnx)')
    .addHelpText(
      'after',
      '\nExample:\n  shibori compress vgg16.pt --data tiny-imagenet --params 10% --finetune 1 -o small.onnx\n  shibori compress vgg16.pt --layer classifier.0 --in 112,224 --out 16,32 --bonds 16,100,150 -o small.onnx',
    );
  return withCommon(withSqueeze(withModel(command))).action(async (file: string, options: CompressOptions) => {
    if (findsRanks(options)) return squeezeFile(file, options);
    const { output, context, finish } = start(options);
    const { compress } = await import('../../verbs/compress.js');
    const result = await compress(
      file,
      await planOf(options),
      {
        ...openOptions(options),
        ...(options.train ? { train: options.train } : {}),
        ...(options.output ? { output: options.output } : {}),
      },
      context,
    );
    finish();
    output.result(result, ({ before, after, layers, output: written }) =>
      [
        table(
          ['layer', 'layout', 'bonds', 'parameters', 'error', 'bound', 'runs'],
          layers.map((layer) => [
            layer.name,
            layer.layout,
            layer.bonds.join(','),
            `${integer(layer.parametersBefore)} → ${integer(layer.parametersAfter)}`,
            percent(100 * layer.error),
            percent(100 * layer.bound),
            layer.execution,
          ]),
        ),
        ...layers.flatMap(({ name, clipped }) =>
          clipped.map(
            ({ bond, requested, kept }) =>
              `${name}: bond ${bond} was clipped from ${requested} to ${kept}, all that its unfolding allows.`,
          ),
        ),
        '',
        `Parameters ${integer(before.parameters)} → ${integer(after.parameters)} (${percent((100 * after.parameters) / before.parameters, 1)}); trainable ${integer(after.trainable)}, frozen ${integer(after.frozen)}`,
        `Size       ${megabytes(before.sizeBytes)} → ${megabytes(after.sizeBytes)}`,
        `Written to ${written}`,
      ].join('\n'),
    );
  });
}
