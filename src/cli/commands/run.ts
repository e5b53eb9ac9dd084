import { Command } from 'commander';
import { defined } from '../../values.js';
import { formatComparison } from '../comparison-text.js';
import { getWorkFolder } from '../interruption.js';
import { addCommonOptions, type CommonOptions } from '../options.js';
import { toRecipeReport } from '../recipe-report.js';
import { addRenamedOptions } from '../renamed-options.js';
import { startCommand } from '../start-command.js';

interface RunCommandOptions extends CommonOptions {
  readonly model?: string;
  readonly weights?: string;
  readonly data?: string;
  readonly trainSplit?: string;
  readonly validationSplit?: string;
  readonly output?: string;
  readonly fresh?: boolean;
}

/** `shibori run RECIPE.yaml` */
export function runCommand(): Command {
  const command = new Command('run')
    .description('run the steps that a recipe declares: evaluate, explain, compress, fine-tune, compare')
    .argument('<recipe>', 'YAML file, such as recipes/tiny-imagenet-vgg16.yaml')
    .option('--model <file>', "use this model instead of the recipe's")
    .option('--weights <key>', 'weights of a checkpoint to use, such as model_ema')
    .option('--data <source>', "use this data instead of the recipe's")
    .option('--train-split <file>', 'split file of the training images')
    .option('--validation-split <file>', 'split file of the validation images')
    .option('-o, --output <folder>', "where everything goes (default: the recipe's, or shibori-out/RECIPE)")
    .option('--fresh', 'start over (default: resume an interrupted run)');
  addRenamedOptions(command, [{ flags: '--val-split <file>', to: '--validation-split' }]);
  return addCommonOptions(
    command,
    'shibori run recipes/tiny-imagenet-vgg16.yaml --model vgg16.pt --data tiny-imagenet-200.zip',
  ).action(async (file: string, options: RunCommandOptions) => {
    const saved = `What was done is in ${getWorkFolder('', file, options.output)}.`;
    const { output, context, finish } = startCommand(command, options, { resume: 'same', saved });
    const { model, weights, data, trainSplit, validationSplit, fresh } = options;
    const { readYaml, recipeSchema } = await import('../../recipes/recipe.js');
    const { output: declared } = await readYaml(file, 'recipe', recipeSchema);
    const { runRecipe } = await import('../../workflows/run-recipe.js');
    const result = await runRecipe({
      ...context,
      recipe: file,
      ...defined({ model, weights, data, trainSplit, validationSplit, fresh }),
      output: options.output ?? declared ?? getWorkFolder('', file, undefined),
    });
    finish();
    output.result(
      toRecipeReport(result),
      (r) => `${formatComparison(r.comparison)}\n\n${r.seconds.toFixed(0)} s in all. Report: ${r.output}/report.html`,
    );
  });
}
