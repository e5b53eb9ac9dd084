import { link, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shibori } from '../support/shibori.js';
import { writeTinyStudy } from '../support/tiny-recipe.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-output-'));
  await writeTinyStudy(folder);
  await shibori(['export', 'net.pt', 'net.onnx'], { cwd: folder });
  await symlink('net.onnx', join(folder, 'symbolic.onnx'));
  await link(join(folder, 'net.onnx'), join(folder, 'hard.onnx'));
  await writeFile(join(folder, 'taken'), 'a file');
  await mkdir(join(folder, 'sub'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const json = (text: string): { error: { code: string; message: string } } => JSON.parse(text);

describe('the model that is read is never overwritten', () => {
  it.each([
    ['compress to a goal', ['compress', 'net.onnx', '--data', 'images', '--params', '50%', '-o', 'net.onnx']],
    ['compress by weights alone', ['compress', 'net.onnx', '--params', '50%', '-o', 'sub/../net.onnx']],
    [
      'compress with given ranks',
      ['compress', 'net.onnx', '--layer', 'fc', '--in', '2,2', '--out', '2,2', '--ranks', '1', '-o', './net.onnx'],
    ],
    ['finetune', ['finetune', 'net.onnx', '--data', 'images', '-o', 'symbolic.onnx']],
    ['finetune, its teacher', ['finetune', 'net.pt', '--data', 'images', '--teacher', 'net.onnx', '-o', 'net.onnx']],
    ['train', ['train', 'net.onnx', '--data', 'images', '-o', 'hard.onnx']],
    ['export', ['export', 'net.onnx', 'net.onnx']],
  ])('%s', async (_, args) => {
    const before = await readFile(join(folder, 'net.onnx'));
    const result = await shibori([...args, '--json'], { cwd: folder });
    const { error } = json(result.stdout);
    expect(error.code).toBe('usage');
    expect(error.message).toMatch(/is the model that is read \(net\.onnx\) and would be overwritten/);
    expect(result.code).toBe(2);
    expect(await readFile(join(folder, 'net.onnx'))).toEqual(before);
  });
});

describe('a file where a folder is to be made is an error in words', () => {
  it.each([
    ['explain -o', ['explain', 'net.onnx', 'images', '--limit', '1', '-o', 'taken']],
    ['explain --maps', ['explain', 'net.onnx', 'images', '--limit', '1', '--maps', 'taken']],
    ['finetune --work', ['finetune', 'net.onnx', '--data', 'images', '--work', 'taken', '-o', 'new.onnx']],
    ['finetune -o', ['finetune', 'net.onnx', '--data', 'images', '-o', 'taken/new.onnx']],
    ['compare -o', ['compare', 'net.onnx', 'net.pt', '--data', 'images', '-o', 'taken']],
  ])('%s', async (_, args) => {
    const result = await shibori([...args, '--json', '-q'], { cwd: folder });
    const { error } = json(result.stdout);
    expect(error).toEqual({
      code: 'failed',
      file: expect.stringMatching(/^taken\b/),
      message: expect.stringMatching(/taken.*: .*file/),
    });
    expect(result.code).toBe(1);
    expect(await readFile(join(folder, 'taken'), 'utf8')).toBe('a file');
  });
});
