/*
 * The configuration files that come with published models: `preprocessor_config.json` and `config.json` of Hugging
 * Face's transformers, `config.json` of timm. Sources: transformers' image_processing_*.py, timm's data/config.py and
 * data/transforms_factory.py.
 */

import { z } from 'zod';
import type { Filter } from '../data/resize.js';
import { ShiboriError } from '../errors.js';
import { defined } from '../values.js';
import type { PreprocessParts } from './preprocessing.js';

/** What a configuration file says about a model. */
export interface ModelConfig {
  readonly parts: PreprocessParts;
  /** Names of the classes, in the order of the outputs. */
  readonly classes?: readonly string[];
}

type Size = readonly [height: number, width: number];

/** Filters by Pillow's numbers. */
const filtersByNumber: readonly Filter[] = ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'];

const pixelsSchema = z.number().int().positive();
const filterSchema = z.union([
  z
    .int()
    .min(0)
    .max(5)
    .transform((number): Filter => filtersByNumber[number] ?? 'bilinear'),
  z
    .string()
    .transform((name) => name.toLowerCase())
    .pipe(z.enum(filtersByNumber)),
]);
const perChannelSchema = z
  .union([z.number(), z.array(z.number()).min(1).max(4)], 'expected a number, or one for each channel')
  .transform((value): readonly number[] => (typeof value === 'number' ? [value] : value));
const deviationsSchema = perChannelSchema.refine((values) => values.every((value) => value > 0), 'must be above 0');

const sizeSchema = z.union(
  [
    pixelsSchema,
    z.tuple([pixelsSchema, pixelsSchema]),
    z.object({ height: pixelsSchema, width: pixelsSchema }),
    z.object({ shortest_edge: pixelsSchema }),
  ],
  'expected a number of pixels, { height, width } or { shortest_edge }',
);

const preprocessorSchema = z.object({
  image_processor_type: z.string().nullish(),
  feature_extractor_type: z.string().nullish(),
  do_resize: z.boolean().nullish(),
  size: sizeSchema.nullish(),
  resample: filterSchema.nullish(),
  crop_pct: z.number().positive().max(1).nullish(),
  do_center_crop: z.boolean().nullish(),
  crop_size: sizeSchema.nullish(),
  do_rescale: z.boolean().nullish(),
  rescale_factor: z.number().positive().nullish(),
  rescale_offset: z.boolean().nullish(),
  do_normalize: z.boolean().nullish(),
  image_mean: perChannelSchema.nullish(),
  image_std: deviationsSchema.nullish(),
  include_top: z.boolean().nullish(),
  do_flip_channel_order: z.boolean().nullish(),
});
type Preprocessor = z.infer<typeof preprocessorSchema>;

const timmSchema = z.object({
  input_size: z.tuple([z.number().int().positive(), pixelsSchema, pixelsSchema]).nullish(),
  mean: perChannelSchema.nullish(),
  std: deviationsSchema.nullish(),
  crop_pct: z.number().positive().max(1).nullish(),
  crop_mode: z.enum(['center', 'squash']).nullish(),
  interpolation: filterSchema.or(z.literal('random').transform((): Filter => 'bilinear')).nullish(),
  label_names: z.array(z.string()).nullish(),
  label_descriptions: z.record(z.string(), z.string()).nullish(),
});
type Timm = z.infer<typeof timmSchema>;

const configSchema = z.object({
  id2label: z.record(z.string().regex(/^\d+$/, 'expected class numbers as keys'), z.string()).nullish(),
  label2id: z.record(z.string(), z.union([z.number(), z.string().regex(/^\d+$/).transform(Number)])).nullish(),
  image_size: sizeSchema.nullish(),
});

/** `undefined` for a document that is no JSON object. */
function parseJsonObject(text: string, file: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ShiboriError(
      `Reading ${file}, the model's configuration: it is not JSON (${(error as Error).message}).`,
      { code: 'unsupported-model' },
    );
  }
  const parsed = z.record(z.string(), z.unknown()).safeParse(json);
  if (parsed.success) return parsed.data;
  throw new ShiboriError(`Reading ${file}, the model's configuration: expected a JSON object.`, {
    code: 'unsupported-model',
  });
}

