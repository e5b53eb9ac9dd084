import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { describeSkipped } from './skipped-groups.js';

const root = resolve(import.meta.dirname, '../..');
const exec = promisify(execFile);

it('describes each group once, with what enables it', () => {
  const counts = new Map([['PyTorch', 3] as const, ['Chromium', 1] as const]);
  expect(describeSkipped(counts)).toBe(
    'Skipped 4 tests: 3 PyTorch (apt-get install python3-torch, or PYTHON of an environment that has it), 1 Chromium (apt-get install chromium).',
  );
  expect(describeSkipped(new Map())).toBe('Skipped no group of tests.');
});

it('is the last line of a run; tests of a suite that is skipped count, filtered ones do not', async () => {
  const folder = await mkdtemp(resolve(root, 'test/support/.skipped-'));
  try {
    await writeFile(
      resolve(folder, 'some.test.ts'),
      `import { describe, it } from 'vitest';
import { requires } from '../requires.js';
describe('a suite', requires('Chromium', false), () => {
  it('a', () => {});
  it('b', () => {});
});
it('c', requires('PyTorch', false), () => {});
it('d', requires('Linux', true), () => {});
it.skip('e', () => {});
`,
    );
    const { stdout } = await exec('npx', ['vitest', 'run', folder, '--maxWorkers=1'], {
      cwd: root,
      env: { ...process.env, NO_COLOR: '1' },
    });
    expect(stdout.trimEnd().split('\n').at(-1)).toMatch(/^Skipped 3 tests: 2 Chromium \(.*\), 1 PyTorch \(.*\)\.$/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
