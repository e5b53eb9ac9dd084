import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shibori } from '../support/shibori.js';
import { writeTinyStudy } from '../support/tiny-recipe.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-json-'));
  await writeTinyStudy(folder);
  await writeFile(join(folder, 'broken.onnx'), 'no model');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('with --json an error is one JSON document on standard output', () => {
  it.each([
    ['an unknown option', ['summary', 'net.pt', '--jsn'], 2, 'usage', /unknown option '--jsn'/],
    ['an unknown command', ['sumary', 'net.pt'], 2, 'usage', /unknown command 'sumary'/],
    [
      'a value that cannot be parsed',
      ['evaluate', 'net.pt', '--batch', 'x'],
      2,
      'usage',
      /Expected a positive integer/,
    ],
    ['a missing argument', ['compare', 'net.pt'], 2, 'usage', /missing required argument 'after'/],
    ['a missing option', ['evaluate', 'net.pt'], 2, 'usage', /--data/, { option: '--data' }],
    ['two goals', ['compress', 'net.pt', '--params', '10%', '--size', '20%'], 2, 'usage', /exactly one goal/],
    ['an option without effect', ['sweep', 'net.pt', '--data', 'x', '--allow-slower'], 2, 'usage', /--allow-slower/],
    ['a damaged file', ['summary', 'broken.onnx'], 1, 'failed', /broken\.onnx/, { file: 'broken.onnx' }],
    ['a missing file', ['summary', 'nowhere.pt'], 1, 'failed', /no such file/, { file: 'nowhere.pt' }],
  ] as [string, string[], number, string, RegExp, object?][])(
    '%s',
    async (_, args, exitCode, code, message, subject) => {
      const result = await shibori([...args, '--json'], { cwd: folder });
      expect(JSON.parse(result.stdout)).toEqual({
        error: { code, message: expect.stringMatching(message), ...subject },
      });
      // People who look at a log see it, too.
      expect(result.stderr).toMatch(message);
      expect(result.code).toBe(exitCode);
    },
  );

  it('an unexpected failure, with its stack', async () => {
    // A module that throws as soon as a command loads it stands for a fault of the program.
    const fault = `data:text/javascript,${encodeURIComponent(
      "Object.defineProperty(Array.prototype, 'at', { value() { throw new TypeError('a fault'); } });",
    )}`;
    const result = await shibori(['summary', 'net.pt', '--json'], {
      cwd: folder,
      env: { NODE_OPTIONS: `--import="${fault}"` },
    });
    expect(JSON.parse(result.stdout)).toMatchObject({
      error: { code: 'internal', message: 'a fault', stack: expect.stringContaining('    at ') },
    });
    expect(result.code).toBe(1);
  });

  it('help and version are documents, too', async () => {
    const help = await shibori(['summary', '--help', '--json']);
    expect(JSON.parse(help.stdout)).toEqual({ help: expect.stringMatching(/^Usage: shibori summary/) });
    const version = await shibori(['--version', '--json']);
    expect(JSON.parse(version.stdout)).toEqual({ version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
    expect([help.code, version.code]).toEqual([0, 0]);
  });

  it('compress has the same sizes under the same names with a goal and with given ranks', async () => {
    const ranks = ['--layer', 'classifier.0', '--in', '8,8', '--out', '3,4', '--ranks', '3,6,8'];
    const runs = [ranks, ['--params', '60%']].map(async (how, i) => {
      const result = await shibori(['compress', 'net.onnx', ...how, '-o', `small-${i}.onnx`, '--json'], {
        cwd: folder,
      });
      return JSON.parse(result.stdout);
    });
    const keys = ['gzipBytes', 'multAdds', 'onnxBytes', 'parameters'];
    for (const { size, before, after, output } of await Promise.all(runs)) {
      for (const part of [size.before, size.after, size.ratio])
        expect(Object.keys(part)).toEqual(expect.arrayContaining(keys));
      expect(before.parameters).toBe(size.before.parameters);
      expect(after.parameters).toBe(size.after.parameters);
      expect(size.ratio.parameters).toBeCloseTo(size.after.parameters / size.before.parameters, 12);
      expect(output).toMatch(/small-\d\.onnx$/);
    }
  });

  it('without --json standard output stays empty', async () => {
    const { stdout, stderr, code } = await shibori(['summary', 'nowhere.pt'], { cwd: folder });
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^error: /);
    expect(code).toBe(1);
  });
});
