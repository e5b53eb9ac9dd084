/** What a model and each of its layers take before and after a compression: numbers, bytes, MACs, time. */

import { gzipSync } from 'node:zlib';
import type { LayerOutcome } from '../compression/layer-outcome.js';
import type { Engine } from '../engine/engine.js';
import { measureModelSize } from '../evaluation/model-size.js';
import type { Graph, Value } from '../graph/model.js';
import { getModulePath } from '../graph/module-path.js';
import { CONSTANT_PREFIX } from '../graph/parameters.js';
import { findReachable, findUses } from '../graph/uses.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { findStoredFile } from '../io/models/stored-file.js';
import { type Summary, summarizeGraph, summarizeImage } from '../models/summary.js';
import { type StorageType, storeWeights } from '../passes/store-weights.js';
import type { SizeFigures } from '../report/comparison.js';
import type { DType } from '../tensor/dtype.js';
import { getTensorBytes, type Tensor } from '../tensor/tensor.js';
import { defined } from '../values.js';
import { type LayerSpeed, measureLayerSpeeds, type PlacedLayer } from './speed-change.js';

/** Sizes before and after, and each one's ratio. */
export interface SizeChange {
  readonly before: SizeFigures;
  readonly after: SizeFigures;
  /** After over before. */
  readonly ratio: Omit<SizeFigures, 'dtype'>;
}

/** A layer with what it takes. Its bytes are those of its weights, as they are stored. */
export interface LayerFigures extends LayerOutcome {
  readonly size: SizeChange;
  /** Latency at batch 1, of a layer that was compressed. */
  readonly speed?: LayerSpeed;
}

function buildSizeChange(before: SizeFigures, after: SizeFigures): SizeChange {
  const ratio = {
    parameters: after.parameters / before.parameters,
    onnxBytes: after.onnxBytes / before.onnxBytes,
    gzipBytes: after.gzipBytes / before.gzipBytes,
    multAdds: after.multAdds / before.multAdds,
  };
  return { before, after, ratio };
}

/** @param stored the model as it is written, `float` the same with weights in float32: what was quantised is still a parameter. */
export async function measureSizeChange(
  before: SizeFigures,
  stored: LoadedModel,
  float: LoadedModel,
): Promise<SizeChange> {
  const after = await measureModelSize(stored);
  return buildSizeChange(before, { ...after, parameters: summarizeGraph(float.graph).parameters });
}

/** The tensors that the nodes of a module are made of, also those after what widens them. */
function listModuleTensors(graph: Graph, isOwn: (path: string) => boolean): Tensor[] {
  const uses = findUses(graph);
  const running = findReachable(graph, graph.inputs);
  const found = new Set<Tensor>();
  const collect = (value: Value | undefined): void => {
    if (!value || running.has(value)) return;
    const data = graph.initializers.get(value);
    if (data && !value.name.startsWith(CONSTANT_PREFIX)) found.add(data);
    for (const input of uses.producer(value)?.inputs ?? []) collect(input);
  };
  for (const node of graph.nodes) {
    if (isOwn(getModulePath(node)) && node.outputs.some((output) => output && running.has(output))) {
      for (const input of node.inputs) collect(input);
    }
  }
  return [...found];
}

/** What a layer takes: numbers and MACs in `float`, bytes in `stored`, the same graph as it is written. */
function measureLayerSize(stored: Graph, float: Summary, path: string): SizeFigures {
  const isOwn = (name: string) => name === path || name.startsWith(`${path}.`);
  const own = float.layers.filter(({ name }) => isOwn(name));
  const bytes = listModuleTensors(stored, isOwn).map(getTensorBytes);
  return {
    parameters: own.reduce((sum, { parameters }) => sum + parameters, 0),
    multAdds: own.reduce((sum, { multAdds }) => sum + multAdds, 0),
    onnxBytes: bytes.reduce((sum, { length }) => sum + length, 0),
    gzipBytes: gzipSync(Buffer.concat(bytes), { level: 6 }).length,
  };
}

/** The way of storing weights that takes what a file's element type takes. */
function toStorageType(dtype: DType | undefined): StorageType {
  if (dtype === 'float16' || dtype === 'bfloat16') return 'float16';
  return dtype === 'int8' || dtype === 'uint8' ? 'int8' : 'float32';
}

/** What each layer takes before and after, and how fast those are that were compressed. */
export async function measureLayerFigures(
  engine: Engine,
  model: LoadedModel,
  graphs: { readonly folded: Graph; readonly stored: Graph; readonly float: Graph },
  layers: readonly LayerOutcome[],
  placed: readonly PlacedLayer[],
): Promise<LayerFigures[]> {
  const { folded: simplified, stored, float } = graphs;
  const original = storeWeights(model.graph, toStorageType(findStoredFile(model)?.dtype)).graph;
  const speeds = await measureLayerSpeeds(engine, simplified, stored, placed);
  const [before, after] = [summarizeImage(model.graph), summarizeImage(float)];
  return layers.map((layer) => {
    const speed = speeds.get(layer.path);
    const size = buildSizeChange(
      measureLayerSize(original, before, layer.path),
      measureLayerSize(stored, after, layer.path),
    );
    return { ...layer, size, ...defined({ speed }) };
  });
}
