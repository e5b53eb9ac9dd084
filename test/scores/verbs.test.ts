import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeOnnxChunks } from '../../src/formats/onnx/write.js';
import { type Graph, OPSET } from '../../src/graph/model.js';
import { openModel } from '../../src/io/models/model-file.js';
import { saveModel } from '../../src/io/models/save-model.js';
import { withFreshHead } from '../../src/models/fresh-head.js';
import { findImagenetNames, IMAGENET_NAMES } from '../../src/models/imagenet-names.js';
import { findScores } from '../../src/ops/scores/scores.js';
import { evaluate } from '../../src/workflows/evaluate.js';
import { explain } from '../../src/workflows/explain.js';
import { summarize } from '../../src/workflows/summarize.js';
import { shibori } from '../support/shibori.js';
import { type Ending, network, SIDE } from './networks.js';

const folder = mkdtempSync(join(tmpdir(), 'shibori-scores-'));
const at = (...parts: string[]) => join(folder, ...parts);
const RAW = { preprocess: { mean: [0, 0, 0], std: [1, 1, 1] } } as const;
const rawFlags = ['--mean', '0', '--std', '1'];

function write(name: string, graph: Graph): string {
  const model = { graph, opset: OPSET, domains: {}, metadata: {} };
  writeFileSync(at(name), Buffer.concat(writeOnnxChunks(model).map((chunk) => Buffer.from(chunk))));
  return at(name);
}

const plain: Ending = (_, z) => z;

