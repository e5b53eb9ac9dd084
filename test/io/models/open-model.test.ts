import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { nodeEngine } from '../../../src/engine/node.js';
import { runImages } from '../../../src/evaluation/run-images.js';
import { writeOnnx } from '../../../src/formats/onnx/write.js';
import type { Dim, Graph, Value } from '../../../src/graph/model.js';
import { requirePreprocess } from '../../../src/images/open-dataset.js';
import { type OpenOptions, openModel } from '../../../src/io/models/model-file.js';
import { saveModel } from '../../../src/io/models/save-model.js';
import { GraphBuilder } from '../../../src/ops/builder.js';
import type { DType } from '../../../src/tensor/dtype.js';
import { seeded } from '../../../src/tensor/random.js';
import { float32 } from '../../../src/tensor/tensor.js';
import { identityGraph, rawFile } from '../../formats/onnx-models.js';
import { refusalOf } from '../../support/refusal.js';

const folder = mkdtempSync(join(tmpdir(), 'shibori-open-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;

function fileOf(graph: Graph, metadata: Record<string, string> = {}, at = `model-${count++}.onnx`): string {
  const file = join(folder, at);
  writeFileSync(file, writeOnnx({ graph, opset: 18, domains: {}, metadata }));
  return file;
}

const noise = (dims: readonly number[], key = 1) => {
  const random = seeded(3, key);
  const size = dims.reduce((a, b) => a * b, 1);
  return float32(
    Array.from({ length: size }, () => random.uniform(-1, 1)),
    [...dims],
  );
};

const SIDE = 6;
const CLASSES = 5;

/** How the head of the little classifier goes from `[N, 4, 6, 6]` to its scores. */
type Head = (b: GraphBuilder, features: Value) => Value;
const weight = (b: GraphBuilder) => b.initializer('fc.weight', noise([4, CLASSES], 2));
const mean = (b: GraphBuilder, x: Value) => b.op('ReduceMean', [x, b.ints([2, 3])], { keepdims: 0 });
const plain: Head = (b, x) => b.op('MatMul', [mean(b, x), weight(b)]);

/** A convolution, Relu, and a head. */
function classifier(
  dims: readonly Dim[],
  options: { head?: Head; nhwc?: boolean; channels?: number; dtype?: DType } = {},
): Graph {
  const b = new GraphBuilder();
  const { head = plain, channels = 3, dtype = 'float32' } = options;
  let x = b.input('image', dtype, dims);
  if (dtype !== 'float32') x = b.op('Cast', [x], { to: 1 });
  if (options.nhwc) x = b.op('Transpose', [x], { perm: [0, 3, 1, 2] });
  const kernel = b.initializer('conv.weight', noise([4, channels, 3, 3]));
  const features = b.op('Relu', [b.op('Conv', [x, kernel], { pads: [1, 1, 1, 1] }, { name: 'conv' })]);
  b.output(head(b, features));
  return b.build('classifier');
}

/** The classifier of NHWC images behind a layer that scales its pixels. */
function rescaling(dtype: DType, scale: (b: GraphBuilder, x: Value) => Value): Graph {
  const b = new GraphBuilder();
  let x = b.input('image', dtype, ['N', SIDE, SIDE, 3]);
  if (dtype !== 'float32') x = b.op('Cast', [x], { to: 1 });
  x = b.op('Transpose', [scale(b, x)], { perm: [0, 3, 1, 2] });
  const kernel = b.initializer('conv.weight', noise([4, 3, 3, 3]));
  b.output(plain(b, b.op('Relu', [b.op('Conv', [x, kernel], { pads: [1, 1, 1, 1] }, { name: 'conv' })])));
  return b.build('classifier');
}

const free: readonly Dim[] = ['N', 3, SIDE, SIDE];

async function scoresOf(graph: Graph, images: ReturnType<typeof noise>) {
  const session = await nodeEngine({ threads: 1 }).load(graph);
  try {
    return await runImages(session, graph, images);
  } finally {
    await session.dispose();
  }
}

/** Opens a graph's file, and expects of it the scores of the plain classifier, for a batch of 3. */
async function expectPlain(graph: Graph, options: OpenOptions = {}) {
  const opened = await openModel(fileOf(graph), options);
  const images = noise([3, 3, SIDE, SIDE], 9);
  const scores = await scoresOf(opened.graph, images);
  const expected = await scoresOf(classifier(free), images);
  expect(scores.dims).toEqual([3, CLASSES]);
  // The same kernels on the same numbers; an order of sums may differ by the batch: a few units of the last place.
  for (const [i, value] of expected.data.entries()) expect(scores.data[i]).toBeCloseTo(value, 5);
  return opened;
}

async function refusal(file: string, options: OpenOptions = {}): Promise<string> {
  const { message } = await refusalOf(openModel(file, options));
  expect(message).toContain(file);
  return message;
}

describe('The images of an ONNX file', () => {
  it('in [N, H, W, C] come in as [N, C, H, W]', async () => {
    const opened = await expectPlain(classifier(['N', SIDE, SIDE, 3], { nhwc: true }));
    expect(opened.graph.inputs[0]?.type?.dims).toEqual(['N', 3, SIDE, SIDE]);
    expect(opened.origin).toMatchObject({ layout: 'nhwc', opset: 18 });
    expect(opened.info.preprocess).toMatchObject({ range: [-1, 1] });
    expect(opened.notes.join()).toMatch(/\[N, H, W, C\].*transposed at the entry/);
    // All axes open: the first node tells.
    await expectPlain(classifier(['N', 'h', 'w', 'c'], { nhwc: true }), { inputSize: [SIDE, SIDE] });
  });

  it('as bytes come in as float32', async () => {
    const opened = await openModel(fileOf(classifier(['N', SIDE, SIDE, 3], { nhwc: true, dtype: 'uint8' })));
    expect(opened.graph.inputs[0]?.type).toEqual({ dtype: 'float32', dims: ['N', 3, SIDE, SIDE] });
    expect(opened.info.preprocess).toMatchObject({ range: [0, 255], mean: [0], std: [1] });
  });

  it('in half precision are widened with the whole graph', async () => {
    const b = new GraphBuilder();
    const x = b.input('image', 'float16', ['N', SIDE, SIDE, 3]);
    b.output(b.op('ReduceMean', [x, b.ints([1, 2])], { keepdims: 0 }));
    const opened = await openModel(fileOf(b.build('half')));
    expect(opened.graph.inputs[0]?.type).toEqual({ dtype: 'float32', dims: ['N', 3, SIDE, SIDE] });
    expect(opened.notes.join()).toMatch(/half precision/);
    expect((await scoresOf(opened.graph, noise([2, 3, SIDE, SIDE]))).dims).toEqual([2, 3]);
  });

  it('of one channel are grey', async () => {
    const opened = await openModel(fileOf(classifier(['N', 1, 28, 28], { channels: 1 })));
    expect(opened.info.preprocess).toMatchObject({ color: 'gray', size: [28, 28], mean: [0], std: [1] });
  });

  it('get the same pixels in [N, H, W, C] as in [N, C, H, W] where mean and std are options', async () => {
    const preprocess = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
    const twins = [classifier(free), classifier(['N', SIDE, SIDE, 3], { nhwc: true })];
    const [first, last] = await Promise.all(twins.map((graph) => openModel(fileOf(graph), { preprocess })));
    expect(last?.info.preprocess).toEqual(first?.info.preprocess);
    expect(last?.info.preprocess?.range).toBeUndefined();
  });

  it('of 11 channels and a width of 1 are [N, C, H, W] where a Conv reads them, and no image file fits them', async () => {
    const opened = await openModel(fileOf(classifier(['N', 11, 6, 1], { channels: 11 })));
    expect(opened.origin?.layout).toBe('nchw');
    expect(opened.graph.inputs[0]?.type?.dims).toEqual(['N', 11, 6, 1]);
    expect(opened.notes).toEqual([]);
    expect(() => requirePreprocess(opened.graph, opened.info)).toThrow(
      /images of 11 channels; image files are read as 3/,
    );
  });

  it('are read by their sizes, with a note, where no node shows the layout', async () => {
    const b = new GraphBuilder();
    const x = b.op('Flatten', [b.input('image', 'float32', ['N', 4, 5, 1])], { axis: 1 });
    b.output(b.op('MatMul', [x, b.initializer('fc.weight', noise([20, CLASSES], 2))]));
    const opened = await openModel(fileOf(b.build('flat')));
    expect(opened.notes.join()).toMatch(
      /No node shows .*\[N, 4, 5, 1\].*taken to be \[N, H, W, C\]\. `imageLayout` changes it/,
    );
  });

  it('of open size get it from an option, or stay open; channels come from the first convolution', async () => {
    const open = classifier(['b', '?', '?', '?']);
    const opened = await expectPlain(open, { inputSize: [SIDE, SIDE] });
    expect(opened.preprocessFrom?.size).toBe('option');
    const unsized = await openModel(fileOf(open));
    expect(unsized.info.preprocess).toBeUndefined();
    expect(unsized.graph.inputs[0]?.type?.dims.slice(0, 2)).toEqual(['N', 3]);
    expect(await refusal(fileOf(classifier(free)), { channels: 1 })).toMatch(/3 channels, not of 1/);
  });
});

describe('A batch that the file fixes', () => {
  it('is freed where reshapes hold on to it', async () => {
    const dims = [1, 3, SIDE, SIDE];
    const reshaped: Head = (b, x) => b.op('MatMul', [b.op('Reshape', [mean(b, x), b.ints([1, 4])]), weight(b)]);
    const opened = await expectPlain(classifier(dims, { head: reshaped }));
    expect(opened.graph.outputs[0]?.type?.dims).toEqual(['N', CLASSES]);
    expect(opened.notes).toEqual(['The batch was fixed to 1; any batch runs now.']);
    await expectPlain(classifier([2, 3, SIDE, SIDE]));
  });

  it('is freed where a class token is put before the patches', async () => {
    const token: Head = (b, x) => {
      const patches = b.op('Transpose', [b.op('Reshape', [x, b.ints([1, 4, SIDE * SIDE])])], { perm: [0, 2, 1] });
      const both = b.op('Concat', [b.initializer('token', noise([1, 1, 4], 5)), patches], { axis: 1 });
      return b.op('MatMul', [b.op('ReduceMean', [both, b.ints([1])], { keepdims: 0 }), weight(b)]);
    };
    const { graph } = await openModel(fileOf(classifier([1, 3, SIDE, SIDE], { head: token })));
    const images = noise([3, 3, SIDE, SIDE], 9);
    const scores = await scoresOf(graph, images);
    const one = await scoresOf(graph, float32(images.data.slice(2 * 3 * SIDE * SIDE), [1, 3, SIDE, SIDE]));
    expect(scores.dims).toEqual([3, CLASSES]);
    for (const [i, value] of one.data.entries()) expect(scores.data[2 * CLASSES + i]).toBeCloseTo(value, 5);
  });

  it('runs in pieces where a node cannot be freed, which is named', async () => {
    const stubborn: Head = (b, x) => {
      // The mean over the batch of one image is the image: of more it is not.
      const own = b.op('ReduceMean', [x, b.ints([0, 2, 3])], { keepdims: 0 }, { name: 'merge' });
      return b.op('MatMul', [b.op('Unsqueeze', [own, b.ints([0])]), weight(b)]);
    };
    const opened = await expectPlain(classifier([1, 3, SIDE, SIDE], { head: stubborn }));
    expect(opened.graph.inputs[0]?.type?.dims[0]).toBe(1);
    expect(opened.notes.join()).toMatch(/fixed to 1, batches run image by image: node "merge" \(ReduceMean\)/);
  });
});

describe('The outputs of an ONNX file', () => {
  it('have the scores first, as [N, classes]; the others are kept', async () => {
    const spatial: Head = (b, x) => {
      b.output(x);
      const kernel = b.initializer(
        'fc.weight',
        float32([...transposed(noise([4, CLASSES], 2).data)], [CLASSES, 4, 1, 1]),
      );
      return b.op(
        'Conv',
        [b.op('ReduceMean', [x, b.ints([2, 3])], { keepdims: 1 }), kernel],
        {},
        { outputName: 'scores' },
      );
    };
    const opened = await expectPlain(classifier(free, { head: spatial }));
    expect(opened.graph.outputs[0]?.type?.dims).toEqual(['N', CLASSES]);
    expect(opened.graph.outputs.slice(1).map(({ name }) => name)).toEqual(opened.info.outputs);
    expect(opened.notes.join()).toMatch(/"scores" holds the scores.*; kept: /);
  });
});

function transposed(values: Float32Array): number[] {
  return Array.from({ length: CLASSES }, (_, c) =>
    Array.from({ length: 4 }, (__, k) => values[k * CLASSES + c] ?? 0),
  ).flat();
}

describe('A file that cannot be opened', () => {
  const written = (name: string, content: string | Uint8Array) => {
    const file = join(folder, name);
    writeFileSync(file, content);
    return file;
  };

  it('is named for what it is', async () => {
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4955000\n';
    expect(await refusal(written('lfs.onnx', pointer))).toMatch(
      /Git LFS pointer to a file of 4955000 bytes.*git lfs pull/,
    );
    expect(await refusal(written('lfs.pt', pointer))).toMatch(/not a PyTorch file: it is a Git LFS pointer/);
    expect(await refusal(written('page.onnx', '\n<!DOCTYPE html>\n<html>Not found'))).toMatch(/web page \(HTML\)/);
    expect(await refusal(written('page.safetensors', '<html></html>'))).toMatch(/web page/);
    expect(await refusal(written('answer.onnx', '{"error": "Repository not found"}'))).toMatch(/JSON document/);
    expect(await refusal(written('empty.onnx', ''))).toMatch(/the file is empty/);
    const whole = writeOnnx({ graph: classifier(free), opset: 18, domains: {}, metadata: {} });
    expect(await refusal(written('cut.onnx', whole.subarray(0, whole.length >> 1)))).toMatch(/damaged, cut short/);
  });

  it('for its operators or inputs says which, and names the file', async () => {
    const b = new GraphBuilder();
    b.output(
      b.op('MatMul', [
        mean(b, b.input('image', 'float32', ['N', 4, SIDE, SIDE])),
        b.input('matrix', 'float32', [4, CLASSES]),
      ]),
    );
    expect(await refusal(fileOf(b.build('two')))).toMatch(
      /takes 2 inputs \("image" \[N, 4, 6, 6\], "matrix" \[4, 5\]\)/,
    );
    const node = { name: 'fast', input: ['x'], output: ['y'] };
    const opsetImport = [{ version: 18 }, { domain: 'com.microsoft', version: 1 }];
    const foreign = identityGraph({ node: [{ ...node, opType: 'FusedGelu', domain: 'com.microsoft' }] });
    expect(await refusal(written('foreign.onnx', rawFile(foreign, { opsetImport })))).toMatch(
      /Node "fast" uses operator com\.microsoft\.FusedGelu/,
    );
    const branch = {
      name: 'then_branch',
      type: 5,
      g: identityGraph({
        input: [],
        node: [{ opType: 'Identity', input: ['x'], output: ['z'] }],
        output: [{ name: 'z' }],
      }),
    };
    const branches = [branch, { ...branch, name: 'else_branch' }];
    for (const opType of ['If', 'Loop', 'Scan']) {
      const control = identityGraph({
        node: [{ ...node, opType, attribute: opType === 'If' ? branches : [{ ...branch, name: 'body' }] }],
      });
      expect(await refusal(written(`${opType}.onnx`, rawFile(control)))).toMatch(new RegExp(`"fast".*${opType}`));
    }
    for (const version of [28, 99]) {
      const file = written(`opset-${version}.onnx`, rawFile(identityGraph(), { opsetImport: [{ version }] }));
      expect(await refusal(file)).toMatch(new RegExp(`operator set ${version}`));
    }
  });

  it('for lack of its external data says where they are expected', async () => {
    const external = {
      dims: [2],
      dataType: 1,
      dataLocation: 1,
      externalData: [{ key: 'location', value: 'weights.bin' }],
    };
    const graph = identityGraph({ initializer: [{ name: 'w', ...external }] });
    expect(await refusal(written('external.onnx', rawFile(graph)))).toMatch(/"weights\.bin" is missing.*Put it there/);
  });
});

describe('What is known beside the graph', () => {
  const config = JSON.stringify({
    size: { shortest_edge: 8 },
    do_center_crop: true,
    crop_size: SIDE,
    resample: 3,
    image_mean: [0.5, 0.5, 0.5],
    image_std: [0.5, 0.5, 0.5],
  });
  const id2label = Object.fromEntries(Array.from({ length: CLASSES }, (_, id) => [id, `name ${id}`]));

  it('comes from configuration files beside it, or above a folder called onnx', async () => {
    mkdirSync(join(folder, 'published', 'onnx'), { recursive: true });
    writeFileSync(join(folder, 'published', 'preprocessor_config.json'), config);
    writeFileSync(join(folder, 'published', 'config.json'), JSON.stringify({ id2label }));
    const file = fileOf(classifier(['N', 3, 'h', 'w']), {}, join('published', 'onnx', 'model.onnx'));
    const { info, preprocessFrom, graph } = await openModel(file);
    expect(info.classes).toEqual(Object.values(id2label));
    expect(info.preprocess).toMatchObject({
      size: [SIDE, SIDE],
      shorterSide: 8,
      filter: 'bicubic',
      mean: [0.5, 0.5, 0.5],
    });
    expect(preprocessFrom).toMatchObject({ size: expect.stringMatching(/preprocessor_config\.json$/), color: 'guess' });
    expect(graph.inputs[0]?.type?.dims).toEqual(['N', 3, SIDE, SIDE]);
  });

  it('is not taken from a folder above that is none of the model’s, nor names of another number of classes', async () => {
    mkdirSync(join(folder, 'above', 'other'), { recursive: true });
    writeFileSync(join(folder, 'above', 'preprocessor_config.json'), config);
    writeFileSync(join(folder, 'above', 'other', 'config.json'), JSON.stringify({ id2label: { 0: 'a', 1: 'b' } }));
    const opened = await openModel(fileOf(classifier(free), {}, join('above', 'other', 'model.onnx')));
    expect(opened.preprocessFrom).toMatchObject({ filter: 'guess', normalization: 'guess' });
    expect(opened.info.classes).toBeUndefined();
    expect(opened.notes.join()).toMatch(/config\.json names 2 classes, the model has 5/);
  });

  it('is saved with the model, entries of others too, and guesses stay guesses', async () => {
    const file = fileOf(classifier(free), { 'somebody.else': 'kept', names: '{0: "tench"}' });
    const opened = await openModel(file, { preprocess: { range: [0, 255], color: 'bgr', shorterSide: 8 } });
    const saved = join(folder, 'saved.onnx');
    await saveModel(opened, saved);
    const again = await openModel(saved);
    expect(again.info).toEqual(opened.info);
    expect(again.info.others).toEqual({ 'somebody.else': 'kept', names: '{0: "tench"}' });
    expect(again.preprocessFrom).toEqual({
      size: 'graph',
      resize: 'metadata',
      filter: 'guess',
      color: 'metadata',
      normalization: 'metadata',
    });
    // Options win over metadata.
    expect((await openModel(saved, { preprocess: { color: 'rgb' } })).info.preprocess?.color).toBe('rgb');
  });

  it('does not change with the order of axes once it is saved', async () => {
    const opened = await openModel(fileOf(classifier(['N', SIDE, SIDE, 3], { nhwc: true })));
    const saved = join(folder, 'transposed.onnx');
    await saveModel(opened, saved);
    const again = await openModel(saved);
    expect(again.origin?.layout).toBe('nchw');
    expect(again.graph.inputs[0]?.type?.dims).toEqual(['N', 3, SIDE, SIDE]);
  });
});

describe('a written file takes the same pixels as the file that it was made of', () => {
  const bytes = { range: [0, 255], mean: [0], std: [1] };
  const number = (b: GraphBuilder, value: number) => b.initializer('constant/number', float32([value], []));
  const means = (b: GraphBuilder) => b.initializer('constant/means', float32([123.68, 116.78, 103.94], [1, 1, 1, 3]));
  const rows: readonly [string, Graph, object, boolean][] = [
    ['bytes', rescaling('uint8', (b, x) => b.op('Mul', [x, number(b, 1 / 255)])), bytes, false],
    ['a division by 255', rescaling('float32', (b, x) => b.op('Div', [x, number(b, 255)])), bytes, true],
    ['a factor of 1/127.5', rescaling('float32', (b, x) => b.op('Mul', [number(b, 1 / 127.5), x])), bytes, true],
    ['the means of 0…255', rescaling('float32', (b, x) => b.op('Sub', [x, means(b)])), bytes, true],
    [
      'a deviation of pixels in 0…1',
      rescaling('float32', (b, x) => b.op('Div', [x, number(b, 0.225)])),
      { range: [-1, 1], mean: [0], std: [1] },
      true,
    ],
  ];
  it.each(rows)('%s', async (_, graph, expected, isGuess) => {
    const opened = await openModel(fileOf(graph));
    expect(opened.info.preprocess).toMatchObject(expected);
    expect(opened.info.guessed?.includes('normalization')).toBe(isGuess);
    const written = join(folder, `written-${count++}.onnx`);
    await saveModel(opened, written, { engine: nodeEngine({ threads: 1 }) });
    const again = await openModel(written);
    expect(again.info.preprocess).toEqual(opened.info.preprocess);
    expect(again.info.guessed).toEqual(opened.info.guessed);
    const asked = { preprocess: { mean: [0], std: [1] } };
    const [before, after] = [await openModel(opened.file, asked), await openModel(written, asked)];
    expect(after.info.preprocess).toEqual(before.info.preprocess);
  });
});

describe('weights that are not finite are refused by name, whatever reads them', () => {
  const behind = (op: 'Add' | 'Mul', values: readonly number[], dims: readonly number[]): Graph =>
    classifier(free, {
      head: (b, x) => b.op(op, [plain(b, x), b.initializer('late', float32([...values], [...dims]))]),
    });
  const rows: readonly [string, Graph][] = [
    ['Infinity in a bias', behind('Add', [0, 0, 0, 0, Number.POSITIVE_INFINITY], [CLASSES])],
    ['Infinity in a bias of two axes', behind('Add', [0, 0, 0, 0, Number.POSITIVE_INFINITY], [1, CLASSES])],
    ['-Infinity in a scale', behind('Mul', [1, 1, 1, 1, Number.NEGATIVE_INFINITY], [1, CLASSES])],
  ];
  it.each(rows)('%s', async (_, graph) => {
    await expect(openModel(fileOf(graph))).rejects.toThrow(/The weight "late".* holds infinite numbers/);
  });

  it('a mask of -Infinity is none of them', async () => {
    await openModel(fileOf(behind('Add', [0, 0, 0, 0, Number.NEGATIVE_INFINITY], [1, CLASSES])));
  });
});
