import { ShiboriError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { listParameters } from '../graph/parameters.js';
import { expectFloat32, float32, type Tensor } from '../tensor/tensor.js';
import type { Optimizer, OptimizerState } from './optimizers.js';

/** The numbers a training changes, in place: shared by steps, validation and checkpoints. */
export interface Weights {
  readonly parameters: ReadonlyMap<string, Tensor<'float32'>>;
  /** Running statistics of batch normalisations. */
  readonly statistics: ReadonlyMap<string, Tensor<'float32'>>;
  readonly optimizerStates: ReadonlyMap<string, OptimizerState>;
  /** Moving averages of parameters and statistics; empty where none are kept. */
  readonly averages: ReadonlyMap<string, Tensor<'float32'>>;
}

/** Copies of the trained parameters and running statistics of a graph, with fresh optimizer state. */
export function createWeights(
  graph: Graph,
  trained: ReadonlySet<string>,
  optimizer: Optimizer,
  averaged: boolean,
): Weights {
  const parameters = new Map<string, Tensor<'float32'>>();
  const statistics = new Map<string, Tensor<'float32'>>();
  const averages = new Map<string, Tensor<'float32'>>();
  const optimizerStates = new Map<string, OptimizerState>();
  for (const { name, kind, tensor } of listParameters(graph)) {
    if (!trained.has(name) && kind !== 'buffer') continue;
    const { data, dims } = expectFloat32(tensor, `Training "${name}"`);
    const copy = float32(data, dims);
    if (averaged) averages.set(name, float32(data, dims));
    if (!trained.has(name)) {
      statistics.set(name, copy);
      continue;
    }
    parameters.set(name, copy);
    optimizerStates.set(name, optimizer.init(data.length));
  }
  return { parameters, statistics, optimizerStates, averages };
}

/** What a training is judged by and ends with: the averages where they are kept, otherwise the numbers themselves. */
export function collectResultWeights({ parameters, statistics, averages }: Weights): Map<string, Tensor<'float32'>> {
  return new Map([...parameters, ...statistics, ...averages]);
}

/** Every array of a training under the name that checkpoints give it: `NAME`, `adam/m/NAME`, `average/NAME`. */
export function listNamedArrays(
  { parameters, statistics, optimizerStates, averages }: Weights,
  optimizer: Optimizer,
): Map<string, Float32Array> {
  const all = new Map<string, Float32Array>();
  for (const [name, { data }] of [...parameters, ...statistics]) all.set(name, data);
  for (const [name, { data }] of averages) all.set(`average/${name}`, data);
  for (const [name, state] of optimizerStates) {
    for (const [key, values] of Object.entries(state)) all.set(`${optimizer.name}/${key}/${name}`, values);
  }
  return all;
}

/**
 * Copies saved arrays into those of a training.
 *
 * @throws ShiboriError when one is missing or has another size; nothing is changed then.
 */
export function restoreArrays(
  target: ReadonlyMap<string, Float32Array>,
  saved: ReadonlyMap<string, Float32Array>,
): void {
  for (const [name, values] of target) {
    const found = saved.get(name)?.length;
    if (found === values.length) continue;
    throw new ShiboriError(
      `The checkpoint does not fit the model: "${name}" needs ${values.length} numbers, it has ${found ?? 'none'}. Start again without \`resume\`.`,
      { code: 'training-failed' },
    );
  }
  for (const [name, values] of target) values.set(saved.get(name) ?? values);
}

/** The graph with these tensors in place of its initializers of the same names; nothing else changes. */
export function withWeights(graph: Graph, tensors: ReadonlyMap<string, Tensor>): Graph {
  const initializers = new Map(
    [...graph.initializers].map(([value, data]) => [value, tensors.get(value.name) ?? data]),
  );
  return { ...graph, initializers };
}

/** A digest of a graph's parameters, to tell models apart (FNV-1a over 32-bit words; no protection against intent). */
export function computeWeightsDigest(graph: Graph): string {
  let hash = 0x811c9dc5;
  for (const { tensor } of listParameters(graph)) {
    const { buffer, byteOffset, byteLength } = tensor.data;
    // Float tensors of two bytes an element may end in half a word.
    const bytes =
      byteOffset % 4 === 0
        ? new Uint32Array(buffer, byteOffset, byteLength >> 2)
        : new Uint8Array(buffer, byteOffset, byteLength);
    for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
  }
  return (hash >>> 0).toString(16);
}
