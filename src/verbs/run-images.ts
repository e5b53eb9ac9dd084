import type { Session } from '../engine/engine.js';
import type { Graph } from '../graph/model.js';
import { expectFloat32, float32, type Tensor } from '../tensor/tensor.js';

/**
 * The first output of a graph for a batch of images, `[N, classes]`. A graph that runs for one batch size alone gets the
 * images in pieces of that size, the last one filled up with zeros.
 */
export async function runImages(session: Session, graph: Graph, images: Tensor<'float32'>): Promise<Tensor<'float32'>> {
  const [input] = graph.inputs;
  const outputName = graph.outputs[0]?.name ?? '';
  const run = async (feed: Tensor<'float32'>) =>
    expectFloat32((await session.run({ [input?.name ?? '']: feed }))[outputName], `Output "${outputName}"`);
  const [count = 0, ...dims] = images.dims;
  const size = input?.type?.dims[0];
  if (typeof size !== 'number' || size === count) return run(images);
  const elements = images.data.length / count;
  const rows: Float32Array[] = [];
  for (let start = 0; start < count; start += size) {
    const piece = new Float32Array(size * elements);
    piece.set(images.data.subarray(start * elements, (start + size) * elements));
    const { data } = await run(float32(piece, [size, ...dims]));
    const classes = data.length / size;
    for (let row = 0; row < Math.min(size, count - start); row++)
      rows.push(data.slice(row * classes, (row + 1) * classes));
  }
  const classes = rows[0]?.length ?? 0;
  const scores = new Float32Array(count * classes);
  for (const [row, values] of rows.entries()) scores.set(values, row * classes);
  return float32(scores, [count, classes]);
}
