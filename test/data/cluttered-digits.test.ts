import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { brotliCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createClutteredDigits } from '../../src/data/cluttered-digits.js';
import { decodeDigits, readMnist } from '../../src/images/mnist.js';

const train = await readMnist('train');
const test = await readMnist('test');

const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex').slice(0, 16);

describe('MNIST', () => {
  it('has the digits that come with the package, of every class', () => {
    const counts = (labels: Uint8Array) =>
      labels.reduce((all, label) => all.with(label, (all[label] ?? 0) + 1), new Array<number>(10).fill(0));
    expect(counts(train.labels)).toEqual([592, 671, 581, 608, 623, 514, 608, 651, 551, 601]);
    expect(counts(test.labels)).toEqual([85, 126, 116, 107, 110, 87, 87, 99, 89, 94]);
    expect(train.images.length).toBe(6000 * 784);
    expect(test.images.length).toBe(1000 * 784);
  });

  it('begins with the digits everybody knows', () => {
    expect([...train.labels.subarray(0, 5)]).toEqual([5, 0, 4, 1, 9]);
    expect([...test.labels.subarray(0, 5)]).toEqual([7, 2, 1, 0, 4]);
    // The mean of all training pixels that every tutorial normalises by is 0.1307; of the first 6,000 images it is 0.1311.
    expect(train.images.reduce((sum, value) => sum + value, 0) / train.images.length / 255).toBeCloseTo(0.1311, 3);
  });

  it('is refused when the file is damaged', async () => {
    const file = await readFile(new URL('../../assets/digits.br', import.meta.url));
    expect(decodeDigits(file, 'test', 'digits.br')).toEqual(test);
    expect(() => decodeDigits(file.subarray(0, 1000), 'test', 'digits.br')).toThrow(
      /Reading handwritten digits from digits\.br: the file is damaged/,
    );
    expect(() => decodeDigits(brotliCompressSync(new Uint8Array(7)), 'test', 'digits.br')).toThrow(
      /expected 5495000 bytes, found 7/,
    );
    // A bomb is not unpacked.
    expect(() => decodeDigits(brotliCompressSync(new Uint8Array(6e6)), 'test', 'digits.br')).toThrow(/damaged/);
  });
});

describe('cluttered digits', () => {
  const set = createClutteredDigits({ digits: train, split: 'train', seed: 7, count: 300 });

  it('are the same for the same seed, split and number, in any order', () => {
    const again = createClutteredDigits({ digits: train, split: 'train', seed: 7, count: 1000 });
    const last = again.drawImage(299);
    expect(hashOf(last.data)).toBe(hashOf(set.drawImage(299).data));
    expect(again.getLabel(299)).toBe(set.getLabel(299));
    expect(again.getBox(299)).toEqual(set.getBox(299));
  });

  it('are the same on every machine and in every release', () => {
    expect([set.getLabel(0), set.getBox(0), hashOf(set.drawImage(0).data)]).toMatchInlineSnapshot(`
      [
        0,
        {
          "x0": 19,
          "x1": 40,
          "y0": 18,
          "y1": 44,
        },
        "4754daa8159d30ce",
      ]
    `);
  });

  it('differ by seed, split and number', () => {
    const hashes = [
      set.drawImage(0),
      set.drawImage(1),
      createClutteredDigits({ digits: train, split: 'train', seed: 8, count: 1 }).drawImage(0),
      createClutteredDigits({ digits: train, split: 'test', seed: 7, count: 1 }).drawImage(0),
    ].map((image) => hashOf(image.data));
    expect(new Set(hashes).size).toBe(4);
  });

  it('have boxes of 26 to 30 pixels, whole and 10 pixels inside the canvas, all over it', () => {
    const boxes = Array.from({ length: set.count }, (_, i) => set.getBox(i));
    for (const { x0, y0, x1, y1 } of boxes) {
      const length = Math.max(x1 - x0, y1 - y0);
      expect(length).toBeGreaterThanOrEqual(26);
      expect(length).toBeLessThanOrEqual(30);
      expect(Math.min(x0, y0, 64 - x1, 64 - y1)).toBeGreaterThanOrEqual(10);
    }
    expect(Math.min(...boxes.map((box) => box.x0))).toBeLessThan(12);
    expect(Math.max(...boxes.map((box) => box.y1))).toBeGreaterThan(52);
  });

  it('have their light ink in the box: it is brighter inside than anywhere else', () => {
    for (let i = 0; i < 50; i++) {
      const { data } = set.drawImage(i);
      const { x0, y0, x1, y1 } = set.getBox(i);
      let [inside, outside] = [0, 0];
      for (let y = 0; y < 64; y++) {
        for (let x = 0; x < 64; x++) {
          const at = (y * 64 + x) * 3;
          const luma = 0.299 * (data[at] ?? 0) + 0.587 * (data[at + 1] ?? 0) + 0.114 * (data[at + 2] ?? 0);
          if (luma < 175) continue;
          if (x >= x0 && x < x1 && y >= y0 && y < y1) inside++;
          else outside++;
        }
      }
      expect(inside, `item ${i}`).toBeGreaterThan(10);
      expect(outside, `item ${i}`).toBe(0);
    }
  });

  it('show all ten digits, about equally often', () => {
    const counts = Array.from({ length: set.count }, (_, i) => set.getLabel(i)).reduce(
      (all, label) => all.with(label, (all[label] ?? 0) + 1),
      new Array<number>(10).fill(0),
    );
    // 30 of each are expected; 10 is 3.8 standard deviations away.
    expect(Math.min(...counts)).toBeGreaterThan(10);
    expect(set.classNames).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
  });

  it('refuse numbers they do not have, and digits that do not fit their labels', () => {
    expect(() => set.drawImage(300)).toThrow(/items 0 to 299, but 300/);
    expect(() => set.getBox(-1)).toThrow(/but -1/);
    expect(() => set.getLabel(0.5)).toThrow(/but 0\.5/);
    const broken = { images: new Uint8Array(784), labels: new Uint8Array(2) };
    expect(() => createClutteredDigits({ digits: broken, split: 'train', seed: 0, count: 1 })).toThrow(
      /2 images of 28×28/,
    );
  });

  it('survive a digit without ink', () => {
    const blank = { images: new Uint8Array(784), labels: Uint8Array.of(3) };
    const { getBox: box, drawImage: image } = createClutteredDigits({
      digits: blank,
      split: 'test',
      seed: 0,
      count: 1,
    });
    expect(box(0).x1 - box(0).x0).toBeGreaterThanOrEqual(26);
    expect(image(0).data.length).toBe(64 * 64 * 3);
  });
});
