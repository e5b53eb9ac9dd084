import { Command, Option } from 'commander';
import type { CompressionShape } from '../../compression-run/compression-report.js';
import type { SizeChange } from '../../compression-run/size-figures.js';
import { UsageError } from '../../errors.js';
import type { RankPlan } from '../../recipes/recipe.js';
import { defined } from '../../values.js';
import { formatCompression, formatCompressionWithoutImages } from '../compression-text.js';
import { addExecutionOption, type ExecutionName, toExecution } from '../execution-option.js';
import { startRareGroup } from '../help.js';
import { getWorkFolder } from '../interruption.js';
import { parsePatterns, parsePositiveIntegers } from '../option-parsers.js';
import { addCommonOptions, addModelOptions, type CommonOptions, type ModelOptions, toOpenOptions } from '../options.js';
import { formatByteSize, formatInteger, formatPercent, noteEarly } from '../output.js';
import { addRenamedOptions } from '../renamed-options.js';
import { startCommand } from '../start-command.js';
import { formatTable } from '../terminal-table.js';
import {
  buildCompressFileOptions,
  checkCompressionOptions,
  compressionOptionNames,
  type SharedCompressionOptions,
  buildCompressionPlan as squeezePlanOf,
  withAcceptance,
  withCompression,
} from './compression-options.js';
import { requireOption } from './required-option.js';

interface CompressOptions extends CommonOptions, ModelOptions, SharedCompressionOptions {
  readonly plan?: string;
  readonly layer?: string;
  readonly in?: number[];
  readonly out?: number[];
  readonly ranks?: number[];
  readonly layout?: RankPlan['layers'][string]['layout'];
  readonly execution?: ExecutionName;
  readonly train?: string[];
  readonly output?: string;
}

async function readRanksPlan(options: CompressOptions): Promise<RankPlan> {
  if (options.plan !== undefined) {
    if (options.layer !== undefined) throw new UsageError('Give either --plan or --layer, not both.');
    const { rankPlanSchema: planSchema, readYaml } = await import('../../recipes/recipe.js');
    const plan = await readYaml(options.plan, 'plan', planSchema, (text) => noteEarly(options, text));
    return options.execution === undefined ? plan : { ...plan, execution: toExecution(options.execution) };
  }
  const layer = requireOption(options.layer, '--plan or --layer', 'compress needs to know what to squeeze');
  const modes = {
    in: requireOption(options.in, '--in', "compress needs the modes of the layer's inputs"),
    out: requireOption(options.out, '--out', "compress needs the modes of the layer's outputs"),
  };
  const bonds = options.ranks === undefined ? {} : { bonds: options.ranks };
  return {
    layers: { [layer]: { layout: options.layout ?? 'tt', ...modes, ...bonds } },
    execution: toExecution(options.execution ?? 'auto'),
  };
}

const PLAN_OPTIONS = ['plan', 'layer', 'in', 'out', 'ranks', 'layout', 'execution', 'train'] as const;

/** Whether ranks are to be found; `false` where they are given. */
function hasGoal(options: CompressOptions): boolean {
  const given = (names: readonly (keyof CompressOptions)[]) => names.filter((name) => options[name] !== undefined);
  const [goalOptions, planned] = [given(compressionOptionNames), given(PLAN_OPTIONS)];
  const [a, b] = [goalOptions[0], planned[0]];
  if (a === undefined || b === undefined) return a !== undefined;
  const option = (name: string) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw new UsageError(
    `${option(a)} and ${option(b)}: compress either finds the ranks for a goal, or takes those of --plan or --layer.`,
  );
}

/** Adds the sizes under the names that a compression with given ranks has, so that both are read alike. */
function withSizes<T extends CompressionShape>(result: T): T & Pick<SizeChange, 'before' | 'after'> {
  const { before, after } = result.size;
  return { ...result, before, after };
}

/** Ranks by formula: squeezes to a goal. */
async function compressFileToGoal(command: Command, file: string, options: CompressOptions): Promise<void> {
  checkCompressionOptions(options);
  const saved = `Intermediate results are in ${getWorkFolder('compress', file, options.work)}; no model was written.`;
  const { output, context, finish } = startCommand(
    command,
    options,
    options.data === undefined ? undefined : { resume: 'same', saved },
  );
  const { parseGoal: goalOf } = await import('../../compression-run/compression-plan.js');
  const plan = { goal: goalOf(options), ...(await squeezePlanOf(options)) };
  const written = options.output ? { output: options.output } : {};
  if (options.data === undefined) {
    const { compressFileWithoutImages: squeezeFileWeights } = await import(
      '../../compression-run/compress-without-images.js'
    );
    const result = await squeezeFileWeights(file, plan, { ...toOpenOptions(options), ...written }, context);
    finish();
    output.result(withSizes(result), formatCompressionWithoutImages);
    return;
  }
  const { compressToGoal: squeeze } = await import('../../compression-run/compress-to-goal.js');
  const result = await squeeze(file, plan, { ...buildCompressFileOptions(options, options.data), ...written }, context);
  finish();
  output.result(withSizes(result), formatCompression);
}

