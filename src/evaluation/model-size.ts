import { encodeModel, type LoadedModel } from '../io/models/model-file.js';
import { countGzipped, findStoredFile } from '../io/models/stored-file.js';
import { summarizeImage } from '../models/summary.js';
import type { SizeFigures } from '../report/comparison.js';

/**
 * What a model takes, raw and gzipped: in the files that it was read from, external data included, or in the ONNX file
 * that it is written as.
 */
export async function measureModelSize(model: LoadedModel): Promise<SizeFigures> {
  const { parameters, multAdds } = summarizeImage(model.graph);
  const stored = findStoredFile(model);
  if (stored) {
    const gzipBytes = await countGzipped(stored.files);
    return { parameters, multAdds, onnxBytes: stored.bytes, gzipBytes, dtype: stored.dtype };
  }
  const chunks = await encodeModel(model, 'onnx');
  return {
    parameters,
    multAdds,
    onnxBytes: chunks.reduce((sum, chunk) => sum + chunk.length, 0),
    gzipBytes: await countGzipped(chunks),
    dtype: model.info.store ?? 'float32',
  };
}
