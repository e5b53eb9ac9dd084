import { createGzip } from 'node:zlib';
import { summarizeImage } from '../../models/summary.js';
import { encodeModel, type LoadedModel } from '../../node/model-file.js';
import type { SizeFigures } from '../../report/comparison.js';

async function gzipSize(chunks: readonly Uint8Array[]): Promise<number> {
  const gzip = createGzip({ level: 6 });
  let size = 0;
  gzip.on('data', (chunk: Uint8Array) => {
    size += chunk.length;
  });
  const ended = new Promise<void>((resolve, reject) => gzip.on('end', resolve).on('error', reject));
  for (const chunk of chunks) if (!gzip.write(chunk)) await new Promise((resolve) => gzip.once('drain', resolve));
  gzip.end();
  await ended;
  return size;
}

/** What a model takes as an ONNX file, raw and gzipped. */
export async function sizeOfModel(model: LoadedModel): Promise<SizeFigures> {
  const chunks = await encodeModel(model, 'onnx');
  const { parameters, multAdds } = summarizeImage(model.graph);
  return {
    parameters,
    multAdds,
    onnxBytes: chunks.reduce((sum, chunk) => sum + chunk.length, 0),
    gzipBytes: await gzipSize(chunks),
  };
}
