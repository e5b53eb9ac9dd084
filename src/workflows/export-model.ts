import { getEngine, type RunOptions } from '../context/run-context.js';
import { withExecution } from '../decompose/decompose-linear.js';
import type { TtLayer } from '../decompose/tt-layer.js';
import { measureSpeed } from '../evaluation/measure-speed.js';
import type { LoadedModel, OpenOptions } from '../io/models/model-file.js';
import { type ModelSource, openModelSource } from '../io/models/model-source.js';
import { type SavedModel, saveModel } from '../io/models/save-model.js';
import { refuseInputAsOutput } from '../io/output-file.js';

/** Lists the options of `exportModel`. */
export interface ExportOptions extends RunOptions, Omit<OpenOptions, 'execution'> {
  readonly model: ModelSource;
  /** The file to write: `.onnx`, `.safetensors` or `.pt`. */
  readonly output: string;
  /** How tensor-train layers run in the written graph. `auto` measures the whole model both ways. Default: as in the model. */
  readonly execution?: TtLayer['execution'] | 'auto';
}

/** Holds the model as it was written, and its file. */
export interface ExportResult extends SavedModel {
  readonly model: LoadedModel;
}

/** Measures which way of running its tensor-train layers makes a model faster for one image. */
async function chooseExecution(
  { graph }: LoadedModel,
  layers: readonly TtLayer[],
  options: ExportOptions,
): Promise<TtLayer['execution']> {
  const run = (execution: TtLayer['execution']) =>
    withExecution(
      graph,
      layers.map((layer) => ({ ...layer, execution })),
    );
  const { ratio } = await measureSpeed(getEngine(options), run('factored'), run('rebuilt'), { batch: 1 });
  return ratio > 1 ? 'factored' : 'rebuilt';
}

/** Writes a model in another format, by the extension of `output`. */
export async function exportModel(options: ExportOptions): Promise<ExportResult> {
  const { model: source, output, execution, ...open } = options;
  if (typeof source === 'string') refuseInputAsOutput(output, [source]);
  const engine = getEngine(options);
  const model = await openModelSource(source, open, options);
  const { layers = [] } = model.info;
  if (execution === undefined || layers.length === 0) {
    return { model, ...(await saveModel(model, output, { engine })) };
  }
  const chosen = execution === 'auto' ? await chooseExecution(model, layers, options) : execution;
  const described = layers.map((layer) => ({ ...layer, execution: chosen }));
  const exported = { graph: withExecution(model.graph, described), info: { ...model.info, layers: described } };
  return { model: exported, ...(await saveModel(exported, output, { engine, equals: model.graph })) };
}
