/*
 * What a layer sees and what it answers, sampled: patches of its input, and its output at the same positions of the same
 * images, less their means.
 */

import { ShiboriError } from '../../errors.js';
import type { Node, Value } from '../../graph/model.js';
import type { SingleMatrix } from '../../linalg/matrix.js';
import type { GraphBuilder } from '../../ops/builder.js';
import { countElements } from '../../tensor/dims.js';
import { seeded } from '../../tensor/random.js';
import { expectFloat32, type Tensor, tensor } from '../../tensor/tensor.js';
import { defined } from '../../values.js';
import type { CompressibleLayer } from '../compressible-layers.js';
import type { ActivationStream, Probe } from './activation-stream.js';
import { appendOutputColumns, appendPatchColumns } from './patch-columns.js';

/** Samples of a vector, a column each, about their mean. */
export interface Samples {
  /** `[n, S]`, each row with a mean of zero. */
  readonly columns: SingleMatrix;
  /** `[n]`. */
  readonly mean: Float64Array;
}

/** Variance of every row `[n]`. */
export function computeVariances({ columns: { rows, cols, data } }: Samples): Float64Array {
  const result = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    let sum = 0;
    for (let at = i * cols; at < (i + 1) * cols; at++) sum += (data[at] as number) ** 2;
    result[i] = sum / cols;
  }
  return result;
}

/** Positions of a layer's output that are taken of a batch, in order: drawn by the batch's number, so that all count alike. */
function drawPositions(layer: CompressibleLayer, perImage: number, batch: number): Tensor<'int64'> {
  const drawn = seeded(batch).permutation(countElements(layer.outputSize)).subarray(0, perImage);
  const ordered = [...drawn].sort((a, b) => a - b);
  return tensor('int64', [perImage], BigInt64Array.from(ordered, BigInt));
}

/** Takes the mean from a row and tells it. */
export function subtractMean(row: Float32Array): number {
  let sum = 0;
  for (let j = 0; j < row.length; j++) sum += row[j] as number;
  const mean = sum / row.length;
  for (let j = 0; j < row.length; j++) row[j] = (row[j] as number) - mean;
  return mean;
}

/**
 * Memory that holds the samples of one layer after another: fresh memory of their size costs more than what is computed. A
 * layer's samples are gone with the next ones that are taken into the same space.
 */
export class SampleBuffer {
  #columns = new Float32Array(0);
  #batch = new Float32Array(0);

  /** Room for all samples. */
  reserveColumns(length: number): Float32Array {
    if (this.#columns.length < length) this.#columns = new Float32Array(length);
    return this.#columns.subarray(0, length);
  }

  /** Room for those of one batch. */
  reserveBatch(length: number): Float32Array {
    if (this.#batch.length < length) this.#batch = new Float32Array(length);
    return this.#batch.subarray(0, length);
  }
}

/** Which samples of a layer are taken. */
export interface SampleRequest {
  /**
   * Positions of an image that are taken, others for other batches: neighbours see nearly the same, so that few of many
   * images tell more than many of few. Default: all.
   */
  readonly perImage?: number;
  /** As of a stream: images left out at the beginning, and after how many to stop. Default: all are taken. */
  readonly skip?: number;
  readonly images?: number;
  /** Node that the stream moves on to while it tells them. Default: it stays. */
  readonly moveTo?: Node;
  readonly buffer?: SampleBuffer;
}

/** Columns of a value, computed where it arises, all batches side by side, less the mean of each row. */
async function collectSamples(
  stream: ActivationStream,
  layer: CompressibleLayer,
  of: Value,
  rows: number,
  appendColumns: (b: GraphBuilder, value: Value, layer: CompressibleLayer, positions: Value) => Value,
  request: SampleRequest,
): Promise<Samples> {
  const { skip, images, moveTo, buffer = new SampleBuffer() } = request;
  const perImage = Math.min(request.perImage ?? Number.POSITIVE_INFINITY, countElements(layer.outputSize));
  const positions = `positions/${of.name}`;
  const probe: Probe = {
    value: of,
    buildFeeds: (batch) => ({ [positions]: drawPositions(layer, perImage, batch) }),
    append: (b, value) => appendColumns(b, value, layer, b.input(positions, 'int64', [perImage])),
    getTarget: (count) => tensor('float32', [rows, count * perImage], buffer.reserveBatch(rows * count * perImage)),
  };
  const range = { ...defined({ skip, images }) };
  const cols = perImage * stream.countRequestedImages(range);
  if (cols === 0)
    throw new ShiboriError(`Layer "${layer.path}": there was no calibration image.`, { code: 'unsupported-model' });
  const data = buffer.reserveColumns(rows * cols);
  let from = 0;
  const values = [probe];
  for await (const [batchColumns] of moveTo
    ? stream.runWhileMovingTo(moveTo, values, images)
    : stream.run({ values, ...range })) {
    const { dims, data: part } = expectFloat32(batchColumns, layer.path);
    const width = dims[1] ?? 0;
    for (let i = 0; i < rows; i++) data.set(part.subarray(i * width, (i + 1) * width), i * cols + from);
    from += width;
  }
  const mean = new Float64Array(rows);
  for (let i = 0; i < rows; i++) mean[i] = subtractMean(data.subarray(i * cols, (i + 1) * cols));
  return { columns: { rows, cols, data }, mean };
}

/**
 * Patches of a layer's input, rows in the order of the weight's axes.
 *
 * @throws ShiboriError when there is no image.
 */
export function collectInputSamples(
  stream: ActivationStream,
  layer: CompressibleLayer,
  request: SampleRequest,
): Promise<Samples> {
  return collectSamples(stream, layer, layer.x, layer.weight.rows, appendPatchColumns, request);
}

/** A layer's outputs, at the positions that `inputSamples` takes for the same request. Throws as it does. */
export function collectOutputSamples(
  stream: ActivationStream,
  layer: CompressibleLayer,
  request: SampleRequest,
): Promise<Samples> {
  return collectSamples(stream, layer, layer.output, layer.outputs, appendOutputColumns, request);
}
