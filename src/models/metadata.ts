import { z } from 'zod';
import type { Preprocess } from '../data/preprocess.js';
import { ShiboriError } from '../errors.js';
import type { ModelDescription } from '../graph/model.js';
import type { StorageType } from '../passes/store-weights.js';
import { PREPROCESS_PARTS } from './preprocessing.js';

/** Metadata keys under which a saved model carries what a graph cannot say. */
const METADATA_KEY = 'shibori';
/** The version of this package that wrote a file; the file's producer is who made the model. */
export const VERSION_KEY = 'shibori.version';

const modesSchema = z.array(z.number().int().positive()).readonly();
const imageSizeSchema = z.tuple([z.number().int().positive(), z.number().int().positive()]).readonly();

const preprocessSchema = z.object({
  size: imageSizeSchema,
  resize: z.enum(['shorter-side', 'stretch', 'none']),
  shorterSide: z.number().int().positive().exactOptional(),
  stretchSize: imageSizeSchema.exactOptional(),
  filter: z.enum(['nearest', 'box', 'bilinear', 'hamming', 'bicubic', 'lanczos']).exactOptional(),
  color: z.enum(['rgb', 'bgr', 'gray']).exactOptional(),
  range: z.tuple([z.number(), z.number()]).readonly().exactOptional(),
  mean: z.array(z.number()).min(1).readonly(),
  std: z.array(z.number().positive()).min(1).readonly(),
}) satisfies z.ZodType<Preprocess>;

/** Checks what the metadata of a file says about its model. */
export const modelInfoSchema = z.object({
  /** The architecture that the state-dict keys belong to. */
  architecture: z.string().optional(),
  /** How images become the model's input. */
  preprocess: preprocessSchema.optional(),
  /** The parts of `preprocess` that are still guesses: no source states them. */
  guessed: z.array(z.enum(PREPROCESS_PARTS)).readonly().optional(),
  /** Whether the file that the model came from takes whole numbers 0…255: options of mean and std keep that range. */
  takesBytes: z.boolean().optional(),
  /** Names of the classes, in the order of the outputs. */
  classes: z.array(z.string()).readonly().optional(),
  /** The output that a person chose as the scores. */
  scores: z.string().optional(),
  /** What the model is for; default: `classification`. */
  task: z.enum(['classification', 'regression']).optional(),
  /** The layers that were replaced by tensor trains. */
  layers: z
    .array(
      z.object({
        path: z.string(),
        layout: z.enum(['tt', 'tt-matrix']),
        outModes: modesSchema,
        inModes: modesSchema,
        bonds: modesSchema,
        execution: z.enum(['factored', 'rebuilt']),
      }),
    )
    .readonly()
    .optional(),
});

/** Holds what a model file states in addition to its graph and tensors. */
export type ModelInfo = z.infer<typeof modelInfoSchema> & {
  /** The file's metadata entries that are not ours: they are written back as they were. */
  readonly others?: Readonly<Record<string, string>>;
  /** Names of the file's outputs in its order, where the graph in memory has others: they are written back as they were. */
  readonly outputs?: readonly string[];
  /** Who made the model and what they wrote about it; written back as it was. */
  readonly about?: ModelDescription;
  /** How the weights of the file are stored, and of files that are written from it. Default: `float32`. */
  readonly store?: StorageType;
};

/** Writes model information into metadata entries (`metadata_props` of ONNX, `__metadata__` of safetensors). */
export function encodeInfo({ others, outputs: _, about: __, store: ___, ...info }: ModelInfo): Record<string, string> {
  return { ...others, [METADATA_KEY]: JSON.stringify(info) };
}

/**
 * Reads model information from metadata entries; none gives an empty record.
 *
 * @throws ShiboriError naming the file when the entry is not what `encodeInfo` writes.
 */
export function decodeInfo(metadata: Readonly<Record<string, string>>, file: string): ModelInfo {
  const { [METADATA_KEY]: text, [VERSION_KEY]: _, ...rest } = metadata;
  const others = Object.keys(rest).length > 0 ? { others: rest } : {};
  if (text === undefined) return others;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new ShiboriError(
      `Reading ${file}: its metadata entry "${METADATA_KEY}" is not JSON. Remove the entry, or save the model again.`,
      { code: 'unsupported-model' },
    );
  }
  const parsed = modelInfoSchema.safeParse(json);
  if (parsed.success) return { ...parsed.data, ...others };
  throw new ShiboriError(
    `Reading ${file}: its metadata entry "${METADATA_KEY}" is damaged: ${z.prettifyError(parsed.error)}`,
    {
      code: 'unsupported-model',
    },
  );
}
