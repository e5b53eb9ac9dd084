/*
 * Which preprocessing a model gets, and where it comes from. Each part is taken from the first that says anything about it:
 * options, then what we wrote into the file, then the configuration next to the file, then a guess. The size is the
 * exception: dimensions that the graph fixes are facts, which options alone may change.
 */

import { type Color, IMAGENET_MEAN, IMAGENET_STD, type Preprocess } from '../data/preprocess.js';
import type { Filter } from '../data/resize.js';
import { ShiboriError, UsageError } from '../errors.js';
import { defined } from '../values.js';

/** The parts of preprocessing that are decided one by one. */
export const PREPROCESS_PARTS = ['size', 'resize', 'filter', 'color', 'normalization'] as const;
/** One of them. */
export type PreprocessPart = (typeof PREPROCESS_PARTS)[number];

/** What one source says about preprocessing. */
export interface PreprocessParts {
  readonly size?: readonly [height: number, width: number];
  readonly resize?: Pick<Preprocess, 'resize' | 'shorterSide' | 'stretchSize'>;
  readonly filter?: Filter;
  readonly color?: Color;
  readonly normalization?: Pick<Preprocess, 'range' | 'mean' | 'std'>;
}

/** A source, and what it is called: `metadata`, the path of a file. */
export interface PreprocessSource {
  readonly from: string;
  readonly parts: PreprocessParts;
}

/** What a caller may set. Everything left out comes from the model's file, its configuration or a guess. */
export interface PreprocessOptions {
  /**
   * One number for each of the model's channels, in their order (blue first for `bgr`), or one for all. Meant
   * for pixels of 0…1 unless `range` is given. Default where `std` or `range` is given: what a file says for the same
   * pixels, else 0.
   */
  readonly mean?: readonly number[];
  /** As `mean`, above 0; else 1. */
  readonly std?: readonly number[];
  /** What the pixels 0 and 255 become before mean and std. Default where `mean` or `std` is given: 0…1, or 0…255 for a file that takes whole numbers. */
  readonly range?: readonly [low: number, high: number];
  readonly color?: Color;
  readonly resize?: Preprocess['resize'];
  /** What the shorter side becomes before the middle is cut out. Implies `shorter-side`. */
  readonly shorterSide?: number;
  /** The same as a fraction: the cut's side divided by the resized image's, such as 224 / 256 = 0.875. */
  readonly crop?: number;
  readonly filter?: Filter;
}

/** What the graph tells about its images. */
export interface InputFacts {
  readonly channels: number;
  /** Where something stronger than metadata and configuration says it, and what: `graph`, `option`. */
  readonly size?: { readonly from: string; readonly value: readonly [height: number, width: number] };
  /** The file's own order of axes. */
  readonly layout: 'nchw' | 'nhwc';
  /** Whether the file takes whole numbers 0…255. */
  readonly takesBytes: boolean;
  /** Whether the first thing that the graph does with pixels is to scale them down from 0…255. */
  readonly rescales?: boolean;
}

/** Preprocessing, and where each part comes from: `option`, `graph`, `metadata`, a file, or `guess`. */
export interface ResolvedPreprocess {
  readonly preprocess: Preprocess;
  readonly from: Readonly<Record<PreprocessPart, string>>;
}

/** Parts of preprocessing that is known as a whole, less those that were guessed when it was written. */
export function toPreprocessParts(preprocess: Preprocess, guessed: readonly PreprocessPart[] = []): PreprocessParts {
  const { size, resize, shorterSide, stretchSize, filter = 'bilinear', color = 'rgb', range, mean, std } = preprocess;
  const parts: PreprocessParts = {
    size,
    resize: { resize, ...(shorterSide && { shorterSide }), ...defined({ stretchSize }) },
    filter,
    color,
    normalization: { ...defined({ range }), mean, std },
  };
  return Object.fromEntries(Object.entries(parts).filter(([part]) => !guessed.some((name) => name === part)));
}

/** Pixels as whole numbers have them. */
const BYTE_NORMALIZATION = { range: [0, 255], mean: [0], std: [1] } as const;

