import { z } from 'zod';
import { ShiboriError } from '../errors.js';

/** Metadata keys under which a saved model carries what a graph cannot say. */
const KEY = 'shibori';

const modes = z.array(z.number().int().positive()).readonly();

const schema = z.object({
  /** The architecture that the state-dict keys belong to. */
  architecture: z.string().optional(),
  /** How images become the model's input. */
  preprocess: z
    .object({
      size: z.tuple([z.number().int().positive(), z.number().int().positive()]).readonly(),
      resize: z.enum(['shorter-side', 'stretch', 'none']),
      shorterSide: z.number().int().positive().optional(),
      mean: z.tuple([z.number(), z.number(), z.number()]).readonly(),
      std: z.tuple([z.number(), z.number(), z.number()]).readonly(),
    })
    .optional(),
  /** Names of the classes, in the order of the outputs. */
  classes: z.array(z.string()).readonly().optional(),
  /** The layers that were replaced by tensor trains. */
  layers: z
    .array(
      z.object({
        path: z.string(),
        layout: z.enum(['tt', 'tt-matrix']),
        outModes: modes,
        inModes: modes,
        bonds: modes,
        execution: z.enum(['factored', 'rebuilt']),
      }),
    )
    .readonly()
    .optional(),
});

/** What a model file says about itself beside its graph and tensors. */
export type ModelInfo = z.infer<typeof schema>;

/** Writes model information into metadata entries (`metadata_props` of ONNX, `__metadata__` of safetensors). */
export function encodeInfo(info: ModelInfo): Record<string, string> {
  return { [KEY]: JSON.stringify(info) };
}

/**
 * Reads model information from metadata entries; none gives an empty record.
 *
 * @throws ShiboriError naming the file when the entry is not what `encodeInfo` writes.
 */
export function decodeInfo(metadata: Readonly<Record<string, string>>, file: string): ModelInfo {
  const text = metadata[KEY];
  if (text === undefined) return {};
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new ShiboriError(
      `Reading ${file}: its metadata entry "${KEY}" is not JSON. Remove the entry, or save the model again.`,
    );
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new ShiboriError(`Reading ${file}: its metadata entry "${KEY}" is damaged: ${z.prettifyError(parsed.error)}`);
}
