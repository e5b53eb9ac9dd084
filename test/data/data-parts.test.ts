import { describe, expect, it } from 'vitest';
import { choosePart, findLayout, type Purpose } from '../../src/data/data-parts.js';
import { isImagePath } from '../../src/data/image-folder.js';
import { UsageError } from '../../src/errors.js';

/** What is taken of these files for a purpose. */
function choose(paths: readonly string[], purpose: Purpose, part?: string) {
  return choosePart(findLayout(paths, 'DATA'), paths, 'DATA', { purpose, ...(part === undefined ? {} : { part }) });
}

const classes = (...folders: string[]) => folders.flatMap((folder) => [`${folder}/cat/1.png`, `${folder}/dog/2.png`]);
const tiny = [
  'tiny/train/n1/images/a.JPEG',
  'tiny/train/n2/images/b.JPEG',
  'tiny/val/images/v.JPEG',
  'tiny/val/val_annotations.txt',
  'tiny/test/images/t.JPEG',
  'tiny/words.txt',
];

describe('The part of a data set', () => {
  it.each<readonly [string, readonly string[], Readonly<Record<Purpose, string>>]>([
    ['train and test', classes('train', 'test'), { train: 'train/', validate: 'test/', measure: 'test/' }],
    ['train and val', classes('train', 'val'), { train: 'train/', validate: 'val/', measure: 'val/' }],
    ['all three', classes('train', 'valid', 'test'), { train: 'train/', validate: 'valid/', measure: 'test/' }],
    [
      'other names',
      classes('Training', 'validation'),
      { train: 'Training/', validate: 'validation/', measure: 'validation/' },
    ],
    [
      'a folder around them',
      classes('x/y/train', 'x/y/test'),
      { train: 'x/y/train/', validate: 'x/y/test/', measure: 'x/y/test/' },
    ],
    [
      'Tiny ImageNet, whose test has no labels',
      tiny,
      { train: 'tiny/train/', validate: 'tiny/val/', measure: 'tiny/val/' },
    ],
    ['one part alone', classes('val'), { train: 'val/', validate: 'val/', measure: 'val/' }],
    ['train alone', classes('train'), { train: 'train/', validate: 'train/', measure: 'train/' }],
  ])('is chosen by purpose: %s', (_, paths, wanted) => {
    for (const purpose of ['train', 'validate', 'measure'] as const) {
      expect(choose(paths, purpose)).toMatchObject({ itemRoot: wanted[purpose], labelled: true });
    }
  });

  it('that was chosen is reported, and why not another', () => {
    expect(choose(classes('test', 'train'), 'measure').notes).toEqual([
      '"DATA" has the parts "test", "train": "test" is used (`part` takes another).',
    ]);
    expect(choose(tiny, 'measure').notes.join()).toMatch(/"val" is used.*; "test" has no labels\.$/);
    expect(choose(classes('train'), 'measure').notes).toEqual(['"DATA" has the part "train": "train" is used.']);
    expect(choose(classes('train'), 'train').notes).toEqual([]);
  });

  it('is that of an option, in any case and by the usual name of its kind; any folder of class folders is one', () => {
    const paths = [...classes('train', 'validation'), ...classes('holdout')];
    expect(choose(paths, 'measure', 'train').part).toBe('train');
    expect(choose(paths, 'train', 'val').part).toBe('validation');
    expect(choose(paths, 'train', 'Validation').part).toBe('validation');
    expect(choose(paths, 'train', 'holdout')).toMatchObject({ itemRoot: 'holdout/', part: 'holdout' });
    expect(choose(tiny, 'measure', 'test')).toMatchObject({ part: 'test', labelled: false });
  });

  it('that does not exist is refused with those that do', () => {
    expect(() => choose(classes('train', 'val'), 'measure', 'tran')).toThrow(UsageError);
    expect(() => choose(classes('train', 'val'), 'measure', 'tran')).toThrow(
      `\`part: 'tran'\`: "DATA" has no such part. Did you mean "train"? It has "train", "val".`,
    );
    expect(() => choose(['cats/a.jpg', 'dogs/b.jpg'], 'measure', 'val')).toThrow(
      /"DATA" has no parts: .*found "cats", "dogs"/,
    );
    expect(() => choose(classes('val', 'test'), 'train')).toThrow(/no part for training, found "test", "val".*`part`/);
  });

  it('is no part where a class is called so', () => {
    expect(choose(['train/a.jpg', 'plane/b.jpg'], 'measure')).toMatchObject({
      itemRoot: '',
      labelled: true,
      notes: [],
    });
    expect(choose(['test/x/a.jpg', 'cat/x/b.jpg', 'dog/c.jpg'], 'measure').itemRoot).toBe('');
  });
});

describe('Images without labels', () => {
  it('are those that lie directly in the folder', () => {
    expect(choose(['a.jpg', 'b.jpg'], 'measure')).toMatchObject({ itemRoot: '', labelled: false });
    expect(choose(['photos/a.jpg', 'photos/b.jpg', 'readme.md'], 'measure')).toMatchObject({ labelled: true });
    expect(choose(['train/a.jpg', 'val/b.jpg'], 'train')).toMatchObject({ itemRoot: 'train/', labelled: false });
  });

  it('beside class folders are left out, which is reported', () => {
    expect(choose(['a.jpg', 'cats/b.jpg', 'dogs/c.jpg'], 'measure')).toMatchObject({
      itemRoot: '',
      labelled: true,
      notes: ['"DATA": 1 images that lie in no class folder are left out.'],
    });
  });
});

describe('A tree of files', () => {
  it('is gone down through single folders', () => {
    expect(findLayout(['__MACOSX/pets/._a.jpg', 'pets/cats/a.jpg'], 'x')).toMatchObject({ root: 'pets/', parts: [] });
  });

  it('without images is refused with what was looked for', () => {
    expect(() => findLayout(['a/readme.md'], 'docs')).toThrow(/"docs" holds no images: looked through 1 files.*\.jpg/);
    expect(isImagePath('a/b.gif')).toBe(false);
  });
});
