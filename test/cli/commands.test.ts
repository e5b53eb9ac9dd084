import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withOldKeys } from '../../src/cli/json-keys.js';
import { readNpy } from '../../src/formats/npy.js';
import { requires } from '../support/requires.js';
import { shibori } from '../support/shibori.js';
import { SIDE, writeTinyStudy } from '../support/tiny-recipe.js';

const python = '/usr/bin/python3';
const hasTorch = spawnSync(python, ['-c', 'import torch']).status === 0;

let folder: string;
let files: Awaited<ReturnType<typeof writeTinyStudy>>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-cli-'));
  files = await writeTinyStudy(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (...args: string[]) => shibori(args, { cwd: folder });
const json = async (...args: string[]) => {
  const result = await run(...args, '--json');
  expect(result.stderr).toBe('');
  expect(result.code).toBe(0);
  return JSON.parse(result.stdout);
};

/** Conv 3→4 (3×3), two linear layers 64→12 and 12→3, one batch norm. */
const PARAMETERS = 4 * 27 + 4 + 64 * 12 + 12 + 24 + 12 * 3 + 3;
/** The convolution at each of 8×8 places, two linear layers and the batch norm between them. */
const MULT_ADDS = 64 * 4 * 27 + 64 * 12 + 12 + 12 * 3;

describe('shibori', () => {
  it('summary lists layers and totals', async () => {
    const result = await json('summary', 'net.pt', '--input', '3,8,8', '--train', 'classifier.*');
    expect(result).toMatchObject({
      parameters: PARAMETERS,
      frozen: 112,
      trainable: PARAMETERS - 112,
      format: 'torch',
      architecture: 'vgg',
    });
    expect(result.layers[0]).toMatchObject({
      name: 'net.features.0',
      type: 'Conv',
      outputShape: [1, 4, SIDE, SIDE],
      parameters: 112,
    });
    expect(result.multAdds).toBe(MULT_ADDS);
    expect(result.sizeBytes).toBeGreaterThan(4 * PARAMETERS);
    const text = await run('summary', 'net.pt');
    expect(text.stdout).toContain('classifier');
    expect(text.stdout).toContain(PARAMETERS.toLocaleString('en-US'));
  });

  it('summary says what is done to images and who says so; options change it, and what contradicts is refused', async () => {
    const guess = await json('summary', 'net.onnx');
    expect(guess.preprocessFrom).toMatchObject({ size: 'graph', normalization: 'guess' });
    expect(guess.origin).toMatchObject({ opset: 18, layout: 'nchw' });
    const flags = ['--scale', '-1-1', '--color', 'bgr', '--crop', '0.875', '--filter', 'bicubic'];
    expect(await json('summary', 'net.onnx', ...flags)).toMatchObject({
      preprocess: { range: [-1, 1], color: 'bgr', shorterSide: 9, filter: 'bicubic', mean: [0], std: [1] },
      preprocessFrom: { resize: 'option', filter: 'option', color: 'option', normalization: 'option' },
    });
    const { code, stderr } = await run('summary', 'net.onnx', '--mean', '123,117,104');
    expect(code).toBe(2);
    expect(stderr).toMatch(/--scale 0-255/);
  });

  it('evaluate gives counts, percent and the likelihood; a corrupt image is skipped, counted and named', async () => {
    const bad = join(files.images, 'star', 'zz-corrupt.png');
    await writeFile(bad, 'this is no picture');
    const { code, stdout, stderr } = await run('evaluate', 'net.pt', '--data', 'images', '--json');
    await rm(bad);
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(result.images).toBe(36);
    expect(result.top1).toBeCloseTo((100 * result.top1Correct) / 36);
    expect(result.top5Correct).toBe(36);
    expect(result.nll).toBeCloseTo(0.99116, 4);
    expect(result.skipped).toMatchObject([{ path: expect.stringContaining('zz-corrupt.png') }]);
    expect(stderr).toContain('zz-corrupt.png');
  });

  it('explain writes a triptych and the map at the input’s size', async () => {
    const image = join('images', 'circle', '0.png');
    const result = await json(
      'explain',
      'net.pt',
      image,
      '--input',
      '3,8,8',
      '--layer',
      'features.1',
      '--class',
      '2',
      '--maps',
      'maps',
      '-o',
      'pictures',
    );
    const [first] = result.images;
    expect(first).toMatchObject({ file: image, target: 2 });
    expect(first.probability).toBeCloseTo(0.7701, 4);
    const map = readNpy(readFileSync(join(folder, first.map)));
    expect(map).toMatchObject({ dtype: 'float32', dims: [SIDE, SIDE] });
    const picture = await sharp(join(folder, first.picture)).metadata();
    expect(picture.format).toBe('png');
    expect(picture.width).toBeGreaterThan(3 * 200);
  });

  it('explain --layer list shows the candidates', async () => {
    const layers = await json('explain', 'net.pt', '--layer', 'list');
    expect(layers.map((layer: { name: string }) => layer.name)).toContain('net.features.1');
  });

  it('compress, export and compare: squeezed files work, and full rank changes nothing', async () => {
    const squeezed = await json('compress', 'net.pt', '--plan', 'plan.yaml', '-o', 'small.onnx');
    expect(squeezed.layers[0]).toMatchObject({
      name: 'net.classifier.0',
      layout: 'tt',
      inModes: [8, 8],
      outModes: [3, 4],
      bonds: [3, 6, 8],
    });
    expect(squeezed.layers[0].error).toBeLessThanOrEqual(squeezed.layers[0].bound);
    expect(squeezed.after.parameters).toBe(PARAMETERS - 64 * 12 + (9 + 3 * 4 * 6 + 6 * 8 * 8 + 64));
    const full = await json(
      'compress',
      'net.pt',
      '--layer',
      'classifier.0',
      '--in',
      '8,8',
      '--out',
      '3,4',
      '-o',
      'full.pt',
    );
    expect(full.output).toBe('full.pt');
    await json('export', 'full.pt', 'full.safetensors');
    const report = await json(
      'compare',
      'net.pt',
      'full.safetensors',
      '--data',
      'images',
      '-o',
      'report',
      '--map-images',
      '6',
    );
    expect(report.flips).toEqual([]);
    expect(report.accuracy.top1Drop).toBe(0);
    expect(report.maps.pearson.min).toBeGreaterThan(0.999);
    expect(report.speed.map((s: { batch: number }) => s.batch)).toEqual([1, 64]);
    expect(readdirSync(join(folder, 'report')).sort()).toEqual(['figures', 'report.html', 'report.json']);
    const written: unknown = JSON.parse(readFileSync(join(folder, 'report', 'report.json'), 'utf8'));
    expect(withOldKeys(written)).toEqual(report);
  });

  it(
    'a squeezed .pt loads in plain PyTorch, cores and bias under the names of ttz’s TTLayer',
    requires('PyTorch', hasTorch),
    async () => {
      await json('compress', 'net.pt', '--plan', 'plan.yaml', '-o', 'small.pt');
      const script =
        "import json, torch; print(json.dumps({k: list(v.shape) for k, v in torch.load('small.pt').items()}))";
      const shapes = JSON.parse(execFileSync(python, ['-c', script], { cwd: folder, encoding: 'utf8' }));
      expect(shapes).toMatchObject({
        'net.classifier.0.tt_W0': [3, 3],
        'net.classifier.0.tt_W1': [3, 4, 6],
        'net.classifier.0.tt_W2': [6, 8, 8],
        'net.classifier.0.tt_W3': [8, 8],
        'net.classifier.0.B': [3, 4],
        'net.classifier.2.running_mean': [12],
      });
      expect(shapes).not.toHaveProperty(['net.classifier.0.weight']);
    },
  );

  it('finetune trains the head only, writes metrics, and goes on with --resume', async () => {
    const args = [
      'finetune',
      'net.onnx',
      '--data',
      'images',
      '--validation-data',
      'images',
      '--train',
      'classifier.*',
      '--lr',
      '1e-3',
      '--batch',
      '8',
      '-o',
      'tuned.onnx',
      '--work',
      'work',
    ];
    const first = await json(...args, '--epochs', '2');
    expect(first.history).toHaveLength(2);
    expect(first.history[1].trainLoss).toBeLessThan(first.history[0].trainLoss);
    expect(first.trained).toBe(PARAMETERS - 112);
    const more = await json(...args, '--epochs', '3', '--resume');
    expect(more.history.slice(0, 2)).toEqual(first.history);
    expect(more.history).toHaveLength(3);
    const lines = readFileSync(join(folder, 'work', 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.filter((line) => 'epoch/trainLoss' in line)).toHaveLength(3);
    expect(readdirSync(join(folder, 'work')).some((name) => name.includes('tfevents'))).toBe(true);
    const { multAdds } = await json('summary', 'tuned.onnx');
    expect(multAdds).toBe(MULT_ADDS);
  });

  it('run does a whole study, and a mistake in a recipe has its line', async () => {
    await writeFile(
      join(folder, 'recipe.yaml'),
      [
        'model: net.pt',
        'data: { source: images, randomSplit: { fractions: [0.5, 0.5], seed: 1 } }',
        'compress:',
        '  layers:',
        '    classifier.0: { in: [8, 8], out: [3, 4], bonds: [3, 6, 8] }',
        'finetune: { epochs: 1, batch: 6 }',
        'compare: { images: 4 }',
      ].join('\n'),
    );
    const result = await json('run', 'recipe.yaml', '-o', 'study');
    expect(result.comparison.accuracy.after.images).toBe(18);
    const written = readdirSync(join(folder, 'study'));
    for (const name of ['model.onnx', 'model.pt', 'model.safetensors', 'report.html', 'triptychs.png'])
      expect(written).toContain(name);
    await writeFile(
      join(folder, 'wrong.yaml'),
      'model: net.pt\ncompress:\n  layers:\n    classifier.0: { inn: [8, 8], out: [3, 4] }\n',
    );
    const { code, stderr } = await run('run', 'wrong.yaml');
    expect(code).toBe(2);
    expect(stderr).toContain('wrong.yaml:4:');
    expect(stderr).toContain('Did you mean "in"?');
  });
});

describe('bad input', () => {
  it.each([
    [
      'an unknown layer',
      ['explain', 'net.pt', 'images/circle/0.png', '--layer', 'featurs.1'],
      2,
      /Did you mean "features\.1"/,
    ],
    ['a class out of range', ['explain', 'net.pt', 'images/circle/0.png', '--class', '9'], 2, /classes 0 to 2/],
    [
      'modes whose product is wrong',
      ['compress', 'net.pt', '--layer', 'classifier.0', '--in', '8,9', '--out', '3,4'],
      2,
      /64/,
    ],
    [
      'a layer that is not linear',
      ['compress', 'net.pt', '--layer', 'features.0', '--in', '8,8', '--out', '3,4'],
      1,
      /features\.0/,
    ],
    ['a missing model', ['summary', 'nowhere.pt'], 1, /no such file/],
    ['a model of no known kind', ['summary', 'images'], 2, /\.onnx/],
    ['no images', ['evaluate', 'net.pt'], 2, /--data/],
    ['data that is not there', ['evaluate', 'net.pt', '--data', 'nowhere'], 2, /nowhere/],
    ['an unknown option', ['summary', 'net.pt', '--jsn'], 2, /--json/],
    ['an unknown command', ['sumary', 'net.pt'], 2, /summary/],
    ['an unknown download', ['fetch', 'tiny-imagnet'], 2, /tiny-imagenet/],
  ])('%s: a clear error and the right exit code', async (_, args, expected, message) => {
    const { code, stderr, stdout } = await run(...args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain('    at ');
    expect(stdout).toBe('');
    expect(code).toBe(expected);
  });

  it('a mislabelled model says what it really is', async () => {
    await writeFile(join(folder, 'renamed.onnx'), readFileSync(files.model));
    const { code, stderr } = await run('summary', 'renamed.onnx');
    expect(code).toBe(1);
    expect(stderr).toMatch(/promises an ONNX model, but it holds a PyTorch file/);
  });

  it('a web page or a Git LFS pointer under a model’s name is called what it is', async () => {
    await writeFile(join(folder, 'page.onnx'), '<!DOCTYPE html><html>not found</html>');
    await writeFile(join(folder, 'lfs.onnx'), 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 42\n');
    for (const [file, message] of [
      ['page.onnx', /web page/],
      ['lfs.onnx', /Git LFS pointer/],
    ] as const) {
      const { code, stderr, stdout } = await run('summary', file);
      expect(code).toBe(1);
      expect(stderr.trim().split('\n')).toHaveLength(1);
      expect(stderr).toMatch(message);
      expect(stdout).toBe('');
    }
  });

  it('a truncated model is refused and nothing is written', async () => {
    await writeFile(join(folder, 'cut.onnx'), readFileSync(files.onnx).subarray(0, 700));
    const { code, stderr } = await run(
      'compress',
      'cut.onnx',
      '--layer',
      'classifier.0',
      '--in',
      '8,8',
      '--out',
      '3,4',
      '-o',
      'never.onnx',
    );
    expect(code).toBe(1);
    expect(stderr).toContain('cut.onnx');
    expect(existsSync(join(folder, 'never.onnx'))).toBe(false);
  });

  it('a folder without images says so', async () => {
    const empty = await mkdtemp(join(folder, 'empty-'));
    const { code, stderr } = await run('evaluate', 'net.pt', '--data', empty);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/image/);
  });
});