/** Parses, or says which field of which file is wrong. */
function parseFields<T>(schema: z.ZodType<T>, value: unknown, file: string, at = ''): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = [at, ...(issue?.path ?? [])].filter((part) => part !== '').join('.');
  throw new ShiboriError(
    `Reading ${file}, the model's configuration: field "${field}": ${issue?.message ?? 'not understood'}. Mend it, or move the file away and give the preprocessing as options.`,
    { code: 'unsupported-model' },
  );
}

const toImageSize = (size: z.infer<typeof sizeSchema> | null | undefined): Size | undefined => {
  if (typeof size === 'number') return [size, size];
  if (!size || 'shortest_edge' in size) return undefined;
  return 'height' in size ? [size.height, size.width] : size;
};

/** Sizes of a transformers image processor, whose classes read the same fields in different ways. */
function readResizing(config: Preprocessor): Pick<PreprocessParts, 'size' | 'resize'> {
  const kind = `${config.image_processor_type ?? config.feature_extractor_type ?? ''}`.toLowerCase();
  const { size, crop_pct: fraction } = config;
  const edgeGiven = size && typeof size === 'object' && 'shortest_edge' in size ? size.shortest_edge : undefined;
  const cropSize = config.crop_size;
  const crop =
    config.do_center_crop === true
      ? cropSize && typeof cropSize === 'object' && 'shortest_edge' in cropSize
        ? ([cropSize.shortest_edge, cropSize.shortest_edge] as const)
        : toImageSize(cropSize)
      : undefined;
  if (config.do_resize === false) {
    const fixed = crop ?? toImageSize(size);
    return fixed ? { size: fixed, resize: { resize: 'none' } } : {};
  }
  // A plain number is a square, but for processors that cut: there it is the shorter side.
  const edge = edgeGiven ?? (typeof size === 'number' && (crop || fraction) ? size : undefined);
  if (edge !== undefined && fraction) {
    // ConvNeXt stretches from 384 on, where nothing is cut.
    if (kind.startsWith('convnext') && edge >= 384) return { size: [edge, edge], resize: { resize: 'stretch' } };
    return { size: crop ?? [edge, edge], resize: { resize: 'shorter-side', shorterSide: Math.floor(edge / fraction) } };
  }
  if (edge !== undefined) {
    const side = kind.startsWith('levit') ? Math.floor((256 / 224) * edge) : edge;
    return { size: crop ?? [edge, edge], resize: { resize: 'shorter-side', shorterSide: side } };
  }
  const stretched = toImageSize(size);
  if (!stretched) return crop ? { size: crop } : {};
  const cuts = crop && (crop[0] !== stretched[0] || crop[1] !== stretched[1]);
  return { size: crop ?? stretched, resize: { resize: 'stretch', ...(cuts && { stretchSize: stretched }) } };
}

function readNormalization(config: Preprocessor): PreprocessParts['normalization'] {
  const factor = config.do_rescale === false ? 1 : (config.rescale_factor ?? 1 / 255);
  const low = config.rescale_offset === true && config.do_rescale !== false ? -1 : 0;
  // 0.00392156862745098 means 1 / 255.
  const span = Math.abs(factor * 255 - 1) < 1e-6 ? 1 : factor * 255;
  const normalizes = config.do_normalize ?? (config.image_mean != null || config.image_std != null);
  const range = low === 0 && span === 1 ? {} : { range: [low, low + span] as const };
  // Some processors have means of their own that the file need not repeat: then it says nothing.
  if (normalizes && !config.image_mean) return undefined;
  if (!normalizes) return { ...range, mean: [0], std: [1] };
  const std = config.image_std ?? [1];
  // EfficientNet's processor divides a second time for its classifiers.
  return {
    ...range,
    mean: config.image_mean ?? [0],
    std: config.include_top ? std.map((value) => value * value) : std,
  };
}