/** Returns the likely preprocessing where no source states any. */
function guessParts({ channels, layout, takesBytes, rescales }: InputFacts): Required<Omit<PreprocessParts, 'size'>> {
  const rest = { resize: { resize: 'shorter-side' }, filter: 'bilinear' } as const;
  const color = channels === 1 ? 'gray' : 'rgb';
  if (takesBytes || rescales) return { ...rest, color, normalization: BYTE_NORMALIZATION };
  if (channels === 1) return { ...rest, color, normalization: { mean: [0], std: [1] } };
  // Most of Keras' applications take -1…1; PyTorch's take ImageNet's statistics.
  if (layout === 'nhwc') return { ...rest, color, normalization: { range: [-1, 1], mean: [0], std: [1] } };
  return { ...rest, color, normalization: { mean: IMAGENET_MEAN, std: IMAGENET_STD } };
}

/** A size that was made for another one, in proportion. */
function rescaleResize(
  { resize, shorterSide, stretchSize }: NonNullable<PreprocessParts['resize']>,
  made: readonly [number, number] | undefined,
  size: readonly [number, number],
): NonNullable<PreprocessParts['resize']> {
  const factor = made ? Math.min(...size) / Math.min(...made) : 1;
  return {
    resize,
    ...(shorterSide && { shorterSide: Math.round(shorterSide * factor) }),
    ...(stretchSize && {
      stretchSize: [Math.round(stretchSize[0] * factor), Math.round(stretchSize[1] * factor)] as const,
    }),
  };
}

function readResizeOption(
  { resize, shorterSide, crop }: PreprocessOptions,
  size: readonly [number, number],
): PreprocessParts['resize'] {
  if (shorterSide === undefined && crop === undefined) return resize && { resize };
  if (shorterSide !== undefined && crop !== undefined)
    throw new UsageError('Give either `shorterSide` or `crop`.', { option: 'crop' });
  if (resize !== undefined && resize !== 'shorter-side') {
    throw new UsageError(`\`shorterSide\` and \`crop\` are for \`resize: 'shorter-side'\`, not for ${resize}.`, {
      option: 'resize',
    });
  }
  if (crop !== undefined && !(crop > 0 && crop <= 1)) {
    throw new UsageError(`\`crop\` is a fraction above 0, at most 1, such as 0.875; found ${crop}.`, {
      option: 'crop',
    });
  }
  const side = shorterSide ?? Math.floor(Math.min(...size) / (crop ?? 1));
  if (side < Math.min(...size)) {
    throw new UsageError(
      `The model takes images of ${size[1]}×${size[0]} pixels: a shorter side of ${side} is too little.`,
    );
  }
  return { resize: 'shorter-side', shorterSide: side };
}

const isSameRange = (a: readonly number[] = [0, 1], b: readonly number[] = [0, 1]): boolean =>
  a.every((value, i) => value === b[i]);

/**
 * Builds the normalisation that options ask for; `undefined` where none is given. Mean and std are for pixels of 0…1, as
 * torchvision's `ToTensor` makes them, unless a range is given; a file that takes whole numbers gets 0…255, which is a fact.
 * The one of mean and std that is not given comes from a file that says it for the same pixels, else it is 0 or 1: options
 * are never combined with a guess.
 *
 * @param known what a file says; `undefined` where it would be a guess.
 */
function buildNormalizationOption(
  { mean, std, range }: PreprocessOptions,
  known: PreprocessParts['normalization'] | undefined,
  { takesBytes }: InputFacts,
): NonNullable<PreprocessParts['normalization']> | undefined {
  if (mean === undefined && std === undefined && range === undefined) return undefined;
  const chosenRange = range ?? (takesBytes ? ([0, 255] as const) : undefined);
  const base = range === undefined && known && isSameRange(known.range, chosenRange) ? known : { mean: [0], std: [1] };
  const chosen = { ...defined({ range: chosenRange }), mean: mean ?? base.mean, std: std ?? base.std };
  const bad = chosen.std.find((value) => !(value > 0));
  if (bad !== undefined)
    throw new UsageError(`A standard deviation must be above 0, found ${bad} (\`std\`).`, { option: 'std' });
  const [low, high] = chosen.range ?? [0, 1];
  if (mean?.some((value) => Math.abs(value) > 2 * Math.max(Math.abs(low), Math.abs(high)))) {
    throw new UsageError(
      `The means ${mean.join(', ')} are far outside of ${low}…${high}, which pixels become first. For means of 0…255 add \`range: [0, 255]\`.`,
      { option: 'mean' },
    );
  }
  return chosen;
}