beforeAll(async () => {
  for (const [label, name] of ['cats', 'dogs'].entries()) {
    mkdirSync(at('data', name), { recursive: true });
    for (let i = 0; i < 6; i++) {
      const color = { r: 40 * i, g: label * 200, b: 255 - 40 * i };
      const image = sharp({ create: { width: SIDE, height: SIDE, channels: 3, background: color } });
      await image.png().toFile(at('data', name, `${i}.png`));
    }
  }
  mkdirSync(at('loose'), { recursive: true });
  cpSync(at('data', 'cats'), at('loose', 'more'), { recursive: true });
  writeFileSync(at('loose', 'notes.md'), 'no image');
  writeFileSync(at('list.txt'), 'data/cats/1.png\n\ndata/dogs/2.png\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const logits5 = () => write('logits.onnx', network(plain));

describe('explain', () => {
  it('takes a folder of images without labels: eight of them at most, which is reported', async () => {
    const notes: string[] = [];
    const context = { onNote: (note: string) => notes.push(note) };
    const few = await explain({ model: logits5(), images: [at('loose')], ...RAW, ...context });
    expect(few.images.map(({ file }) => file)).toEqual(range(6).map((i) => at('loose', 'more', `${i}.png`)));
    expect(notes.join('\n')).not.toContain('`limit`');
    const many = await explain({ model: logits5(), images: [at('data')], ...RAW, ...context });
    expect(many.images).toHaveLength(8);
    expect(many.images.filter(({ file }) => file.includes('dogs'))).toHaveLength(4);
    expect(notes.join('\n')).toMatch(/8 of the 12 images.*`limit`/);
    const two = await explain({ model: logits5(), images: [at('data')], ...RAW, limit: 2 });
    expect(two.images.map(({ file }) => file)).toEqual([at('data', 'cats', '0.png'), at('data', 'dogs', '0.png')]);
  });

  it('takes a text file that lists images by paths from its own folder', async () => {
    const { images } = await explain({ model: logits5(), images: [at('list.txt')], ...RAW });
    expect(images.map(({ file }) => file)).toEqual([at('data', 'cats', '1.png'), at('data', 'dogs', '2.png')]);
  });

  it('refuses a folder and a list without images', async () => {
    mkdirSync(at('empty'), { recursive: true });
    writeFileSync(at('empty.txt'), '\n');
    await expect(explain({ model: logits5(), images: [at('empty')], ...RAW })).rejects.toThrow(/holds no images/);
    await expect(explain({ model: logits5(), images: [at('empty.txt')], ...RAW })).rejects.toThrow(/is empty/);
    await expect(explain({ model: logits5(), images: [], ...RAW })).rejects.toThrow(/folder of images/);
  });

  it('gives the five most probable classes, which sum up to 1 of a softmax of five', async () => {
    const { images, scores } = await explain({
      model: logits5(),
      images: [at('data', 'cats', '1.png')],
      ...RAW,
    });
    const top = images[0]?.top ?? [];
    expect(top).toHaveLength(5);
    expect(top.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 6);
    expect(top.map(({ probability }) => probability)).toEqual(
      top.map(({ probability }) => probability).toSorted((a, b) => b - a),
    );
    expect(top[0]?.index).toBe(images[0]?.predicted);
    expect(scores).toEqual({ kind: 'logits', labels: 'single-label', explained: 'logits' });
  });

  it('reports guessed preprocessing, and not what options give', async () => {
    const notes: string[] = [];
    const context = { onNote: (note: string) => notes.push(note) };
    const { preprocess } = await explain({
      model: logits5(),
      images: [at('data', 'cats', '1.png')],
      ...RAW,
      ...context,
    });
    expect(preprocess.guessed).toEqual(['resize', 'filter', 'color']);
    expect(preprocess.normalization).toBe('pixels to 0…1');
    expect(notes.join('\n')).toMatch(/preprocessing is guessed: resize \(/);
  });

  it('names the classes of ImageNet for 1,000 outputs that nothing else names, and the names beside the model first', async () => {
    const image = [at('data', 'cats', '1.png')];
    const file = write('thousand.onnx', network(plain, { columns: 1000 }));
    const { images } = await explain({ model: file, images: image, ...RAW });
    const [found] = images;
    expect(found?.predictedName).toBe(IMAGENET_NAMES[found?.predicted ?? -1]);
    mkdirSync(at('named'), { recursive: true });
    cpSync(file, at('named', 'm.onnx'));
    writeFileSync(
      at('named', 'words.txt'),
      range(1000)
        .map((i) => `n${i}\tname ${i}, synonym`)
        .join('\n'),
    );
    const named = await explain({ model: at('named', 'm.onnx'), images: image, ...RAW });
    expect(named.images[0]?.predictedName).toBe(`name ${found?.predicted}`);
    const id2label = Object.fromEntries(range(1000).map((i) => [i, `label ${i}`]));
    writeFileSync(at('named', 'config.json'), JSON.stringify({ id2label }));
    const labelled = await explain({ model: at('named', 'm.onnx'), images: image, ...RAW });
    expect(labelled.images[0]?.predictedName).toBe(`label ${found?.predicted}`);
  });

  it('the list of ImageNet has 1,000 names, TensorFlow’s one more in front', () => {
    expect(IMAGENET_NAMES).toHaveLength(1000);
    expect([0, 1, 281, 999].map((i) => IMAGENET_NAMES[i])).toEqual(['tench', 'goldfish', 'tabby', 'toilet tissue']);
    expect(new Set(IMAGENET_NAMES).size).toBe(1000);
    expect(findImagenetNames(1001)?.slice(0, 2)).toEqual(['background', 'tench']);
    expect(findImagenetNames(10)).toBeUndefined();
  });

  it('of a saturated log-softmax says that the probability leaves no gradient, and what to do', async () => {
    const file = write(
      'saturated.onnx',
      network((b, z) => b.op('LogSoftmax', [z], { axis: 1 }), { scale: 4000 }),
    );
    const warnings: string[] = [];
    const context = { onWarning: (text: string) => warnings.push(text) };
    const image = [at('data', 'cats', '1.png')];
    const { images, scores } = await explain({ model: file, images: image, ...RAW, ...context });
    expect([images[0]?.isSaturated, images[0]?.isZero]).toEqual([true, true]);
    expect(scores.explained).toBe('log-probabilities');
    expect(warnings.join('\n')).toMatch(/leave no gradient.*`score: 'logits'`/);
    expect(warnings.join('\n')).toMatch(/zero everywhere/);
    const better = await explain({ model: file, images: image, ...RAW, score: 'logits' });
    expect([better.images[0]?.isSaturated, better.scores.explained]).toEqual([false, 'logits']);
  });
});

describe('one output column', () => {
  const file = () =>
    write(
      'column.onnx',
      network((b, z) => b.op('Squeeze', [b.op('Sigmoid', [z]), b.ints([1])]), { columns: 1 }),
    );

  it('is a classifier of two classes for every verb', async () => {
    const described = await summarize({ model: file() });
    expect(described.classes).toEqual({ count: 2, names: null });
    expect(described.scores).toMatchObject({ kind: 'probabilities', labels: 'binary' });
    const found = await evaluate({ model: file(), ...RAW, data: at('data') });
    expect(found.images).toBe(12);
    expect(found.scores).toEqual({ kind: 'probabilities', labels: 'binary' });
    const { images } = await explain({ model: file(), images: [at('data')], ...RAW, limit: 12 });
    const right = images.filter(({ file: path, predicted }) => predicted === Number(path.includes('dogs'))).length;
    expect(found.top1Correct).toBe(right);
    const nll = images.reduce((sum, { file: path, top }) => {
      const own = top.find(({ index }) => index === Number(path.includes('dogs')));
      return sum - Math.log(own?.probability ?? Number.NaN) / images.length;
    }, 0);
    expect(found.nll).toBeCloseTo(nll, 5);
  });

  it('is written as the file had it: [N]', async () => {
    const opened = await openModel(file());
    expect(opened.graph.outputs[0]?.type?.dims).toEqual(['N', 1]);
    await saveModel(opened, at('again.onnx'));
    const again = await openModel(at('again.onnx'));
    expect(again.origin?.outputs.map(({ dims }) => dims)).toEqual([['N']]);
    expect(again.graph.outputs[0]?.type?.dims).toEqual(['N', 1]);
  });

  it('as a regression has no accuracy and no probabilities, also after it was saved', async () => {
    const opened = await openModel(file(), { task: 'regression' });
    await saveModel(opened, at('regression.onnx'));
    expect((await summarize({ model: at('regression.onnx') })).classes).toBeNull();
    await expect(evaluate({ model: at('regression.onnx'), ...RAW, data: at('data') })).rejects.toThrow(
      /regression.*no classes/,
    );
    const { images } = await explain({
      model: at('regression.onnx'),
      images: [at('data', 'cats', '1.png')],
      ...RAW,
    });
    expect(images[0]).toMatchObject({ probability: null, targetProbability: null, top: [], targetName: 'output 0' });
    const back = await summarize({ model: at('regression.onnx'), task: 'classification' });
    expect(back.classes?.count).toBe(2);
  });
});

describe('classes', () => {
  it('of a data set are found by the names of ImageNet where a model of 1,000 outputs has none', async () => {
    cpSync(at('data', 'cats'), at('animals', 'goldfish'), { recursive: true });
    cpSync(at('data', 'dogs'), at('animals', 'tabby'), { recursive: true });
    const file = write('animals.onnx', network(plain, { columns: 1000 }));
    const warnings: string[] = [];
    const found = await evaluate({
      model: file,
      ...RAW,
      data: at('animals'),
      onWarning: (text) => warnings.push(text),
    });
    expect(found.labelsBy).toBe('name');
    expect(warnings.join('\n')).not.toContain('taken to be outputs');
  });

  it('named beside a model are kept in the file that is made of it', async () => {
    mkdirSync(at('kept'), { recursive: true });
    cpSync(logits5(), at('kept', 'm.onnx'));
    writeFileSync(at('kept', 'words.txt'), 'ape\nbee\ncat\ndog\neel\n');
    await saveModel(await openModel(at('kept', 'm.onnx')), at('kept.onnx'));
    expect((await summarize({ model: at('kept.onnx') })).classes).toEqual({
      count: 5,
      names: ['ape', 'bee', 'cat', 'dog', 'eel'],
    });
  });

  it('a fresh head for two classes keeps one column where the model has one', () => {
    const sigmoid: Ending = (b, z) => b.op('Sigmoid', [z]);
    const of = (classes: number) => findScores(withFreshHead(network(sigmoid, { columns: 1 }), classes, 1).graph);
    expect(of(2)).toMatchObject({ columns: 1, classes: 2, labels: 'binary' });
    expect(of(3)).toMatchObject({ columns: 3, classes: 3, labels: 'multi-label' });
  });
});

describe('the command line', () => {
  const two = () =>
    write('two.onnx', {
      ...network((b, z) => {
        b.output(b.op('Identity', [z], {}, { outputName: 'features' }));
        return b.op('Softmax', [z], {}, { outputName: 'probabilities' });
      }),
    });

  it('names the output that was chosen and the others; --output and --output-name choose another', async () => {
    const file = two();
    const [found, named, short, wrong] = await Promise.all([
      shibori(['summary', file]),
      shibori(['summary', file, '--json', '--output-name', 'features']),
      shibori(['summary', file, '--json', '--output', 'features']),
      shibori(['explain', file, at('data', 'cats', '1.png'), '--output-name', 'probability']),
    ]);
    expect(found.stdout).toMatch(/Note: Of its outputs, "probabilities" holds the scores .*kept: "features"/);
    expect(found.stdout).toMatch(/Scores +"probabilities": probabilities, single-label/);
    for (const { stdout } of [named, short]) {
      expect(JSON.parse(stdout).scores).toEqual({ output: 'features', kind: 'logits', labels: 'single-label' });
    }
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('Did you mean "probabilities"?')]);
  });

  it('explain prints the most probable classes and which scores are explained', async () => {
    const image = at('data', 'cats', '1.png');
    const { code, stdout, stderr } = await shibori(['explain', two(), image, ...rawFlags, '--no-picture']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Layer relu, explained: logits\n/);
    expect(stdout).toMatch(/Most probable classes\n.*1\.png: class \d \d+\.\d\d %, class/);
    expect(stderr).toMatch(
      /note: The model gives probabilities \(Softmax\): the logits in front of them are explained/,
    );
  });
});

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
