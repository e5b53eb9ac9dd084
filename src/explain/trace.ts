/*
 * Follows places (`places.ts`) through a graph: from the images and the convolutions over them, through what moves
 * elements exactly, and through what computes an element from those at its own place. The rules are in `trace-rules.ts`.
 */
import type { Dim, Graph, Value } from '../graph/model.js';
import { createMapPlaces, type TracedPlaces } from './places.js';
import type { TraceContext } from './trace-moves.js';
import { getTraceRule } from './trace-rules.js';

/** Operators that read sizes and no pixels. */
const sizesOnly: ReadonlySet<string> = new Set(['Shape', 'Size']);

/** A dimension for a batch of one: `16*N` is 16. */
function findDimSize(dim: Dim): number | undefined {
  if (typeof dim === 'number') return dim;
  if (dim.includes('?')) return undefined;
  const factor = Number(dim.split('*')[0]);
  return Number.isInteger(factor) ? factor : 1;
}

function findSizes(value: Value | undefined): readonly number[] | undefined {
  const sizes = value?.type?.dims.map(findDimSize);
  return sizes?.every((size) => size !== undefined) ? sizes : undefined;
}

/** Finds the places of every value of a typed graph. Linear in nodes and in the entries of their axes. */
export function tracePlaces(graph: Graph): (value: Value) => TracedPlaces {
  const traced = new Map<Value, TracedPlaces>();
  for (const input of graph.inputs) {
    const sizes = findSizes(input);
    const isImage = sizes?.length === 4;
    traced.set(
      input,
      isImage ? createMapPlaces(sizes, 2, 3) : { lost: `input "${input.name}" has no height and width` },
    );
  }
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((input) => input && traced.get(input));
    if (sizesOnly.has(node.op) || inputs.every((input) => input === undefined)) continue;
    const context: TraceContext = {
      node,
      inputs,
      findInputSizes: (index) => findSizes(node.inputs[index]),
      findOutputSizes: (index) => findSizes(node.outputs[index]),
      findConstant(index) {
        const input = node.inputs[index];
        const data = input && graph.initializers.get(input)?.data;
        return data && Array.from(data, Number);
      },
      lose: (why) => ({ lost: `node "${node.name}" (${node.op}) ${why}` }),
    };
    const results = getTraceRule(node)(context);
    for (const [i, output] of node.outputs.entries()) if (output) traced.set(output, results[i] ?? results[0]);
  }
  return (value) => traced.get(value);
}
