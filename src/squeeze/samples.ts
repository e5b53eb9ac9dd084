/*
 * What a layer sees and what it answers, sampled: patches of its input, and its output at the same positions of the same
 * images, less their means.
 */
import type { Engine } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import type { Value } from '../graph/model.js';
import type { SingleMatrix } from '../linalg/matrix.js';
import { GraphBuilder } from '../ops/builder.js';
import { sizeOf } from '../tensor/dims.js';
import { seeded } from '../tensor/random.js';
import { expectFloat32, type Tensor, tensor } from '../tensor/tensor.js';
import { outputColumns, patchColumns } from './patches.js';
import type { SqueezeLayer } from './squeeze-layer.js';

/** Samples of a vector, a column each, about their mean. */
export interface Samples {
  /** `[n, S]`, each row with a mean of zero. */
  readonly columns: SingleMatrix;
  /** `[n]`. */
  readonly mean: Float64Array;
}

/** Variance of every row `[n]`. */
export function variances({ columns: { rows, cols, data } }: Samples): Float64Array {
  const result = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    let sum = 0;
    for (let at = i * cols; at < (i + 1) * cols; at++) sum += (data[at] as number) ** 2;
    result[i] = sum / cols;
  }
  return result;
}

/** Positions of a layer's output that are taken of a batch, in order: drawn by the batch's number, so that all count alike. */
function positionsOf(layer: SqueezeLayer, perImage: number, batch: number): Tensor<'int64'> {
  const drawn = seeded(batch).permutation(sizeOf(layer.outputSize)).subarray(0, perImage);
  const ordered = [...drawn].sort((a, b) => a - b);
  return tensor('int64', [perImage], BigInt64Array.from(ordered, BigInt));
}

/** Takes the mean from a row and tells it. */
export function centre(row: Float32Array): number {
  let sum = 0;
  for (let j = 0; j < row.length; j++) sum += row[j] as number;
  const mean = sum / row.length;
  for (let j = 0; j < row.length; j++) row[j] = (row[j] as number) - mean;
  return mean;
}

/** Parts side by side, less the mean of each row. */
function centred(parts: readonly Tensor<'float32'>[]): Samples {
  const rows = parts[0]?.dims[0] ?? 0;
  const cols = parts.reduce((sum, { dims }) => sum + (dims[1] ?? 0), 0);
  const data = new Float32Array(rows * cols);
  const mean = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    const row = data.subarray(i * cols, (i + 1) * cols);
    let at = 0;
    for (const part of parts) {
      const width = part.dims[1] ?? 0;
      row.set(part.data.subarray(i * width, (i + 1) * width), at);
      at += width;
    }
    mean[i] = centre(row);
  }
  return { columns: { rows, cols, data }, mean };
}

type Batches = AsyncIterable<Tensor> | Iterable<Tensor>;

/** Columns of batches of a layer's values side by side. */
async function gathered(
  engine: Engine,
  layer: SqueezeLayer,
  value: Value,
  batches: Batches,
  most: number,
  columnsOf: (b: GraphBuilder, value: Value, layer: SqueezeLayer, positions: Value) => Value,
): Promise<Samples> {
  const perImage = Math.min(most, sizeOf(layer.outputSize));
  const b = new GraphBuilder();
  const given = b.input('value', 'float32', ['N', ...(value.type?.dims.slice(1) ?? [])]);
  const columns = columnsOf(b, given, layer, b.input('positions', 'int64', [perImage]));
  b.output(b.op('Identity', [columns], {}, { outputName: 'columns' }));
  const graph = b.build(`samples of ${layer.path}`);
  const session = await engine.load(graph);
  const parts: Tensor<'float32'>[] = [];
  try {
    for await (const batch of batches) {
      const positions = positionsOf(layer, perImage, parts.length);
      const feeds = graph.inputs.map(({ name }) => [name, name === 'value' ? batch : positions] as const);
      const found = await session.run(Object.fromEntries(feeds));
      parts.push(expectFloat32(found.columns, layer.path));
    }
  } finally {
    await session.dispose();
  }
  if (parts.length === 0) throw new ShiboriError(`Layer "${layer.path}": there was no calibration image.`);
  return centred(parts);
}

/**
 * Patches of a layer's input, rows in the order of the weight's axes.
 *
 * @param batches of the layer's input.
 * @param most positions of an image that are taken, others for other batches: neighbours see nearly the same, so that few of
 *   many images tell more than many of few. Default: all.
 * @throws ShiboriError when there is no image.
 */
export function inputSamples(
  engine: Engine,
  layer: SqueezeLayer,
  batches: Batches,
  most = Number.POSITIVE_INFINITY,
): Promise<Samples> {
  return gathered(engine, layer, layer.x, batches, most, patchColumns);
}

/** A layer's outputs, at the positions that `inputSamples` takes of batches of the same sizes. Throws as it does. */
export function outputSamples(
  engine: Engine,
  layer: SqueezeLayer,
  batches: Batches,
  most = Number.POSITIVE_INFINITY,
): Promise<Samples> {
  return gathered(engine, layer, layer.output, batches, most, outputColumns);
}
