import { broadcastDims, formatDims } from '../graph/dims.js';
import type { Dim } from '../graph/model.js';
import type { InferContext } from './spec.js';

type Context = Pick<InferContext<unknown>, 'node' | 'types' | 'fail'>;

/** `bias "fc.bias" [3]`: an input in errors. */
export function describeInput({ node, types }: Context, index: number, what: string): string {
  return `${what} "${node.inputs[index]?.name}" ${formatDims(types[index]?.dims)}`;
}

/** Refuses an input that is not a vector of so many elements. One left out, or of unknown dimensions, passes. */
export function expectVector(c: Context, index: number, what: string, length: Dim | undefined, of: string): void {
  const dims = c.types[index]?.dims;
  if (!dims) return;
  const [found] = dims;
  const fits = dims.length === 1 && (typeof found !== 'number' || typeof length !== 'number' || found === length);
  if (fits) return;
  const size = dims.length === 1 ? `${found}` : `the dimensions ${formatDims(dims)}`;
  throw c.fail(
    `${describeInput(c, index, what)} should have one element for each of the ${length} ${of}, it has ${size}.`,
  );
}

/** Refuses an input that does not broadcast to given dimensions. One left out, or of unknown dimensions, passes. */
export function expectBroadcast(c: Context, index: number, what: string, target: readonly Dim[], of: string): void {
  const dims = c.types[index]?.dims;
  if (!dims) return;
  const joint = broadcastDims(target, dims);
  const grows = joint?.some((dim, axis) => typeof dim === 'number' && target[axis] === 1 && dim !== 1);
  if (joint?.length === target.length && !grows) return;
  throw c.fail(`${describeInput(c, index, what)} does not broadcast to ${of} ${formatDims(target)}.`);
}
