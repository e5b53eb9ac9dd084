/** Pictures of a report: an image, and the maps of both models for one class or two. */
import { escapeHtml, formatDecimal, formatPercent, toDataUrl, toProseHtml } from './format.js';

/** A map over its image, and what its model says of the class. */
export interface MapPanel {
  /** WebP. */
  readonly overlay: Uint8Array;
  /** Of the class that the map explains, 0…1. */
  readonly probability: number;
  /** Whether this model predicts that class. */
  readonly isPredicted: boolean;
}

/** An image with the maps of both models. */
export interface Picture {
  readonly file: string;
  /** Name of the true class; none where it is not known. */
  readonly label?: string;
  /** WebP, as the models saw it. */
  readonly image: Uint8Array;
  /** The predicted class; where the prediction changed, the classes before and after. */
  readonly rows: readonly {
    readonly className: string;
    readonly before: MapPanel;
    readonly after: MapPanel;
    /** None where a map is constant. */
    readonly correlation?: number;
  }[];
}

/** Pictures that were chosen for one reason. */
export interface PictureGroup {
  readonly title: string;
  readonly pictures: readonly Picture[];
}

const isRight = (picture: Picture, className: string) => picture.label === className;

function renderMapPanel(
  picture: Picture,
  row: Picture['rows'][number],
  which: 'before' | 'after',
  model: string,
): string {
  const { overlay, probability, isPredicted } = row[which];
  const alt = `Map of ${model} for ${row.className} on ${picture.file}`;
  const mark = isPredicted && isRight(picture, row.className) ? ' ✓' : '';
  const text = `${row.className} ${formatPercent(100 * probability, 1)}${mark}`;
  return `<div><img alt="${escapeHtml(alt)}" src="${toDataUrl(overlay, 'image/webp')}"><span>${
    isPredicted ? `<strong>${toProseHtml(text)}</strong>` : toProseHtml(text)
  }</span></div>`;
}

function renderPicture(picture: Picture, models: { readonly before: string; readonly after: string }): string {
  const { file, label, image, rows } = picture;
  const heads = ['image', models.before, models.after];
  const panels = rows.map((row, k) => {
    const first =
      k === 0
        ? `<div><img alt="${escapeHtml(file)}" src="${toDataUrl(image, 'image/webp')}">${label === undefined ? '' : `<span>true label: <strong>${escapeHtml(label)}</strong></span>`}</div>`
        : '<div></div>';
    return `${first}${renderMapPanel(picture, row, 'before', models.before)}${renderMapPanel(picture, row, 'after', models.after)}`;
  });
  const changed = rows.length > 1 ? 'Prediction changed. ' : '';
  const agreement = rows
    .map(({ className, correlation }) =>
      correlation === undefined
        ? `maps for ${className}: a constant map, no correlation`
        : `maps for ${className} correlate ${formatDecimal(correlation)}`,
    )
    .join('; ');
  return `<figure class="picture"><div class="panels">${heads.map((head) => `<span class="head">${escapeHtml(head)}</span>`).join('')}${panels.join('\n')}</div><figcaption>${changed}${escapeHtml(`${agreement[0]?.toUpperCase() ?? ''}${agreement.slice(1)}`)}. <span class="quiet">${escapeHtml(file)}</span></figcaption></figure>`;
}

/** Writes groups of pictures as HTML. */
export function renderPictureGroups(
  groups: readonly PictureGroup[],
  models: { readonly before: string; readonly after: string },
): string {
  return groups
    .filter(({ pictures }) => pictures.length > 0)
    .map(
      ({ title, pictures }) =>
        `<h3>${escapeHtml(title)}</h3><div class="pictures">${pictures.map((picture) => renderPicture(picture, models)).join('\n')}</div>`,
    )
    .join('\n');
}

/** Writes the key to the colours of maps: from 0 to a map's own maximum. */
export function renderColorScale(scale: Uint8Array): string {
  return `<p class="scale"><span>Map, of its own maximum (no unit): 0</span><img alt="Colours of a map, from blue (0) to red (1)" src="${toDataUrl(scale, 'image/webp')}"><span>1</span><span>Bold: the class that the model predicts. ✓: it is the true one.</span></p>`;
}
