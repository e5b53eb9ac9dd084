import type { RunOptions } from '../context/run-context.js';
import type { Preprocess } from '../data/preprocess.js';
import type { TtLayer } from '../decompose/tt-layer.js';
import { type OpenOptions, openModel } from '../io/models/model-file.js';
import { isOpenedModel, type ModelSource } from '../io/models/model-source.js';
import type { OnnxOrigin } from '../io/models/open-onnx.js';
import type { PreprocessPart } from '../models/preprocessing.js';
import { buildTrainedPredicate, type Summary, summarizeGraph } from '../models/summary.js';
import { describeScores, type LabelKind, type OutputKind } from '../ops/scores/scores.js';
import { defined } from '../values.js';

/** Height and width where nothing says any. */
const ASSUMED_SIDE = 224;

/** Describes a model and, where it was read from a file, that file. */
export interface ModelSummary extends Summary {
  readonly file?: string;
  readonly format?: string;
  readonly fileBytes?: number;
  /** Bytes of the file and its external data, and the element type of most of its weights. Left out where the file holds more than the model. */
  readonly stored?: { readonly bytes: number; readonly dtype: string };
  readonly architecture?: string;
  /** The layers that are tensor trains, and how they run. */
  readonly tensorTrains: readonly TtLayer[];
  /** Entries of the file that are not part of the model. */
  readonly ignored: readonly string[];
  /** What an ONNX file says about itself: operator set, producer, inputs and outputs as declared. */
  readonly origin?: OnnxOrigin;
  /** How images become the model's input; `null` for a model of no images, or of images of an unknown size. */
  readonly preprocess: Preprocess | null;
  /** Where each part of it comes from: `option`, `graph`, `metadata`, a configuration file, or `guess`. */
  readonly preprocessFrom: Readonly<Record<PreprocessPart, string>> | null;
  /** Number of classes, and their names where they are known; `null` for a model that is no classifier. */
  readonly classes: { readonly count: number; readonly names: readonly string[] | null } | null;
  /**
   * The output that holds the scores, what they are and how the classes belong together (`none`: a regression); `null` where
   * no output can hold any.
   */
  readonly scores: { readonly output: string; readonly kind: OutputKind; readonly labels: LabelKind } | null;
  /** What was changed or assumed to open the file, in sentences. */
  readonly notes: readonly string[];
}

/** Lists the options of `summarize`. */
export interface SummarizeOptions extends RunOptions, OpenOptions {
  readonly model: ModelSource;
  /** Size of the first dimension, where the graph leaves it open. Default: 1. */
  readonly batch?: number;
  /** Patterns of the parameters to count as trainable. Default: all. */
  readonly train?: readonly string[];
}

/** Summarises a model as torchinfo does: layers with output shapes, parameters and MACs, totals, sizes. */
export async function summarize(options: SummarizeOptions): Promise<ModelSummary> {
  const { model: source, train } = options;
  const model = typeof source === 'string' ? await openModel(source, options) : source;
  const { graph, info, stored } = model;
  const opened = isOpenedModel(model) ? model : undefined;
  const dims = graph.inputs[0]?.type?.dims ?? [];
  const batch = typeof dims[0] === 'number' ? dims[0] : (options.batch ?? 1);
  const isOpen = dims.some((dim, axis) => axis > 0 && typeof dim !== 'number');
  const inputDims = dims.map((dim, axis) => (axis === 0 ? batch : typeof dim === 'number' ? dim : ASSUMED_SIDE));
  const scores = describeScores(graph, info);
  const output = info.scores ?? opened?.origin?.outputs[0]?.name ?? scores?.output.name;
  const size = `Its images may have any size: counted for ${ASSUMED_SIDE}×${ASSUMED_SIDE}. Give another with \`inputSize\`.`;
  return {
    ...defined({ file: opened?.file, format: opened?.format, fileBytes: opened?.fileBytes }),
    ...(stored ? { stored: { bytes: stored.bytes, dtype: stored.dtype } } : {}),
    ...defined({ architecture: info.architecture }),
    ...summarizeGraph(graph, { inputDims, ...(train ? { trains: buildTrainedPredicate(train) } : {}) }),
    tensorTrains: info.layers ?? [],
    ignored: opened?.ignored ?? [],
    ...defined({ origin: opened?.origin }),
    preprocess: info.preprocess ?? null,
    preprocessFrom: opened?.preprocessFrom ?? null,
    classes: scores && scores.labels !== 'none' ? { count: scores.classes, names: info.classes ?? null } : null,
    scores: scores && output !== undefined ? { output, kind: scores.kind, labels: scores.labels } : null,
    notes: [...(opened?.notes ?? []), ...(isOpen ? [size] : [])],
  };
}