/** Numbers for each channel: as many as there are, or one. */
function checkPerChannel(values: readonly number[], channels: number, what: string, from: string): readonly number[] {
  const [first = 0] = values;
  if (values.length === channels || values.length === 1) return values;
  if (channels === 1 && values.every((value) => value === first)) return [first];
  throw new ShiboriError(
    `Preprocessing (${from}): ${what} has ${values.length} numbers, the model takes images of ${channels} channel${channels === 1 ? '' : 's'}.`,
    { code: 'unsupported-model' },
  );
}

/**
 * Decides the preprocessing of a model; `undefined` when nothing says the size of its images.
 *
 * @param known what its sources state, the strongest source first.
 * @throws UsageError for options that contradict each other or the model.
 */
export function resolvePreprocess(
  options: PreprocessOptions,
  known: readonly PreprocessSource[],
  facts: InputFacts,
): ResolvedPreprocess | undefined {
  const layers: readonly PreprocessSource[] = [...known, { from: 'guess', parts: guessParts(facts) }];
  const sizeLayer = known.find(({ parts }) => parts.size);
  const size = facts.size?.value ?? sizeLayer?.parts.size;
  if (!size) return undefined;
  const find = <P extends Exclude<PreprocessPart, 'size'>>(part: P) => {
    const layer = layers.find(({ parts }) => parts[part]) ?? layers.at(-1);
    return { value: layer?.parts[part] ?? guessParts(facts)[part], from: layer?.from ?? 'guess', layer };
  };
  const [resize, filter, color, normalization] = [find('resize'), find('filter'), find('color'), find('normalization')];
  const asked = readResizeOption(options, size);
  const chosenNormalization = buildNormalizationOption(
    options,
    normalization.from === 'guess' ? undefined : normalization.value,
    facts,
  );
  const { range, mean, std } = chosenNormalization ?? normalization.value;
  const from = {
    size: facts.size?.from ?? sizeLayer?.from ?? 'guess',
    resize: asked ? 'option' : resize.from,
    filter: options.filter ? 'option' : filter.from,
    color: options.color ? 'option' : color.from,
    // That whole numbers are those of the pixels is no guess.
    normalization: chosenNormalization
      ? 'option'
      : normalization.from === 'guess' && facts.takesBytes
        ? 'graph'
        : normalization.from,
  };
  const chosen = options.color ?? (facts.channels === 1 ? 'gray' : color.value);
  if ((chosen === 'gray') !== (facts.channels === 1)) {
    throw new UsageError(
      `The model takes images of ${facts.channels} channel${facts.channels === 1 ? '' : 's'}, which are not "${chosen}" (${from.color}).`,
    );
  }
  const fitted = asked ?? rescaleResize(resize.value, resize.layer?.parts.size, size);
  if (fitted.shorterSide !== undefined && fitted.shorterSide < Math.min(...size)) {
    throw new ShiboriError(
      `Preprocessing (${from.resize}): images whose shorter side has ${fitted.shorterSide} pixels are too small for a cut of ${size[1]}×${size[0]}. Give \`shorterSide\` or \`resize\`.`,
      { code: 'unsupported-model' },
    );
  }
  return {
    preprocess: {
      size,
      ...fitted,
      filter: options.filter ?? filter.value,
      color: chosen,
      ...defined({ range }),
      mean: checkPerChannel(mean, facts.channels, 'mean', from.normalization),
      std: checkPerChannel(std, facts.channels, 'std', from.normalization),
    },
    from,
  };
}

/** Preprocessing in words, one line a part: for summaries and warnings. */
export function describePreprocess(preprocess: Preprocess): Readonly<Record<PreprocessPart, string>> {
  const { size, resize, shorterSide, stretchSize, filter = 'bilinear', color = 'rgb', range = [0, 1] } = preprocess;
  const list = (values: readonly number[]) => values.map((value) => Number(value.toPrecision(6))).join(', ');
  const [height, width] = size;
  const how: { readonly [R in Preprocess['resize']]: string } = {
    'shorter-side': `shorter side to ${shorterSide ?? 'what just covers the size'}, middle cut out`,
    stretch: stretchSize ? `stretched to ${stretchSize[1]}×${stretchSize[0]}, middle cut out` : 'stretched',
    none: 'never: other sizes are refused',
  };
  const normalised = preprocess.mean.some((value) => value !== 0) || preprocess.std.some((value) => value !== 1);
  return {
    size: `${width}×${height} pixels`,
    resize: how[resize],
    filter,
    color,
    normalization: `pixels to ${list(range).replace(', ', '…')}${
      normalised ? `, mean ${list(preprocess.mean)}, std ${list(preprocess.std)}` : ''
    }`,
  };
}
