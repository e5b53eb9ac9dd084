/* From the bytes of a PyTorch or safetensors file to a model: its weights, and the network that they belong to. */
import { findTtDescriptors } from '../../decompose/tt-layer.js';
import { addFileToError, ShiboriError } from '../../errors.js';
import { readSafetensors } from '../../formats/safetensors/read.js';
import { readTorch } from '../../formats/torch/read.js';
import {
  chooseByPrefix,
  groupByPrefix,
  isAveraged,
  makeUnknownKeyError,
  noteOthers,
} from '../../formats/weight-sets.js';
import type { Graph } from '../../graph/model.js';
import { architectures, findArchitecture } from '../../models/architectures.js';
import { decodeInfo, type ModelInfo } from '../../models/metadata.js';
import { resolvePreprocess } from '../../models/preprocessing.js';
import { computeWeights } from '../../models/reparametrize.js';
import type { StateDict } from '../../models/state-dict.js';
import type { ModelConfigs } from './config-files.js';
import { applyPreprocess, listKnownLayers, type Preprocessed } from './model-preprocess.js';
import type { OpenOptions } from './open-options.js';
import { moveScoresFirst } from './scores-first.js';

/** The weights of a file, and what else it says. */
export interface ReadState {
  readonly tensors: StateDict;
  readonly info: ModelInfo;
  /** Entries of the file that are not among them, by name. */
  readonly ignored: readonly string[];
  /** How they were found, in sentences. */
  readonly notes: readonly string[];
}

/** A model that was built for the weights of a file. */
export interface OpenedState extends Preprocessed {
  readonly graph: Graph;
  readonly info: ModelInfo;
  readonly ignored: readonly string[];
  readonly notes: readonly string[];
}

/** Reads the weights of a PyTorch file. */
export async function readTorchState(bytes: Uint8Array, file: string, { weights }: OpenOptions): Promise<ReadState> {
  const { tensors, source } = await readTorch(bytes, file, weights === undefined ? {} : { weights });
  return { tensors, info: {}, ignored: source.ignored, notes: source.notes };
}

/** Reads the weights of a safetensors file: all, or those whose names begin with the key that `weights` gives. */
export function readSafeState(bytes: Uint8Array, file: string, { weights }: OpenOptions): ReadState {
  const { tensors, metadata } = readSafetensors(bytes, file);
  const chosen = chooseByPrefix(tensors, weights);
  if (chosen === undefined) {
    const known = [...groupByPrefix(tensors)]
      .filter(([key]) => key !== '')
      .map(([key, { size }]) => ({ key, tensors: size }));
    throw makeUnknownKeyError(
      weights ?? '',
      known,
      (problem) => new ShiboriError(`Reading ${file}: ${problem}`, { code: 'invalid-file', file }),
    );
  }
  const { others, ignored, prefix } = chosen;
  const note = noteOthers(prefix === '' ? 'all the others' : `those under "${prefix.slice(0, -1)}"`, others);
  return {
    tensors: chosen.tensors,
    info: decodeInfo(metadata, file),
    ignored: [...ignored, ...others.map(({ key }) => `${key}.*`)],
    notes: note === undefined ? [] : [note],
  };
}

/** Builds the graph of a state dict. */
export function openState(state: ReadState, file: string, options: OpenOptions, configs: ModelConfigs): OpenedState {
  const { info } = state;
  const { tensors: all, notes: computed } = computeWeights(state.tensors, file);
  const { tensors, notes: left, ignored } = findKnownPart(all, options.arch ?? info.architecture);
  const architecture = findArchitecture(tensors, file, options.arch ?? info.architecture);
  const layers = listKnownLayers(info, configs);
  const known = layers.find(({ parts }) => parts.size)?.parts.size;
  const inputSize = options.inputSize ?? known ?? architecture.getDefaultInputSize(tensors);
  const getExecution = (path: string) =>
    options.execution ?? info.layers?.find((layer) => layer.path === path)?.execution ?? 'rebuilt';
  const graph = buildNamingFile(() => architecture.build(tensors, { inputSize, getExecution: getExecution }), file);
  const trains = findTtDescriptors(graph).map((layer) => ({ ...layer, execution: getExecution(layer.path) }));
  const channels = Number(graph.inputs[0]?.type?.dims[1] ?? 3);
  const size = { from: options.inputSize ? 'option' : 'guess', value: inputSize };
  const facts = {
    channels,
    layout: 'nchw',
    takesBytes: false,
    ...(options.inputSize || !known ? { size } : {}),
  } as const;
  const resolved = resolvePreprocess(options.preprocess ?? {}, layers, facts);
  const described = { ...info, architecture: architecture.name, ...(trains.length > 0 ? { layers: trains } : {}) };
  const scores = moveScoresFirst(graph, described, configs, options);
  const notes: string[] = [...state.notes, ...computed, ...left, ...scores.notes];
  const opened = { graph: scores.graph, notes, ignored: [...state.ignored, ...ignored] };
  return { ...opened, ...applyPreprocess(scores.graph, scores.info, configs, resolved, notes) };
}

/**
 * The tensors that an architecture is recognised from: all, or those under one prefix, where a loss or a second network
 * have some as well.
 */
function findKnownPart(tensors: StateDict, arch: string | undefined): Pick<ReadState, 'tensors' | 'notes' | 'ignored'> {
  const named = architectures.filter(({ name }) => arch === undefined || arch === name);
  const fits = (some: StateDict) => named.some(({ recognises }) => recognises(some));
  const groups = fits(tensors) ? [] : [...groupByPrefix(tensors)].filter(([key, some]) => key !== '' && fits(some));
  const [first, ...others] = groups.sort(([a], [b]) => Number(isAveraged(a)) - Number(isAveraged(b)));
  if (first === undefined) return { tensors, notes: [], ignored: [] };
  const [key, part] = first;
  const ignored = [...tensors.keys()].filter((name) => !name.startsWith(`${key}.`));
  const sets = others.map(([other, { size }]) => ({ key: other, tensors: size }));
  const some = ignored.slice(0, 3).map((name) => JSON.stringify(name.slice(0, 80)));
  const list = `${some.join(', ')}${ignored.length > some.length ? ', …' : ''}`;
  const note =
    noteOthers(`those under ${JSON.stringify(key.slice(0, 80))}`, sets) ??
    `The weights are those under "${key}"; the file also holds ${list}, of which this network has no part.`;
  return { tensors: part, notes: [note], ignored };
}

/** Builds a network, naming the file in errors. */
function buildNamingFile(build: () => Graph, file: string): Graph {
  try {
    return build();
  } catch (error) {
    throw addFileToError(file, error);
  }
}
