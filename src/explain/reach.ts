/*
 * Whether the patches of an activation still count for the scores. Downstream of the last attention a class token no longer
 * depends on them: where it alone is read, their gradient is zero, and a map would be empty.
 */
import type { Graph, Node, Value } from '../graph/model.js';
import type { ChannelAxes } from './channel-axis.js';
import { isLost, isPlaceless } from './places.js';
import type { Grids } from './spatial.js';
import { moveRules } from './trace-moves.js';

/** How many axes of a value run over places. */
function countPlaceAxes({ findPlaces }: Grids, value: Value): number {
  const traced = findPlaces(value);
  return traced && !isLost(traced) ? traced.axes.filter((axis) => axis !== undefined).length : 0;
}

/** Whether every entry of a node's output may depend on every place of its input. */
function mixesPlaces(node: Node, input: Value, output: Value, axes: ChannelAxes, grids: Grids): boolean {
  if (axes.mixes(node)) return true;
  return moveRules[node.op] === undefined && countPlaceAxes(grids, output) < countPlaceAxes(grids, input);
}

/** Whether any patch of an activation reaches the scores, in a graph whose one output they are. */
export function reachesScores(graph: Graph, axes: ChannelAxes, grids: Grids, activation: Value): boolean {
  // Values that hold patches at their places, and values of which every entry holds something of them.
  const own = new Set<Value>([activation]);
  const mixed = new Set<Value>();
  for (const node of graph.nodes) {
    for (const output of node.outputs) {
      if (!output || output === activation) continue;
      const traced = grids.findPlaces(output);
      for (const input of node.inputs) {
        if (!input) continue;
        if (mixed.has(input) || (own.has(input) && mixesPlaces(node, input, output, axes, grids))) mixed.add(output);
        else if (own.has(input) && !(traced && !isLost(traced) && isPlaceless(traced))) own.add(output);
      }
    }
  }
  return graph.outputs.some((output) => own.has(output) || mixed.has(output));
}
