import { formatSuggestion, ShiboriError } from '../errors.js';
import { formatDims } from '../graph/dims.js';
import type { Dim, Graph, Value } from '../graph/model.js';
import type { Tensor } from '../tensor/tensor.js';
import type { NamedTensors } from './engine.js';

const describeTensorType = ({ dtype, dims }: { readonly dtype: string; readonly dims: readonly Dim[] }): string =>
  `${dtype} ${formatDims(dims)}`;

/**
 * Checks that the feeds are exactly the graph's inputs, of the declared types. A symbol stands for one size in the whole
 * graph: two inputs may not disagree about `N`.
 *
 * @returns the size of each symbol.
 * @throws ShiboriError naming the input that is missing, unknown or does not fit.
 */
export function checkFeeds(graph: Graph, feeds: NamedTensors): ReadonlyMap<string, number> {
  const names = graph.inputs.map((input) => input.name);
  for (const name of Object.keys(feeds)) {
    if (names.includes(name)) continue;
    throw new ShiboriError(
      `Graph "${graph.name}" has no input "${name}".${formatSuggestion(name, names)} Its inputs are ${names.join(', ') || 'none'}.`,
      { code: 'engine-failed' },
    );
  }
  const sizes = new Map<string, number>();
  const givenBy = new Map<string, string>();
  for (const input of graph.inputs) {
    const feed = feeds[input.name];
    if (!feed) {
      throw new ShiboriError(
        `Graph "${graph.name}" was run without its input "${input.name}"${input.type ? `: feed a ${describeTensorType(input.type)} tensor` : ''}.`,
        { code: 'engine-failed' },
      );
    }
    checkFeed(graph, input, feed);
    for (const [axis, dim] of (input.type?.dims ?? []).entries()) {
      if (typeof dim !== 'string' || dim === '?' || dim.includes('*')) continue;
      const size = feed.dims[axis] ?? 0;
      const before = sizes.get(dim);
      if (before === undefined) {
        sizes.set(dim, size);
        givenBy.set(dim, input.name);
      } else if (before !== size) {
        throw new ShiboriError(
          `Graph "${graph.name}": "${dim}" is ${before} in input "${givenBy.get(dim)}" but ${size} in input "${input.name}".`,
          { code: 'engine-failed' },
        );
      }
    }
  }
  return sizes;
}

function checkFeed(graph: Graph, input: Value, feed: Tensor): void {
  const { type } = input;
  if (!type) return;
  const fitting =
    type.dtype === feed.dtype &&
    type.dims.length === feed.dims.length &&
    type.dims.every((dim, axis) => typeof dim === 'string' || dim === feed.dims[axis]);
  if (fitting) return;
  throw new ShiboriError(
    `Graph "${graph.name}", input "${input.name}": expected a ${describeTensorType(type)} tensor, found ${describeTensorType(feed)}.`,
    { code: 'engine-failed' },
  );
}

/**
 * Checks the tensors that outputs are to be written into.
 *
 * @param results the types that the outputs have, where they are known.
 * @throws ShiboriError naming the output that is unknown or does not fit.
 */
export function checkOutputTargets(
  graph: Graph,
  into: NamedTensors,
  results: Readonly<Record<string, { readonly dtype: string; readonly dims: readonly Dim[] }>>,
): void {
  const names = graph.outputs.map((output) => output.name);
  for (const [name, target] of Object.entries(into)) {
    if (!names.includes(name)) {
      throw new ShiboriError(
        `Graph "${graph.name}" has no output "${name}" to write into.${formatSuggestion(name, names)} Its outputs are ${names.join(', ')}.`,
        { code: 'engine-failed' },
      );
    }
    const result = results[name];
    if (!result) continue;
    const fitting =
      result.dtype === target.dtype &&
      result.dims.length === target.dims.length &&
      result.dims.every((dim, axis) => typeof dim === 'string' || dim === target.dims[axis]);
    if (!fitting) {
      throw new ShiboriError(
        `Graph "${graph.name}", output "${name}": a ${describeTensorType(result)} result does not fit into a ${describeTensorType(target)} tensor.`,
        { code: 'engine-failed' },
      );
    }
  }
}
