import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { ShiboriError } from '../../src/errors.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { readOnnxTensor } from '../../src/formats/onnx/tensor.js';
import { writeOnnx } from '../../src/formats/onnx/write.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { describeModel } from './describe-model.js';

/** ONNX's own backend tests, as Debian's package `libonnx-testdata` installs them. */
const root = '/usr/share/libonnx-testdata/data';
const suites = ['node', 'simple', 'pytorch-converted', 'pytorch-operator'];

/** The reasons for which a file may be refused, as they appear in the message. */
const refusals = [
  /is not a tensor but of the type (sequence|optional|map)/,
  /elements? of type (STRING|COMPLEX64)/,
  /sparse/,
];

if (!existsSync(root)) {
  console.warn(`SKIPPED: ONNX's backend tests are not at ${root}. Debian's package libonnx-testdata has them.`);
}

describe.skipIf(!existsSync(root))("ONNX's backend tests", () => {
  const folders = suites.flatMap((suite) =>
    existsSync(join(root, suite)) ? readdirSync(join(root, suite)).map((name) => join(root, suite, name)) : [],
  );

  it('are read and written again as equal models, or refused for a reason that is named', () => {
    const refused = new Map<string, number>();
    let passed = 0;
    for (const folder of folders) {
      const file = join(folder, 'model.onnx');
      let model: ReturnType<typeof readOnnx>;
      try {
        model = readOnnx(readFileSync(file), file);
      } catch (error) {
        if (!(error instanceof ShiboriError)) throw error;
        const reason = refusals.map((pattern) => pattern.exec(error.message)?.[0]).find((match) => match);
        expect(reason, error.message).toBeDefined();
        expect(error.message).toContain(file);
        refused.set(reason ?? '', (refused.get(reason ?? '') ?? 0) + 1);
        continue;
      }
      const again = writeOnnx(model);
      expect(describeModel(readOnnx(again, file)), file).toEqual(describeModel(model));
      expect(Buffer.compare(writeOnnx(readOnnx(again, file)), again), file).toBe(0);
      passed++;
    }
    const reasons = Array.from(refused, ([reason, count]) => `${count} ${reason}`).join(', ');
    console.info(`ONNX backend tests: ${passed} of ${folders.length} files read and written; refused: ${reasons}.`);
    expect(folders.length).toBeGreaterThan(1000);
    expect(passed).toBeGreaterThan(0.9 * folders.length);
  });

  it('compute the same in ONNX Runtime after we have written them again', async () => {
    // Every fifth, for time. What draws at random differs from run to run.
    const some = folders.filter((_, index) => index % 5 === 0).filter((name) => !/bernoulli|dropout/.test(name));
    let compared = 0;
    for (const folder of some) {
      const bytes = readFileSync(join(folder, 'model.onnx'));
      const again = rewritten(bytes, folder);
      const before = again && (await runCase(folder, bytes));
      if (!again || !before) continue;
      expect(await runCase(folder, again), folder).toEqual(before);
      compared++;
    }
    console.info(`ONNX backend tests: ${compared} of ${some.length} files run in ONNX Runtime as they did before.`);
    expect(compared).toBeGreaterThan(0.7 * some.length);
  });
});

/** The file as we write it, or `undefined` when we refuse it. */
function rewritten(bytes: Uint8Array, file: string): Uint8Array | undefined {
  try {
    return writeOnnx(readOnnx(bytes, file));
  } catch (error) {
    if (error instanceof ShiboriError) return undefined;
    throw error;
  }
}

/** The outputs of a test case's model, or `undefined` when the runtime does not have its operators or types. */
async function runCase(folder: string, bytes: Uint8Array): Promise<Record<string, unknown> | undefined> {
  let session: ort.InferenceSession | undefined;
  try {
    session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 4 });
    const feeds: Record<string, ort.Tensor> = {};
    for (const [index, name] of session.inputNames.entries()) {
      const file = join(folder, 'test_data_set_0', `input_${index}.pb`);
      if (existsSync(file)) feeds[name] = toOrt(readOnnxTensor(readFileSync(file), file));
    }
    const results = await session.run(feeds, { logSeverityLevel: 4 });
    return Object.fromEntries(Object.entries(results).map(([name, value]) => [name, [value.dims, value.data]]));
  } catch {
    return undefined;
  } finally {
    await session?.release();
  }
}

function toOrt({ dtype, data, dims }: Tensor): ort.Tensor {
  if (dtype === 'bfloat16') throw new ShiboriError('ONNX Runtime takes no bfloat16 tensors in Node.');
  return new ort.Tensor(dtype, data, dims);
}
