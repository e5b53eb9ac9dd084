import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const manifest = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8'));

it('the package ships what its readers need, and nothing of its tests', async () => {
  const { stdout } = await promisify(execFile)('npm', ['pack', '--ignore-scripts', '--dry-run', '--json'], {
    cwd: root,
  });
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  expect(paths).toEqual(
    expect.arrayContaining([
      ...['README.md', 'LICENSE', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'docs/glossary.md'],
      ...['dist/index.js', 'dist/index.d.ts', 'dist/cli/main.js', 'recipes/tiny-imagenet-vgg16.yaml'],
    ]),
  );
  expect(paths.filter((path) => /^(src|test|bench|scripts)\//.test(path))).toEqual([]);
});

it('every entry point of the package is built', () => {
  const entries = Object.values<string | Record<string, string>>(manifest.exports).flatMap((entry) =>
    typeof entry === 'string' ? [entry] : Object.values(entry),
  );
  for (const entry of [...entries, manifest.types, manifest.bin.shibori]) {
    expect(existsSync(resolve(root, entry)), entry).toBe(true);
  }
});

it('the metadata is complete', () => {
  expect(manifest).toMatchObject({
    author: expect.any(String),
    license: 'Apache-2.0',
    sideEffects: false,
    engines: { node: '>=20.9' },
  });
});
