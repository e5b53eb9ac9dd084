/** Every file is read, and written again as an equal model that ONNX Runtime runs as it ran the file. */
import { existsSync, readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import * as ort from 'onnxruntime-node';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { readOnnxTensor } from '../../src/formats/onnx/tensor.js';
import { writeOnnx } from '../../src/formats/onnx/write.js';
import { type BackendTest, backendTests, readModel, refusalOf } from './backend-tests.js';
import { describeModel } from './describe-model.js';
import { Tally } from './tally.js';

export function checkFiles(): Tally {
  const tally = new Tally('read, and written again as the same model');
  for (const test of backendTests) {
    try {
      const model = readModel(test);
      const bytes = writeOnnx(model);
      const again = readOnnx(bytes, test.file);
      if (!isDeepStrictEqual(describeModel(again), describeModel(model))) tally.fail(test.name, 'another model');
      else if (Buffer.compare(writeOnnx(again), bytes) !== 0) tally.fail(test.name, 'other bytes the second time');
      else tally.passed++;
    } catch (error) {
      const reason = refusalOf(error);
      if (reason === undefined) tally.fail(test.name, error);
      else if (!String(error).includes(test.file)) tally.fail(test.name, `${error} (does not name the file)`);
      else tally.skip(reason, test.name);
    }
  }
  return tally;
}

/** What draws at random differs from run to run. */
const RANDOM = /bernoulli|dropout/;

export async function checkFilesInRuntime(): Promise<Tally> {
  const tally = new Tally('run by ONNX Runtime after we wrote them as before');
  for (const test of backendTests) {
    const bytes = readFileSync(test.file);
    const again = rewritten(test, bytes);
    const before = again && (RANDOM.test(test.name) ? 'random numbers' : await outputsOf(test, bytes));
    if (!again) tally.skip('not read (see above)', test.name);
    else if (typeof before === 'string') tally.skip(before, test.name);
    else if (isDeepStrictEqual(await outputsOf(test, again), before)) tally.passed++;
    else tally.fail(test.name, 'other outputs');
  }
  return tally;
}

/** The file as we write it, or `undefined` when we refuse it. */
function rewritten(test: BackendTest, bytes: Uint8Array): Uint8Array | undefined {
  try {
    return writeOnnx(readOnnx(bytes, test.file));
  } catch (error) {
    if (refusalOf(error) !== undefined) return undefined;
    throw error;
  }
}

/** The outputs of a model for the first data set, as ONNX Runtime gives them, or why there are none. */
async function outputsOf({ folder }: BackendTest, bytes: Uint8Array): Promise<Record<string, unknown> | string> {
  let session: ort.InferenceSession | undefined;
  try {
    session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 4 });
    const feeds: Record<string, ort.Tensor> = {};
    for (const [index, name] of session.inputNames.entries()) {
      const file = `${folder}/test_data_set_0/input_${index}.pb`;
      if (!existsSync(file)) continue;
      const { dtype, data, dims } = readOnnxTensor(readFileSync(file), file);
      if (dtype !== 'bfloat16') feeds[name] = new ort.Tensor(dtype, data, dims);
    }
    const results = await session.run(feeds, { logSeverityLevel: 4 });
    return Object.fromEntries(Object.entries(results).map(([name, value]) => [name, [value.dims, value.data]]));
  } catch {
    return 'ONNX Runtime does not run the file itself (operator sets before 7, training, types)';
  } finally {
    await session?.release();
  }
}
