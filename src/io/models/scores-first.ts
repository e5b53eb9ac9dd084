import type { Graph } from '../../graph/model.js';
import type { ModelInfo } from '../../models/metadata.js';
import { chooseOutput } from '../../ops/scores/choose-output.js';
import { withScoresFirst } from '../../passes/scores-graph.js';
import { defined } from '../../values.js';
import type { ModelConfigs } from './config-files.js';
import type { OpenOptions } from './open-options.js';

/**
 * Returns a graph with its scores first, the model's information with the user's choice, and notes. An option is stronger
 * than what the file remembers of an earlier one.
 *
 * @throws UsageError for an output that is not there or can hold no scores.
 */
export function moveScoresFirst(
  whole: Graph,
  info: ModelInfo,
  configs: Pick<ModelConfigs, 'classes'>,
  options: Pick<OpenOptions, 'outputName' | 'task'>,
): { readonly graph: Graph; readonly info: ModelInfo; readonly notes: readonly string[] } {
  const storedName = whole.outputs.some(({ name }) => name === info.scores) ? info.scores : undefined;
  const name = options.outputName ?? storedName;
  const classes = (info.classes ?? configs.classes?.names)?.length;
  const chosen = chooseOutput(whole, { name, classes });
  const { graph } = chosen ? withScoresFirst(whole, chosen.output) : { graph: whole };
  const outputs = graph === whole ? undefined : whole.outputs.map((output) => output.name);
  const { scores: _, outputs: __, task: earlier, ...rest } = info;
  const task = options.task ?? earlier;
  const others = whole.outputs.flatMap((output) => (output === chosen?.output ? [] : [output.name]));
  const list = others.map((other) => `"${other}"`).join(', ');
  const by = name === undefined ? ' (`outputName` chooses another)' : '';
  return {
    graph,
    info: {
      ...rest,
      ...(task === 'regression' && { task }),
      ...(others.length > 0 && chosen && { scores: chosen.output.name }),
      ...defined({ outputs }),
    },
    notes:
      chosen && others.length > 0
        ? [`Of its outputs, "${chosen.output.name}" holds the scores${by}; kept: ${list}.`]
        : [],
  };
}