/** Adds the options for ranks that are given instead of found. */
function withGivenRanks(command: Command): void {
  startRareGroup(command, 'Given ranks instead of a goal:')
    .option('--plan <file>', 'YAML: layers: { classifier.0: { in: [112, 224], out: [16, 32], ranks: [16, 100, 150] } }')
    .option('--layer <name>', 'one layer, by module path or unique suffix')
    .option('--in <modes>', 'modes whose product is the number of inputs, such as 112,224', parsePositiveIntegers)
    .option('--out <modes>', 'modes whose product is the number of outputs, such as 16,32', parsePositiveIntegers)
    .option('--ranks <ranks>', 'inner ranks, one fewer than modes (default: full rank)', parsePositiveIntegers)
    .addOption(new Option('--layout <layout>', 'layout of the cores (default: tt)').choices(['tt', 'tt-matrix']))
    .option('--train <patterns>', "parameters counted as trainable (default: the model's head)", parsePatterns);
  addExecutionOption(command, 'cores one by one, weight reconstructed at load, or the faster one');
  addRenamedOptions(command, [{ flags: '--bonds <ranks>', to: '--ranks' }]);
}

/** `shibori compress MODEL --data D --params 10%`, or `--plan plan.yaml` */
export function compressCommand(): Command {
  const command = new Command('compress')
    .description('make a model smaller: to a goal, with ranks found by measuring, or with given ranks')
    .argument('<model>', '.onnx, .pt/.pth/.ckpt/.th or .safetensors file')
    .optionsGroup('Goal (one of them):')
    .option('--params <amount>', 'parameters that may be left, such as 10% or 2.8M')
    .option('--size <amount>', 'bytes of the ONNX file, such as 4MB or 25%')
    .option('--macs <amount>', 'multiply-adds of one image, such as 40% or 1.2G')
    .option('--max-accuracy-drop <points>', 'points of top-1 that may be lost')
    .option('--max-error <share>', 'relative error of the outputs, such as 1%')
    .optionsGroup('Output:')
    .option('-o, --output <file>', 'file to write (default: MODEL-compressed.onnx)');
  withAcceptance(withCompression(command));
  withGivenRanks(command);
  return addCommonOptions(
    addModelOptions(command),
    'shibori compress vgg16.pt --data tiny-imagenet --params 10% --finetune 1 -o small.onnx',
    'shibori compress vgg16.pt --layer classifier.0 --in 112,224 --out 16,32 --ranks 16,100,150',
  ).action(async (file: string, options: CompressOptions) => {
    if (hasGoal(options)) return compressFileToGoal(command, file, options);
    const { output, context, finish } = startCommand(command, options);
    const { compressWithRanks: compress } = await import('../../workflows/compress-with-ranks.js');
    const result = await compress(
      file,
      await readRanksPlan(options),
      {
        ...toOpenOptions(options),
        ...defined({ train: options.train }),
        ...(options.output ? { output: options.output } : {}),
      },
      context,
    );
    finish();
    output.result(result, ({ before, after, layers, output: written }) =>
      [
        formatTable(
          ['layer', 'layout', 'bonds', 'parameters', 'error', 'bound', 'runs'],
          layers.map((layer) => [
            layer.name,
            layer.layout,
            layer.bonds.join(','),
            `${formatInteger(layer.parametersBefore)} → ${formatInteger(layer.parametersAfter)}`,
            formatPercent(100 * layer.error),
            formatPercent(100 * layer.bound),
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
        `Parameters ${formatInteger(before.parameters)} → ${formatInteger(after.parameters)} (${formatPercent((100 * after.parameters) / before.parameters, 1)}); trainable ${formatInteger(after.trainable)}, frozen ${formatInteger(after.frozen)}`,
        `Size       ${formatByteSize(before.sizeBytes)} → ${formatByteSize(after.sizeBytes)}`,
        `Written to ${written}`,
      ].join('\n'),
    );
  });
}