function fromTimm(config: Timm): ModelConfig {
  const size = config.input_size ? ([config.input_size[1], config.input_size[2]] as const) : undefined;
  const resize = size && readTimmResize(size, config);
  const { label_names: names, label_descriptions: descriptions } = config;
  return {
    parts: {
      ...defined({ size, resize }),
      ...(config.interpolation && { filter: config.interpolation }),
      ...(config.mean && config.std && { normalization: { mean: config.mean, std: config.std } }),
    },
    ...(names && { classes: names.map((name) => descriptions?.[name] ?? name) }),
  };
}

function readTimmResize(size: Size, { crop_pct: fraction, crop_mode: mode }: Timm): PreprocessParts['resize'] {
  const scaled = (side: number) => Math.floor(side / (fraction ?? 0.875));
  if (mode === 'squash') return { resize: 'stretch', stretchSize: [scaled(size[0]), scaled(size[1])] };
  return { resize: 'shorter-side', shorterSide: scaled(Math.min(...size)) };
}

/** timm's fields: under `pretrained_cfg`, or in the document itself as older files have them. */
function findTimmConfig(json: Record<string, unknown>, file: string): ModelConfig | undefined {
  const nested = json.pretrained_cfg;
  if (nested === undefined && !('input_size' in json && 'mean' in json && 'std' in json)) return undefined;
  const config = parseFields(timmSchema, nested ?? json, file, nested === undefined ? '' : 'pretrained_cfg');
  const { label_names, label_descriptions } = parseFields(timmSchema, json, file);
  return fromTimm({
    ...config,
    ...(label_names && { label_names }),
    ...(label_descriptions && { label_descriptions }),
  });
}

/** Names by number, which must be 0 … n - 1. Placeholders (`LABEL_0`) are no names. */
function listClassNames(
  names: readonly (readonly [number, string])[],
  field: string,
  file: string,
): readonly string[] | undefined {
  const sorted = [...names].sort(([a], [b]) => a - b);
  const missing = sorted.findIndex(([id], index) => id !== index);
  if (missing >= 0) {
    throw new ShiboriError(
      `Reading ${file}, the model's configuration: field "${field}" names ${names.length} classes, but none has the number ${missing}.`,
      { code: 'unsupported-model' },
    );
  }
  const placeholders = sorted.every(([id, name]) => name === `LABEL_${id}`);
  return placeholders || sorted.length === 0 ? undefined : sorted.map(([, name]) => name);
}

/**
 * Reads a `preprocessor_config.json`. Fields that are not known are passed over.
 *
 * @throws ShiboriError naming file and field for what is not understood.
 */
export function parsePreprocessorConfig(text: string, file: string): ModelConfig {
  const json = parseJsonObject(text, file);
  const timm = findTimmConfig(json, file);
  if (timm) return timm;
  const config = parseFields(preprocessorSchema, json, file);
  const normalised = readNormalization(config);
  const about = 'image_mean' in json || 'do_normalize' in json || 'do_rescale' in json || 'rescale_factor' in json;
  return {
    parts: {
      ...readResizing(config),
      ...(config.resample && { filter: config.resample }),
      ...(config.do_flip_channel_order != null && { color: config.do_flip_channel_order ? 'bgr' : 'rgb' }),
      ...(about && normalised && { normalization: normalised }),
    },
  };
}

/**
 * Reads a `config.json`, of transformers or timm. One of something else says nothing.
 *
 * @throws ShiboriError naming file and field for what is not understood.
 */
export function parseModelConfig(text: string, file: string): ModelConfig {
  const json = parseJsonObject(text, file);
  const timm = findTimmConfig(json, file);
  if (timm) return timm;
  if (!('id2label' in json || 'label2id' in json || 'image_size' in json)) return { parts: {} };
  const { id2label, label2id, image_size: size } = parseFields(configSchema, json, file);
  const classes = id2label
    ? listClassNames(
        Object.entries(id2label).map(([id, name]) => [Number(id), name] as const),
        'id2label',
        file,
      )
    : label2id &&
      listClassNames(
        Object.entries(label2id).map(([name, id]) => [id, name] as const),
        'label2id',
        file,
      );
  const images = toImageSize(size);
  return { parts: images ? { size: images } : {}, ...(classes && { classes }) };
}
