import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const read = (name: string) => readFile(resolve(root, name), 'utf8');

interface LockedPackage {
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
}

/** Settings that npm knows. It warns of others, and its next major version refuses them. */
const KNOWN_SETTINGS = ['omit-lockfile-registry-resolved', 'fund', 'audit'];

describe('npm ci in a fresh clone', () => {
  it('meets no setting that npm does not know', async () => {
    const settings = (await read('.npmrc')).trim().split('\n');
    expect(settings.map((line) => line.split('=')[0])).toEqual(KNOWN_SETTINGS);
  });

  // onnxruntime-node's script downloads CUDA libraries from outside the registry. npm runs the scripts of the packages
  // that the lock file marks: after an update of the dependency its mark must be deleted again.
  it('runs no install script of a dependency: the lock file marks none', async () => {
    const { packages }: { packages: Record<string, LockedPackage> } = JSON.parse(await read('package-lock.json'));
    const marked = Object.entries(packages).flatMap(([name, { hasInstallScript }]) => (hasInstallScript ? [name] : []));
    expect(marked.filter((name) => !name.endsWith('/fsevents'))).toEqual([]);
  });

  it('takes packages from whichever registry is set', async () => {
    const { packages }: { packages: Record<string, LockedPackage> } = JSON.parse(await read('package-lock.json'));
    expect(Object.values(packages).flatMap(({ resolved }) => resolved ?? [])).toEqual([]);
  });
});
