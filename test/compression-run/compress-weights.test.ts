import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { openModel } from '../../src/io/models/model-file.js';
import { expectFloat32 } from '../../src/tensor/tensor.js';
import { type CompressByWeightsOptions, compress } from '../../src/workflows/compress.js';
import { random } from '../compression/support.js';
import { findLargestDifference } from '../support/differences.js';
import { shibori } from '../support/shibori.js';
import { writeTinyStudy } from '../support/tiny-recipe.js';

let folder: string;
let files: Awaited<ReturnType<typeof writeTinyStudy>>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-weights-'));
  files = await writeTinyStudy(folder, 2);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function run(options: Omit<CompressByWeightsOptions, 'model'>, name: string) {
  const output = join(folder, name);
  return { ...(await compress({ model: files.onnx, inputSize: [8, 8], output, threads: 1, ...options })), output };
}

async function outputs(file: string): Promise<Float32Array> {
  const { graph } = await openModel(file, { inputSize: [8, 8] });
  const input = graph.inputs[0]?.name ?? '';
  const found = await runOnce(nodeEngine({ threads: 1 }), graph, { [input]: random([2, 3, 8, 8], 4) });
  return expectFloat32(found[graph.outputs[0]?.name ?? ''], 'outputs').data;
}

describe('compress without images', () => {
  it.each([
    ['parameters', 0.75],
    // Of the bytes of the file as it came: in one of 6 kB, what is written about the model takes 5 %.
    ['size', 0.8],
    ['macs', 0.75],
  ] as const)('keeps a limit of %s', async (kind, share) => {
    const goal = { parameters: { parameters: share }, size: { size: share }, macs: { macs: share } }[kind];
    const { size, output } = await run({ goal }, `${kind}.onnx`);
    const ratio = { parameters: size.ratio.parameters, size: size.ratio.onnxBytes, macs: size.ratio.multAdds }[kind];
    expect(ratio).toBeLessThanOrEqual(share);
    expect((await outputs(output)).every(Number.isFinite)).toBe(true);
  });

  it('keeps the relative error of every weight, and loses the less the less is allowed', async () => {
    const before = await outputs(files.onnx);
    const far: number[] = [];
    for (const most of [0.6, 0.2, 0.01]) {
      const { layers, output } = await run({ goal: { error: most } }, `error-${most}.onnx`);
      for (const { predicted } of layers) expect(Math.sqrt(2 * predicted)).toBeLessThanOrEqual(most);
      far.push(findLargestDifference(await outputs(output), before));
    }
    expect(far[0]).toBeGreaterThanOrEqual(far[1] ?? Number.NaN);
    expect(far[1]).toBeGreaterThanOrEqual(far[2] ?? Number.NaN);
    expect(far[2]).toBeLessThan(0.05);
  });

  it('refuses what is measured on images, and what cannot be reached', async () => {
    const goal = { parameters: 0.75 };
    await expect(run({ goal: { accuracyDrop: 1 } }, 'a.onnx')).rejects.toThrow('give `data`');
    await expect(run({ goal, minMapSimilarity: 0.9 }, 'a.onnx')).rejects.toThrow('`minMapSimilarity`');
    await expect(run({ goal, finetuneEpochs: 1 }, 'a.onnx')).rejects.toThrow('`finetuneEpochs`');
    await expect(run({ goal, rounds: 2 }, 'a.onnx')).rejects.toThrow('`rounds`');
    await expect(run({ goal: { parameters: 5 } }, 'a.onnx')).rejects.toThrow(
      /cannot be reached, the smallest is \d+ parameters/,
    );
    expect(existsSync(join(folder, 'a.onnx'))).toBe(false);
  });

  it('warns that the cost is unknown, as a process', async () => {
    const output = join(folder, 'process.onnx');
    const { code, stderr, stdout } = await shibori([
      'compress',
      files.onnx,
      '--input',
      '3,8,8',
      '--params',
      '75%',
      '-o',
      output,
    ]);
    expect([code, existsSync(output)]).toEqual([0, true]);
    expect(stderr).toContain('without images');
    expect(stdout).toContain('no image was seen');
  });
});
