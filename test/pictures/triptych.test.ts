import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { JET } from '../../src/explain/colormap.js';
import { renderTriptychs, type TriptychRow } from '../../src/pictures/triptych.js';
import { float32 } from '../../src/tensor/tensor.js';

const width = 8;
const height = 8;
const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 37) % 256);
const map = float32(
  Float32Array.from({ length: width * height }, (_, p) => (p % width) / (width - 1)),
  [height, width],
);
const row = (more: Partial<TriptychRow> = {}): TriptychRow => ({
  image: { width, height, data },
  map,
  title: 'goldfish',
  caption: '96.4 % · correlation 0.931',
  ...more,
});

async function decoded(png: Uint8Array) {
  const { data: pixels, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
  expect(info.channels).toBe(3);
  const at = (x: number, y: number) => [...pixels.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3)];
  /** Share of a rectangle that is not white. */
  const ink = (x0: number, y0: number, x1: number, y1: number) => {
    let count = 0;
    for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) if (at(x, y).some((level) => level < 128)) count++;
    return count / ((x1 - x0) * (y1 - y0));
  };
  return { ...info, at, ink };
}

/** Where the first panel begins: the first row of the picture's left edge that is not white. */
function topOf(picture: Awaited<ReturnType<typeof decoded>>): number {
  let top = 0;
  // A panel's left edge is coloured for all its height; a heading's is not.
  while (picture.ink(24, top, 25, top + 40) < 0.5 || picture.at(24, top).every((level) => level > 250)) top++;
  return top;
}

describe('triptychs', () => {
  it('show the image in whole squares, the map smoothly in jet colours, and both together', async () => {
    const dark = row({ image: { width, height, data: data.map((level) => level >> 1) } });
    const picture = await decoded(await renderTriptychs([dark], { layer: 'features.29' }));
    expect(picture.width).toBe(24 + 3 * 256 + 2 * 10 + 24);
    const top = topOf(picture);
    for (const [x, y] of [
      [0, 0],
      [3, 5],
      [7, 7],
    ] as const) {
      const pixel = [...dark.image.data.subarray((y * 8 + x) * 3, (y * 8 + x) * 3 + 3)];
      expect(picture.at(24 + x * 32, top + y * 32)).toEqual(pixel);
      expect(picture.at(24 + x * 32 + 31, top + y * 32 + 31)).toEqual(pixel);
    }
    const mapLeft = 24 + 266;
    expect(picture.at(mapLeft, top)).toEqual([...JET.subarray(0, 3)]);
    expect(picture.at(mapLeft + 255, top + 255)).toEqual([...JET.subarray(765)]);
    const reds = Array.from({ length: 200 }, (_, x) => picture.at(mapLeft + x, top + 100)[0] ?? 0);
    expect(reds).toEqual([...reds].sort((a, b) => a - b));
    expect(new Set(reds).size).toBeGreaterThan(50);
    // Half jet, half image: the blue end of the overlay is bluer than the red end.
    const overlayLeft = mapLeft + 266;
    const [left, right] = [picture.at(overlayLeft + 2, top + 2), picture.at(overlayLeft + 253, top + 253)];
    expect((left[2] ?? 0) - (left[0] ?? 0)).toBeGreaterThan((right[2] ?? 0) - (right[0] ?? 0));
  });

  it('are labelled: headings above, title and caption below', async () => {
    const picture = await decoded(await renderTriptychs([row()], { layer: 'features.29' }));
    const top = topOf(picture);
    for (const k of [0, 1, 2]) expect(picture.ink(24 + k * 266, 20, 24 + k * 266 + 100, top - 6)).toBeGreaterThan(0.02);
    expect(picture.ink(24, top + 258, 130, picture.height - 22)).toBeGreaterThan(0.05);
    const bare = await decoded(await renderTriptychs([row({ title: '', caption: ' ' })], { layer: 'features.29' }));
    expect(bare.height).toBeLessThan(picture.height);
  });

  it('stand under one another up to three, then in two columns', async () => {
    const sizes = await Promise.all(
      [1, 3, 4].map(async (count) => decoded(await renderTriptychs(new Array(count).fill(row()), { layer: 'l' }))),
    );
    expect(sizes.map((size) => size.width)).toEqual([836, 836, 836 + 36 + 788]);
    expect(sizes[1]?.height).toBeGreaterThan((sizes[2]?.height ?? 0) * 1.3);
    const three = await decoded(await renderTriptychs(new Array(3).fill(row()), { layer: 'l', columns: 3 }));
    expect(three.height).toBe(sizes[0]?.height);
  });

  it('keep the proportions of an image, and shrink a large one', async () => {
    const large = { width: 600, height: 300, data: new Uint8Array(600 * 300 * 3).fill(80) };
    const wide = row({ image: large, map: float32(new Float32Array(600 * 300), [300, 600]) });
    const picture = await decoded(await renderTriptychs([wide], { layer: 'l' }));
    expect(picture.width).toBe(836);
    const top = topOf(picture);
    expect(picture.at(24 + 255, top + 127)).toEqual([80, 80, 80]);
    expect(picture.at(24 + 257, top + 127)).toEqual([255, 255, 255]);
  });

  it('take any text as text, and wrap a long one', async () => {
    const odd = row({ title: 'a <b> & "c" \u0000\n絞り </span>', caption: 'word '.repeat(60) });
    const picture = await decoded(await renderTriptychs([odd], { layer: '<i>' }));
    expect(picture.width).toBe(836);
    expect(picture.height).toBeGreaterThan(
      (await decoded(await renderTriptychs([row()], { layer: '<i>' }))).height + 20,
    );
  });

  it('refuse a map of another size, and no rows', async () => {
    await expect(renderTriptychs([row({ map: float32([1, 2], [1, 2]) })], { layer: 'l' })).rejects.toThrow(
      /Drawing "goldfish": the image is 8×8 pixels, its map \[1, 2\]/,
    );
    await expect(renderTriptychs([], { layer: 'l' })).rejects.toThrow(/nothing to draw/);
  });
});
