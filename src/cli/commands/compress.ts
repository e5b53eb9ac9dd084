import { Command, Option } from 'commander';
import type { CompressionShape } from '../../compression-run/compression-report.js';
import type { SizeChange } from '../../compression-run/size-figures.js';
import { UsageError } from '../../errors.js';
import type { RankPlan } from '../../recipes/recipe.js';
import { defined } from '../../values.js';
import { parseGoal, toFlag } from '../compression-goal.js';
import { formatCompression, formatRankCompression, formatWeightCompression } from '../compression-text.js';
import { addExecutionOption, type ExecutionName, toExecution } from '../execution-option.js';
import { startRareGroup } from '../help.js';
import { parsePatterns, parsePositiveIntegers } from '../option-parsers.js';
import { addCommonOptions, addModelOptions, type CommonOptions, type ModelOptions, toOpenOptions } from '../options.js';
import { noteEarly } from '../output.js';
import { addRenamedOptions } from '../renamed-options.js';
import { startCommand } from '../start-command.js';
import {
  checkCompressionOptions,
  compressionOptionNames,
  type SharedCompressionOptions,
  toCompressionSettings,
  toCompressionSources,
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

/** Names the file to write. */
async function getOutput(file: string, { output }: CompressOptions): Promise<string> {
  const { buildDefaultOutput } = await import('../../io/models/model-file.js');
  return output ?? buildDefaultOutput(file, 'compressed', '.onnx');
}

/** Reads the plan of given ranks. */
async function readRanksPlan(options: CompressOptions): Promise<RankPlan> {
  if (options.plan !== undefined) {
    if (options.layer !== undefined) throw new UsageError('Give either --plan or --layer, not both.');
    const { rankPlanSchema: planSchema, readYaml } = await import('../../recipes/recipe.js');
    const plan = await readYaml(options.plan, 'plan', planSchema, (text) => noteEarly(options, text));
    return options.execution === undefined ? plan : { ...plan, execution: toExecution(options.execution) };
  }
  const layer = requireOption(options.layer, '--plan or --layer', 'compress needs to know what to compress');
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
  throw new UsageError(
    `${toFlag(a)} and ${toFlag(b)}: compress either finds the ranks for a goal, or takes those of --plan or --layer.`,
  );
}

/** Adds the sizes under the names that a compression with given ranks has, so that both are read alike. */
function withSizes<T extends CompressionShape>(result: T): T & Pick<SizeChange, 'before' | 'after'> {
  const { before, after } = result.size;
  return { ...result, before, after };
}

/** Compresses to a goal, with ranks that are found. */
async function compressToGoal(command: Command, file: string, options: CompressOptions): Promise<void> {
  checkCompressionOptions(options);
  const { data } = options;
  const { work, ...sources } = toCompressionSources(file, options);
  const saved = `Intermediate results are in ${work}; no model was written.`;
  const interruption = data === undefined ? undefined : ({ resume: 'same', saved } as const);
  const { output, context, finish } = startCommand(command, options, interruption);
  const goal = parseGoal(options);
  const { compress } = await import('../../workflows/compress.js');
  const shared = {
    ...sources,
    ...toCompressionSettings(options),
    ...context,
    goal,
    output: await getOutput(file, options),
  };
  if (data === undefined) {
    const { model, ...result } = await compress(shared);
    finish();
    output.result(withSizes(result), formatWeightCompression);
    return;
  }
  const { model, ...result } = await compress({ ...shared, data, work, report: work });
  finish();
  output.result(withSizes(result), formatCompression);
}

/** Compresses with given ranks. */
async function compressWithRanks(command: Command, file: string, options: CompressOptions): Promise<void> {
  const { output, context, finish } = startCommand(command, options);
  const plan = await readRanksPlan(options);
  const { compress } = await import('../../workflows/compress.js');
  const { model, ...result } = await compress({
    model: file,
    plan,
    output: await getOutput(file, options),
    ...toOpenOptions(options),
    ...defined({ train: options.train }),
    ...context,
  });
  finish();
  output.result(result, formatRankCompression);
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
    .option('--macs <amount>', 'MACs of one image, such as 40% or 1.2G')
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
  ).action((file: string, options: CompressOptions) =>
    hasGoal(options) ? compressToGoal(command, file, options) : compressWithRanks(command, file, options),
  );
}
