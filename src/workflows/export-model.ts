import { getEngine, type RunContext, reportNotes } from '../context/run-context.js';
import { withExecution } from '../decompose/decompose-linear.js';
import type { TtLayer } from '../decompose/tt-layer.js';
import { measureSpeed } from '../evaluation/measure-speed.js';
import { type OpenOptions, openModel } from '../io/models/model-file.js';
import { saveModel } from '../io/models/save-model.js';
import { refuseInputAsOutput } from '../io/output-file.js';

/**
 * Writes a model in another format, by the extension of `out`: `.onnx`, `.safetensors` or `.pt`.
 *
 * @param options.execution how tensor-train layers run in the written graph. `auto` measures the whole model both ways.
 *   Default: as in the file.
 */
export async function exportModel(
  file: string,
  out: string,
  options: Omit<OpenOptions, 'execution'> & { readonly execution?: 'factored' | 'rebuilt' | 'auto' } = {},
  context: RunContext = {},
): Promise<{ readonly file: string; readonly sizeBytes: number }> {
  refuseInputAsOutput(out, [file]);
  const { execution, ...open } = options;
  const engine = getEngine(context);
  const model = await openModel(file, open);
  reportNotes(model, context);
  const { layers } = model.info;
  if (execution === undefined || !layers || layers.length === 0) return saveModel(model, out, { engine });
  const all = (way: TtLayer['execution']) => layers.map((layer) => ({ ...layer, execution: way }));
  let chosen = execution === 'auto' ? 'rebuilt' : execution;
  if (execution === 'auto') {
    const [factored, rebuilt] = [
      withExecution(model.graph, all('factored')),
      withExecution(model.graph, all('rebuilt')),
    ] as const;
    const { ratio } = await measureSpeed(engine, factored, rebuilt, { batch: 1 });
    chosen = ratio > 1 ? 'factored' : 'rebuilt';
  }
  const described = all(chosen === 'factored' ? 'factored' : 'rebuilt');
  return saveModel({ graph: withExecution(model.graph, described), info: { ...model.info, layers: described } }, out, {
    engine,
    equals: model.graph,
  });
}
