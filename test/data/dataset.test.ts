import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { listAnnotatedItems, listImageFolderItems } from '../../src/data/image-folder.js';
import {
  applySplit,
  createPathIndex,
  findIndexByPath,
  type ImageSource,
  parseWords,
  takeSubset,
} from '../../src/data/image-items.js';

function sourceOf(paths: string[]): ImageSource {
  return {
    name: 'pets',
    items: paths.map((path, label) => ({ path, label: label % 3 })),
    classes: ['a', 'b', 'c'].map((id) => ({ id, name: id })),
    read: async (index) => Uint8Array.of(index),
  };
}

describe('imageFolderItems', () => {
  it('lists as torchvision: classes sorted, then folders, then files', () => {
    const { classes, items } = listImageFolderItems([
      'b/2.jpg',
      'b/10.jpg',
      'a/deep/0.png',
      'a/z.JPEG',
      'a/A.webp',
      'a/notes.txt',
      'stray.jpg',
      'B/x.tiff',
      'b/.hidden.jpg',
      '.git/a.jpg',
    ]);
    expect(classes).toEqual(['B', 'a', 'b']);
    expect(items).toEqual([
      { path: 'B/x.tiff', label: 0 },
      { path: 'a/A.webp', label: 1 },
      { path: 'a/z.JPEG', label: 1 },
      { path: 'a/deep/0.png', label: 1 },
      { path: 'b/10.jpg', label: 2 },
      { path: 'b/2.jpg', label: 2 },
    ]);
  });

  it('labels by all known classes, unless they are those of other data', () => {
    expect(listImageFolderItems(['c/1.jpg'], ['c', 'b', 'a'])).toEqual({
      classes: ['a', 'b', 'c'],
      items: [{ path: 'c/1.jpg', label: 2 }],
    });
    expect(listImageFolderItems(['c/1.jpg'], ['x', 'y']).classes).toEqual(['c']);
  });

  it('does not depend on the order of the listing', () => {
    const path = fc
      .tuple(fc.constantFrom('n1', 'n2', 'n10'), fc.stringMatching(/^[a-z]{1,3}$/))
      .map(([id, x]) => `${id}/${x}.jpg`);
    fc.assert(
      fc.property(fc.uniqueArray(path), (paths) => {
        expect(listImageFolderItems(paths.toReversed())).toEqual(listImageFolderItems(paths));
      }),
    );
  });
});

describe('annotatedItems', () => {
  it('labels by the annotations among the known classes', () => {
    const text = 'val_0.JPEG\tn2\t0\t0\t9\t9\r\nval_1.JPEG\tn1\t0\t0\t9\t9\n';
    const found = listAnnotatedItems(['images/val_1.JPEG', 'images/val_0.JPEG'], text, ['n1', 'n2', 'n3']);
    expect(found.classes).toEqual(['n1', 'n2', 'n3']);
    expect(found.items).toEqual([
      { path: 'images/val_0.JPEG', label: 1 },
      { path: 'images/val_1.JPEG', label: 0 },
    ]);
    expect(() => listAnnotatedItems(['images/val_2.JPEG'], text, [])).toThrow(
      /no class for the image "images\/val_2.JPEG"/,
    );
  });
});

describe('subset', () => {
  it('keeps order, labels and bytes', async () => {
    const part = takeSubset(sourceOf(['p/0.jpg', 'p/1.jpg', 'p/2.jpg', 'p/3.jpg']), [3, 1]);
    expect(part.items).toEqual([
      { path: 'p/3.jpg', label: 0 },
      { path: 'p/1.jpg', label: 1 },
    ]);
    expect(part.classes).toHaveLength(3);
    expect(await part.read(0)).toEqual(Uint8Array.of(3));
    await expect(part.read(2)).rejects.toThrow(/no image 2/);
  });

  it('closes what it is part of, and refuses images that are not there', async () => {
    let closed = 0;
    const whole = { ...sourceOf(['p/0.jpg']), close: async () => void closed++ };
    await takeSubset(takeSubset(whole, [0]), [0]).close?.();
    expect(closed).toBe(1);
    expect(() => takeSubset(whole, [1])).toThrow(/"pets" has images 0…0, there is no image 1/);
  });
});

describe('looking up paths', () => {
  const source = sourceOf(['train/a/1.jpg', 'train/a/2.jpg', 'train/b/1.jpg']);

  it('takes the whole path, more of it or less of it', () => {
    expect(findIndexByPath(source, 'train/b/1.jpg')).toBe(2);
    expect(findIndexByPath(source, './train/b/1.jpg')).toBe(2);
    expect(findIndexByPath(source, 'b\\1.jpg')).toBe(2);
    expect(findIndexByPath(source, '2.jpg')).toBe(1);
    expect(findIndexByPath(source, '/data/tiny/train/a/2.jpg')).toBe(1);
  });

  it('refuses what is ambiguous or absent, with a suggestion', () => {
    expect(() => findIndexByPath(source, '1.jpg')).toThrow(/names 2 images.*"train\/a\/1.jpg" and "train\/b\/1.jpg"/);
    expect(() => findIndexByPath(source, '3.jpg')).toThrow(/has no image "3.jpg". Did you mean "1.jpg"/);
    expect(() => findIndexByPath(source, 'ain/b/1.jpg')).toThrow(/no image/);
  });

  it('finds every image by its own path', () => {
    const paths = fc.uniqueArray(fc.stringMatching(/^[ab]{1,2}(\/[ab]{1,2}){0,3}$/), { minLength: 1 });
    fc.assert(
      fc.property(paths, (all) => {
        const lookUp = createPathIndex(sourceOf(all));
        expect(all.map(lookUp)).toEqual(all.map((_, index) => index));
      }),
    );
  });
});

describe('split files', () => {
  const source = sourceOf(['train/a/1.jpg', 'train/a/2.jpg', 'train/b/1.jpg']);

  it('give the images in their order, blank lines and line ends aside', () => {
    const part = applySplit(source, 'train/b/1.jpg\r\n\r\n  train/a/1.jpg\n', 'lists/mine.txt');
    expect(part.items.map(({ path }) => path)).toEqual(['train/b/1.jpg', 'train/a/1.jpg']);
    expect(part.name).toBe('mine');
  });

  it('name the line that is wrong', () => {
    const text = 'train/a/1.jpg\n\ntrain/a/9.jpg\ntrain/a/8.jpg\n';
    expect(() => applySplit(source, text, 'mine.txt')).toThrow(
      /Line 3 of the split file "mine.txt" names "train\/a\/9.jpg", which "pets" does not have \(and 1 more/,
    );
    expect(() => applySplit(source, '\n \n', 'mine.txt')).toThrow(/names no images/);
  });
});

describe('parseWords', () => {
  it('takes the first name of the classes asked for', () => {
    const text = 'n01443537\tgoldfish, Carassius auratus\nn2\tPersian cat\r\nn3\tother\nbroken line\n';
    expect([...parseWords(text, ['n01443537', 'n2', 'broken line', 'n9'])]).toEqual([
      ['n01443537', 'goldfish'],
      ['n2', 'Persian cat'],
    ]);
  });
});
