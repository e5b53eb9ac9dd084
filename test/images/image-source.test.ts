import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findIndexByPath } from '../../src/data/image-items.js';
import { UsageError } from '../../src/errors.js';
import { openImageSource } from '../../src/images/image-source.js';
import { makeZip } from '../data/zip.js';

const folder = mkdtempSync(join(tmpdir(), 'shibori-source-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes files of the given paths; each holds its own path. */
function write(paths: string[], texts: Record<string, string> = {}): void {
  for (const [path, text] of [...paths.map((path) => [path, path]), ...Object.entries(texts)] as [string, string][]) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

const at = (path: string) => join(folder, path);
const pathsOf = (source: { items: readonly { path: string }[] }) => source.items.map(({ path }) => path);
const trainPaths = ['n2/images/b.JPEG', 'n1/images/a.JPEG', 'n1/images/c.JPEG', 'n3/images/d.JPEG'];
const sorted = ['n1/images/a.JPEG', 'n1/images/c.JPEG', 'n2/images/b.JPEG', 'n3/images/d.JPEG'];
const words = 'n1\tgoldfish, Carassius auratus\nn2\tPersian cat\n';

beforeAll(() => {
  write(
    trainPaths.map((path) => `tiny/train/${path}`),
    {
      'tiny/words.txt': words,
      'tiny/train/n1/n1_boxes.txt': 'a.JPEG\t0\t0\t1\t1\n',
      'tiny/val/images/val_0.JPEG': 'v0',
      'tiny/val/images/val_1.JPEG': 'v1',
      'tiny/val/val_annotations.txt': 'val_0.JPEG\tn3\t0\t0\t1\t1\nval_1.JPEG\tn1\t0\t0\t1\t1\n',
      'mine.txt': 'train/n3/images/d.JPEG\ntrain/n1/images/a.JPEG\n',
      'tiny/inside.txt': 'train/n2/images/b.JPEG\n',
      'lists/wrong.txt': 'train/n3/images/d.JPEG\ntrain/n3/images/none.JPEG\n',
      'notes.txt': 'nothing of the kind\n',
      'bad.zip': 'not a zip',
      'empty.txt': '',
      'docs/readme.md': 'text',
    },
  );
  const entries = trainPaths.map((path) => ({ name: `tiny/train/${path}`, data: `zipped ${path}`, deflate: true }));
  mkdirSync(at('zips'));
  writeFileSync(at('zips/tiny.zip'), makeZip([...entries, { name: 'tiny/words.txt', data: words }]));
  writeFileSync(at('zips/list.txt'), 'train/n3/images/d.JPEG\n');
});

describe('openImageSource', () => {
  it('opens a folder as ImageFolder does, and names its classes', async () => {
    const source = await openImageSource(at('tiny'));
    expect(source.name).toBe('tiny');
    expect(pathsOf(source)).toEqual(sorted.map((path) => `train/${path}`));
    expect(source.items.map(({ label }) => label)).toEqual([0, 0, 1, 2]);
    expect(source.classes).toEqual([
      { id: 'n1', name: 'goldfish' },
      { id: 'n2', name: 'Persian cat' },
      { id: 'n3', name: 'n3' },
    ]);
    expect(new TextDecoder().decode(await source.read(2))).toBe('tiny/train/n2/images/b.JPEG');
  });

  it('opens the train folder itself, with the names beside it', async () => {
    const source = await openImageSource(at('tiny/train'));
    expect(pathsOf(source)).toEqual(sorted);
    expect(source.classes[1]?.name).toBe('Persian cat');
    expect(findIndexByPath(source, 'train/n2/images/b.JPEG')).toBe(2);
  });

  it('opens a zip archive to the same images', async () => {
    const [zip, tree] = [await openImageSource(at('zips/tiny.zip')), await openImageSource(at('tiny'))];
    expect({ items: zip.items, classes: zip.classes, name: zip.name }).toEqual({
      items: tree.items,
      classes: tree.classes,
      name: 'tiny',
    });
    expect(new TextDecoder().decode(await zip.read(3))).toBe('zipped n3/images/d.JPEG');
    await zip.close?.();
  });

  it("labels Tiny ImageNet's val folder by its annotations, among the classes of train", async () => {
    for (const source of [await openImageSource(at('tiny'), { part: 'val' }), await openImageSource(at('tiny/val'))]) {
      expect(source.items.map(({ path }) => path.replace('val/', ''))).toEqual([
        'images/val_0.JPEG',
        'images/val_1.JPEG',
      ]);
      expect(source.items.map(({ label }) => source.classes[label]?.id)).toEqual(['n3', 'n1']);
    }
    expect((await openImageSource(at('tiny'), { part: 'val' })).classes).toHaveLength(3);
  });

  it('finds the images of a split file: in its folder, in the one folder or archive beside it, or where told', async () => {
    const inside = await openImageSource(at('tiny/inside.txt'));
    expect(inside.items).toEqual([{ path: 'train/n2/images/b.JPEG', label: 1 }]);
    const beside = await openImageSource(at('mine.txt'));
    expect(beside.items).toEqual([
      { path: 'train/n3/images/d.JPEG', label: 2 },
      { path: 'train/n1/images/a.JPEG', label: 0 },
    ]);
    expect(beside.classes).toHaveLength(3);
    const zipped = await openImageSource(at('zips/list.txt'));
    expect(new TextDecoder().decode(await zipped.read(0))).toBe('zipped n3/images/d.JPEG');
    await zipped.close?.();
    const told = await openImageSource(at('zips/list.txt'), { root: at('tiny') });
    expect(new TextDecoder().decode(await told.read(0))).toBe('tiny/train/n3/images/d.JPEG');
  });

  it('applies a split file to a folder, and a random split to either', async () => {
    const split = await openImageSource(at('tiny'), { split: at('mine.txt') });
    expect(split.items.map(({ label }) => label)).toEqual([2, 0]);
    const parts = [0, 1].map((part) => ({ randomSplit: { fractions: [0.5, 0.5], seed: 42, part } }));
    const halves = await Promise.all(parts.map((options) => openImageSource(at('tiny'), options)));
    expect(halves.map(({ items }) => items.length)).toEqual([2, 2]);
    expect(halves.flatMap(pathsOf).sort()).toEqual(sorted.map((path) => `train/${path}`));
    const options = { randomSplit: { fractions: [0.5, 0.5], seed: 42, part: 2 } };
    await expect(openImageSource(at('tiny'), options)).rejects.toThrow(/no part 2/);
  });

  it('names the line of a missing image', async () => {
    await expect(openImageSource(at('lists/wrong.txt'), { root: at('tiny') })).rejects.toThrow(/Line 2.*none.JPEG/);
    await expect(openImageSource(at('lists/wrong.txt'))).rejects.toThrow(/Line 1.*none has it.*root option/);
    await expect(openImageSource(at('tiny'), { split: at('nowhere.txt') })).rejects.toThrow(/no split file/);
  });

  it('does not guess between two places', async () => {
    write(['two/a/train/n1/x.jpg', 'two/b/train/n1/x.jpg'], { 'two/list.txt': 'train/n1/x.jpg\n' });
    await expect(openImageSource(at('two/list.txt'))).rejects.toThrow(/"a" and "b" have it/);
  });

  it('says what is wrong with what is no data set', async () => {
    await expect(openImageSource(at('tinny'))).rejects.toThrow(/no data at.*Did you mean "tiny"/);
    await expect(openImageSource(at('docs'))).rejects.toThrow(/holds no images: looked through 1 files/);
    await expect(openImageSource(at('bad.zip'))).rejects.toThrow(/neither a zip archive nor a split file/);
    await expect(openImageSource(at('notes.txt'))).rejects.toThrow(/neither a zip archive nor a split file/);
    await expect(openImageSource(at('empty.txt'))).rejects.toThrow(/is empty/);
    await expect(openImageSource(at('tiny'), { root: at('zips') })).rejects.toThrow(UsageError);
  });

  it('follows links, but not round in circles', async () => {
    write(['linked/cats/1.jpg', 'elsewhere/2.jpg']);
    symlinkSync(at('elsewhere'), at('linked/dogs'));
    symlinkSync(at('linked'), at('linked/cats/loop'));
    symlinkSync(at('nowhere'), at('linked/broken'));
    expect(pathsOf(await openImageSource(at('linked')))).toEqual(['cats/1.jpg', 'dogs/2.jpg']);
  });
});
