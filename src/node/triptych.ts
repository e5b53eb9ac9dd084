import { createRequire } from 'node:module';
import sharp, { type OverlayOptions } from 'sharp';
import type { RgbImage } from '../data/image.js';
import { ShiboriError } from '../errors.js';
import { colorizeMap, overlayMap } from '../explain/overlay.js';
import type { Tensor } from '../tensor/tensor.js';

/** One row of a figure: an image, what the model looks at in it, and words. */
export interface TriptychRow {
  readonly image: RgbImage;
  /** `[H, W]`, the image's size, 0 … 1. */
  readonly map: Tensor<'float32'>;
  /** In bold: the class that is explained. */
  readonly title: string;
  /** Beside it: probability, what was predicted, … */
  readonly caption: string;
}

/** Small images are enlarged to about so many pixels a side, by a whole factor, so that their pixels show as they are. */
const PANEL = 256;
const MARGIN = 16;
const GAP = 10;
const HEADING = 30;
const LABEL = 34;
const INK = '#1c2530';
const QUIET = '#5a6675';

const fonts = createRequire(import.meta.url);

/** A line of text as a picture. Fonts come with the project: machines without any draw boxes otherwise. */
async function text(markup: string, bold: boolean, points: number): Promise<{ data: Buffer; width: number; height: number }> {
  const fontfile = fonts.resolve(`dejavu-fonts-ttf/ttf/DejaVuSans${bold ? '-Bold' : ''}.ttf`);
  const { data, info } = await sharp({
    text: { text: markup, font: `DejaVu Sans${bold ? ' Bold' : ''} ${points}`, fontfile, rgba: true, dpi: 96 },
  })
    .png()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

/** Pango reads markup: what a class is called must not be taken for it. */
function span(words: string, color: string): string {
  const escaped = words.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
  return `<span foreground="${color}">${escaped}</span>`;
}

/** A panel at its size in the figure. Pixels of small images stay square; maps are smooth. */
async function panel(image: RgbImage, scale: number, smooth: boolean): Promise<Buffer> {
  const { width, height, data } = image;
  return sharp(data, { raw: { width, height, channels: 3 } })
    .resize(Math.round(width * scale), Math.round(height * scale), { kernel: smooth || scale < 1 ? 'cubic' : 'nearest', fit: 'fill' })
    .png()
    .toBuffer();
}

/** Text cut to a width. */
async function fitted(picture: { data: Buffer; width: number; height: number }, width: number): Promise<Buffer> {
  if (picture.width <= width) return picture.data;
  return sharp(picture.data).extract({ left: 0, top: 0, width, height: picture.height }).png().toBuffer();
}

/**
 * A figure of triptychs *image | map | overlay*, one row an image, as a PNG.
 *
 * @param rows all images of the same size.
 * @param options.layer named in the heading of the maps.
 */
export async function renderTriptychs(rows: readonly TriptychRow[], options: { readonly layer: string }): Promise<Uint8Array> {
  const [first] = rows;
  if (!first) throw new ShiboriError('Drawing triptychs: there is no image.');
  const longer = Math.max(first.image.width, first.image.height);
  const scale = longer >= PANEL ? PANEL / longer : Math.max(1, Math.round(PANEL / longer));
  const [panelWidth, panelHeight] = [Math.round(first.image.width * scale), Math.round(first.image.height * scale)];
  const width = 2 * MARGIN + 3 * panelWidth + 2 * GAP;
  const height = 2 * MARGIN + HEADING + rows.length * (panelHeight + LABEL) + (rows.length - 1) * GAP;
  const layers: OverlayOptions[] = [];
  const left = (column: number) => MARGIN + column * (panelWidth + GAP);
  for (const [column, words] of ['image', `Grad-CAM · ${options.layer}`, 'overlay'].entries()) {
    const heading = await text(span(words, QUIET), false, 11);
    layers.push({ input: await fitted(heading, panelWidth), left: left(column), top: MARGIN + 4 });
  }
  for (const [index, row] of rows.entries()) {
    const top = MARGIN + HEADING + index * (panelHeight + LABEL + GAP);
    const heat = colorizeMap(row.map);
    const panels = [
      await panel(row.image, scale, false),
      await panel(heat, scale, true),
      await panel(overlayMap(row.image, row.map), scale, false),
    ];
    for (const [column, input] of panels.entries()) layers.push({ input, left: left(column), top });
    const title = await text(span(row.title, INK), true, 12);
    const baseline = top + panelHeight + 9;
    layers.push({ input: await fitted(title, width - 2 * MARGIN), left: MARGIN, top: baseline });
    const room = width - 2 * MARGIN - title.width - 12;
    if (row.caption !== '' && room > 40) {
      const caption = await text(span(row.caption, QUIET), false, 11);
      layers.push({ input: await fitted(caption, room), left: MARGIN + title.width + 12, top: baseline + 1 });
    }
  }
  return sharp({ create: { width, height, channels: 3, background: '#ffffff' } })
    .composite(layers)
    .png({ compressionLevel: 9 })
    .toBuffer();
}
