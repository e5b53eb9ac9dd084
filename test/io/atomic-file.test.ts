import { execFileSync, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { ShiboriError } from '../../src/errors.js';
import { writeFileAtomic } from '../../src/io/atomic-file.js';
import { requires } from '../support/requires.js';

const root = mkdtempSync(join(tmpdir(), 'shibori-atomic-'));
let folder = root;
let count = 0;
beforeEach(() => {
  folder = join(root, `${count++}`);
  mkdirSync(folder);
});

/** A disk of 64 KB, where this system lets us mount one (as root on Linux). */
const disk = join(root, 'disk');
function mountDisk(): boolean {
  mkdirSync(disk);
  return spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk]).status === 0;
}
const mounted = mountDisk();
afterAll(() => {
  if (mounted) execFileSync('umount', [disk]);
  rmSync(root, { recursive: true, force: true });
});

async function* failing(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(10);
  throw new RangeError('the model could not be encoded');
}

function* endless(): Generator<Uint8Array> {
  for (;;) yield new Uint8Array(1000);
}

describe('writeFileAtomic', () => {
  it('writes text, bytes and chunks, and makes missing folders', async () => {
    expect(await writeFileAtomic(join(folder, 'new/deep/a.txt'), 'shibori 絞り')).toBe(14);
    expect(readFileSync(join(folder, 'new/deep/a.txt'), 'utf8')).toBe('shibori 絞り');
    await writeFileAtomic(join(folder, 'b'), Uint8Array.of(1, 2, 3));
    await writeFileAtomic(join(folder, 'c'), [Uint8Array.of(1, 2), Uint8Array.of(3)]);
    expect(readFileSync(join(folder, 'c'))).toEqual(readFileSync(join(folder, 'b')));
    await writeFileAtomic(join(folder, 'empty'), []);
    expect(statSync(join(folder, 'empty')).size).toBe(0);
  });

  it('replaces a file and leaves no other beside it', async () => {
    const path = join(folder, 'model.onnx');
    writeFileSync(path, 'before');
    await writeFileAtomic(path, 'after');
    expect(readFileSync(path, 'utf8')).toBe('after');
    expect(readdirSync(folder)).toEqual(['model.onnx']);
  });

  it('writes through a symbolic link and keeps the link', async () => {
    writeFileSync(join(folder, 'real'), 'before');
    symlinkSync(join(folder, 'real'), join(folder, 'link'));
    await writeFileAtomic(join(folder, 'link'), 'after');
    expect(readFileSync(join(folder, 'real'), 'utf8')).toBe('after');
    expect(readdirSync(folder)).toEqual(['link', 'real']);
  });

  it('keeps the old file when the content cannot be made, and says why in its own words', async () => {
    const path = join(folder, 'model.onnx');
    writeFileSync(path, 'before');
    await expect(writeFileAtomic(path, failing())).rejects.toThrow(RangeError);
    expect(readFileSync(path, 'utf8')).toBe('before');
    expect(readdirSync(folder)).toEqual(['model.onnx']);
  });

  it('refuses folders and devices', async () => {
    await expect(writeFileAtomic(folder, 'x')).rejects.toThrow(/exists and is not a file/);
    await expect(writeFileAtomic('/dev/null', 'x')).rejects.toThrow(/exists and is not a file/);
    writeFileSync(join(folder, 'file'), '');
    await expect(writeFileAtomic(join(folder, 'file/below'), 'x')).rejects.toThrow(/below: .*file, not a folder/);
  });

  it(
    'says that the disk is full, how much is needed, and leaves the old file and nothing else',
    requires('small disk', mounted),
    async () => {
      const path = join(disk, 'model.onnx');
      await writeFileAtomic(path, 'before');
      const attempt = writeFileAtomic(path, [new Uint8Array(50_000), new Uint8Array(50_000)]);
      await expect(attempt).rejects.toThrow(ShiboriError);
      await expect(attempt).rejects.toThrow(
        /model\.onnx: the disk is full \(100,000 bytes needed, [\d,]+ bytes free\)\. The file that was there before is unt/,
      );
      await expect(attempt).rejects.toHaveProperty('cause.code', 'ENOSPC');
      expect(readFileSync(path, 'utf8')).toBe('before');
      expect(readdirSync(disk)).toEqual(['model.onnx']);
      await expect(writeFileAtomic(join(disk, 'other'), endless())).rejects.toThrow(
        /other: the disk is full \(more than [\d,]+ bytes needed, [\d,]+ bytes free\)\. No partial file is left\./,
      );
      expect(readdirSync(disk)).toEqual(['model.onnx']);
    },
  );
});
