import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import type { RgbImage } from '../data/image.js';
import { ShiboriError } from '../errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { computePanelSize, drawPanels } from './panel.js';

/** One triptych: an image, its map, the map laid over it, and two lines of text. */
export interface TriptychRow {
  readonly image: RgbImage;
  /** `[H, W]`, 0…1, of the image's size. */
  readonly map: Tensor<'float32'>;
  /** In bold: what the map explains, such as `goldfish`. */
  readonly title: string;
  /** Below, in grey: prediction and probability, a correlation, … */
  readonly caption: string;
}

/** Options of {@link renderTriptychs}. */
export interface TriptychOptions {
  /** The layer that the maps explain, named above them. */
  readonly layer: string;
  /** Triptychs side by side. Default: 1 for up to three rows, 2 for more. */
  readonly columns?: number;
}

/** All lengths are in pixels. */
const MARGIN = 24;
const PANEL_GAP = 10;
const COLUMN_GAP = 36;
const ROW_GAP = 26;
const TEXT_GAP = 8;
const HEADING = { size: 14, color: '#6b7280', bold: false };
const TITLE = { size: 18, color: '#111827', bold: true };
const CAPTION = { size: 14, color: '#4b5563', bold: false };

/** What `|` takes before the next letter in DejaVu Sans, of the size of the text. Found by trying. */
const BAR_WIDTH = 0.55;

/** A picture of text, or of pixels, at a place on the sheet. */
interface PlacedPicture {
  readonly input: Buffer;
  readonly raw: { readonly width: number; readonly height: number; readonly channels: 3 | 4 };
  readonly left: number;
  readonly top: number;
}

// The fonts come with the package: servers often have none, and a figure looks the same everywhere.
const getFontFile = (bold: boolean) =>
  fileURLToPath(new URL(`../../assets/DejaVuSans${bold ? '-Bold' : ''}.ttf`, import.meta.url));

const markupCharacters: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

/** Text with nothing in it that could be taken for markup. Control characters become spaces. */
function escapeMarkup(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ').replace(/[&<>]/g, (character) => markupCharacters[character] ?? '');
}

/** A line of text (wrapped at `width`) with its top left corner at a place. */
async function drawText(
  text: string,
  style: { readonly size: number; readonly color: string; readonly bold: boolean },
  at: { readonly left: number; readonly top: number; readonly width: number },
): Promise<PlacedPicture> {
  // Text is cut to its ink: an invisible bar, as high as any letter is or hangs, keeps all lines on the same base. Its
  // own width is taken back by spacing, in 1024ths of a point, so that lines after the first begin where it does.
  const spacing = -Math.round(BAR_WIDTH * style.size * 1024);
  const bar = `<span alpha="1" letter_spacing="${spacing}">|</span>`;
  const { data, info } = await sharp({
    text: {
      text: `${bar}<span foreground="${style.color}">${escapeMarkup(text)}</span>`,
      font: `DejaVu Sans ${style.bold ? 'Bold ' : ''}${style.size}`,
      fontfile: getFontFile(style.bold),
      dpi: 72,
      rgba: true,
      width: at.width,
      wrap: 'word-char',
    },
  })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { input: data, raw: { width: info.width, height: info.height, channels: 4 }, left: at.left, top: at.top };
}

const placePanel = (panel: RgbImage, left: number, top: number): PlacedPicture => ({
  input: Buffer.from(panel.data.buffer, panel.data.byteOffset, panel.data.byteLength),
  raw: { width: panel.width, height: panel.height, channels: 3 },
  left,
  top,
});

/** A row at a place on the sheet, and how high it is. */
async function drawRow(
  row: TriptychRow,
  at: { readonly left: number; readonly top: number; readonly step: number; readonly width: number },
): Promise<{ placed: PlacedPicture[]; height: number }> {
  const panels = await drawPanels(row.image, row.map, row.title);
  const placed = panels.map((panel, k) => placePanel(panel, at.left + k * at.step, at.top));
  let height = panels[0]?.height ?? 0;
  for (const [text, style] of [
    [row.title, TITLE],
    [row.caption, CAPTION],
  ] as const) {
    if (text.trim() === '') continue;
    const drawn = await drawText(text, style, { left: at.left, top: at.top + height + TEXT_GAP, width: at.width });
    placed.push(drawn);
    height += TEXT_GAP + drawn.raw.height;
  }
  return { placed, height };
}

/**
 * A PNG of triptychs *image | map | overlay* on white, with headings above and captions below. Images smaller than 256
 * pixels are enlarged a whole number of times with their pixels as squares, maps smoothly.
 *
 * @throws ShiboriError when there is no row, and when a map is not of its image's size.
 */
export async function renderTriptychs(rows: readonly TriptychRow[], options: TriptychOptions): Promise<Uint8Array> {
  const columns = Math.min(options.columns ?? (rows.length > 3 ? 2 : 1), rows.length);
  if (rows.length === 0 || !(columns >= 1))
    throw new ShiboriError('Drawing triptychs: there is nothing to draw.', { code: 'invalid-data' });
  const step = Math.max(...rows.map((row) => computePanelSize(row.image).width)) + PANEL_GAP;
  const width = 3 * step - PANEL_GAP;
  const computeLeft = (column: number) => MARGIN + column * (width + COLUMN_GAP);
  const placed: PlacedPicture[] = [];

  let top = MARGIN;
  let headingHeight = 0;
  for (let column = 0; column < columns; column++) {
    for (const [k, heading] of ['image', `map of ${options.layer}`, 'overlay'].entries()) {
      const drawn = await drawText(heading, HEADING, {
        left: computeLeft(column) + k * step,
        top,
        width: step - PANEL_GAP,
      });
      placed.push(drawn);
      headingHeight = Math.max(headingHeight, drawn.raw.height);
    }
  }
  top += headingHeight + TEXT_GAP;
  for (let first = 0; first < rows.length; first += columns) {
    const line = rows.slice(first, first + columns);
    const drawn = await Promise.all(line.map((row, k) => drawRow(row, { left: computeLeft(k), top, step, width })));
    placed.push(...drawn.flatMap((row) => row.placed));
    top += Math.max(...drawn.map((row) => row.height)) + ROW_GAP;
  }

  const size = { width: computeLeft(columns - 1) + width + MARGIN, height: top - ROW_GAP + MARGIN };
  return sharp({ create: { ...size, channels: 3, background: '#ffffff' } })
    .composite(placed)
    .removeAlpha()
    .png({ compressionLevel: 9 })
    .toBuffer();
}
