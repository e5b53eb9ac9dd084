/* What a model takes in the file that it was read from. */
import { createReadStream, statSync } from 'node:fs';
import { createGzip } from 'node:zlib';
import type { Graph } from '../../graph/model.js';
import type { DType } from '../../tensor/dtype.js';
import { countTensorBytes, type Tensor } from '../../tensor/tensor.js';

/** The files that a graph was read from. */
export interface StoredFile {
  /** The graph as it was opened: whatever was made of it since is no longer what the files hold. */
  readonly graph: Graph;
  /** The element type that most bytes of the weights are in. */
  readonly dtype: DType;
  /** The model file, and the files of its external data. */
  readonly files: readonly string[];
  /** Bytes of all of them. */
  readonly bytes: number;
}

/** The element type that most bytes of some weights are in; float32 where there are none. */
export function findMainDtype(weights: Iterable<Tensor>): DType {
  const bytes = new Map<DType, number>();
  for (const weight of weights) bytes.set(weight.dtype, (bytes.get(weight.dtype) ?? 0) + countTensorBytes(weight));
  const [first] = [...bytes].sort(([, a], [, b]) => b - a);
  return first?.[0] ?? 'float32';
}

/** The file that a model is as it was read from it; `undefined` for a model that was changed, or made here. */
export function findStoredFile(model: { readonly graph: Graph; readonly stored?: StoredFile }): StoredFile | undefined {
  return model.stored?.graph === model.graph ? model.stored : undefined;
}

/** Describes what a graph was read from. */
export function describeStoredFile(graph: Graph, dtype: DType, files: readonly string[]): StoredFile {
  return { graph, dtype, files, bytes: files.reduce((sum, file) => sum + statSync(file).size, 0) };
}

/** Bytes after gzip of pieces of data, or of files by their paths. */
export async function countGzipped(pieces: Iterable<Uint8Array | string>): Promise<number> {
  const gzip = createGzip({ level: 6 });
  let size = 0;
  gzip.on('data', (chunk: Uint8Array) => {
    size += chunk.length;
  });
  const ended = new Promise<void>((resolve, reject) => gzip.on('end', resolve).on('error', reject));
  for (const piece of pieces) {
    for await (const chunk of typeof piece === 'string'
      ? createReadStream(piece, { highWaterMark: 1 << 20 })
      : [piece]) {
      if (!gzip.write(chunk)) await new Promise((resolve) => gzip.once('drain', resolve));
    }
  }
  gzip.end();
  await ended;
  return size;
}
