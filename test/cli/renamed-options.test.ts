import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withOldKeys } from '../../src/cli/json-keys.js';
import { shibori } from '../support/shibori.js';
import { writeTinyStudy } from '../support/tiny-recipe.js';

/** MACs of the tiny network but for its first linear layer. */
const CONVOLUTION = 64 * 4 * 27;
const NORM_AND_HEAD = 12 + 12 * 3;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-renamed-'));
  await writeTinyStudy(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (...args: string[]) => shibori(args, { cwd: folder });
const modes = ['--layer', 'classifier.0', '--in', '8,8', '--out', '3,4'];

describe('old names of options', () => {
  it('work and print the new name once', async () => {
    const { code, stderr, stdout } = await run(
      ...['compress', 'net.onnx', ...modes, '--bonds', '3,6,8', '--bonds', '3,6,8'],
      ...['--execution', 'rebuilt', '-o', 'old.onnx'],
    );
    expect(code).toBe(0);
    expect(stderr.match(/--bonds is called --ranks now/g)).toHaveLength(1);
    expect(stderr.match(/--execution rebuilt is called --execution reconstructed now/g)).toHaveLength(1);
    expect(stdout).toContain('3,6,8');
  });

  it('and of values give the same file as the new ones, without a remark for those', async () => {
    const ranks = ['--ranks', '3,6,8', '--json'];
    const [old, fresh] = await Promise.all([
      run('compress', 'net.onnx', ...modes, ...ranks, '--execution', 'factored', '-o', 'a.onnx'),
      run('compress', 'net.onnx', ...modes, ...ranks, '--execution', 'factorised', '-o', 'b.onnx'),
    ]);
    const [a, b] = [old, fresh].map(({ stdout }) => JSON.parse(stdout));
    expect(old.stderr).toBe('');
    expect(fresh.stderr).toBe('');
    expect(a.layers).toEqual(b.layers);
    expect(a.layers[0]).toMatchObject({ execution: 'factorised', ranks: [3, 6, 8], bonds: [3, 6, 8] });
    expect(a.after.macs).toBe(a.after.multAdds);
    // 456 of the four cores.
    expect(a.after.macs).toBe(CONVOLUTION + 456 + NORM_AND_HEAD);
  });

  it('of validation images are the same options', async () => {
    const args = ['finetune', 'net.onnx', '--data', 'nowhere-a', '--epochs', '1'];
    const [old, fresh] = await Promise.all([
      run(...args, '--val-data', 'nowhere-b'),
      run(...args, '--validation-data', 'nowhere-b'),
    ]);
    expect(old.stderr).toMatch(/--val-data is called --validation-data now/);
    expect(old.stderr.split('\n').slice(1)).toEqual(fresh.stderr.split('\n'));
  });

  it('in a plan work and print the new name once', async () => {
    const layer = '{ in: [8, 8], out: [3, 4], bonds: [3, 6, 8] }';
    await writeFile(join(folder, 'plan.yaml'), `layers:\n  classifier.0: ${layer}\nexecution: rebuilt\n`);
    const { code, stderr } = await run('compress', 'net.onnx', '--plan', 'plan.yaml', '-o', 'planned.onnx');
    expect(code).toBe(0);
    expect(stderr.match(/plan\.yaml: "bonds" is called "ranks" now/g)).toHaveLength(1);
    expect(stderr).toContain('"execution: rebuilt" is called "execution: reconstructed" now');
  });
});

describe('keys of --json', () => {
  it('stand under the old and the new name, whichever the result has', () => {
    const values = new Float32Array(1);
    expect(withOldKeys({ multAdds: 1, layers: [{ bonds: [2] }, { ranks: [3] }], values, execution: 'auto' })).toEqual({
      multAdds: 1,
      macs: 1,
      layers: [
        { bonds: [2], ranks: [2] },
        { ranks: [3], bonds: [3] },
      ],
      values,
      execution: 'auto',
    });
  });

  it('summary has macs and multAdds', async () => {
    const { stdout } = await run('summary', 'net.onnx', '--json');
    const { macs, multAdds, layers } = JSON.parse(stdout);
    expect(macs).toBe(multAdds);
    expect(macs).toBe(CONVOLUTION + 64 * 12 + NORM_AND_HEAD);
    expect(layers[0].macs).toBe(layers[0].multAdds);
  });
});
