import { isNode, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { suggestion, UsageError } from '../errors.js';

const positive = z.number().int().positive();

/** How one layer is squeezed. */
export const layerPlanSchema = z.strictObject({
  layout: z.enum(['tt', 'tt-matrix']).default('tt'),
  in: z.array(positive).min(1),
  out: z.array(positive).min(1),
  /** Inner bond dimensions; left out: full rank. */
  bonds: z.array(positive).optional(),
});

const executionSchema = z.enum(['factored', 'rebuilt', 'auto']);

/** A compression plan: layers by module path or unique suffix. */
export const planSchema = z.strictObject({
  layers: z.record(z.string(), layerPlanSchema),
  execution: executionSchema.default('auto'),
});

const dataSchema = z.strictObject({
  /** An ImageFolder directory, a .zip of one, or a built-in name. */
  source: z.string(),
  /** Files that list the images of each part, or … */
  train: z.string().optional(),
  validation: z.string().optional(),
  /** … PyTorch's `random_split` of the whole source: the last part is for validation. */
  randomSplit: z
    .strictObject({ fractions: z.array(z.number().positive()).length(2), seed: z.number().int().nonnegative() })
    .optional(),
});

const augmentSchema = z.strictObject({
  randomResizedCrop: z
    .strictObject({
      /** Side of the result in pixels. Default: the model's input. */
      size: positive.optional(),
      scale: z.tuple([z.number().positive(), z.number().positive()]),
      ratio: z.tuple([z.number().positive(), z.number().positive()]).default([3 / 4, 4 / 3]),
    })
    .optional(),
  horizontalFlip: z.number().min(0).max(1).optional(),
  colorJitter: z
    .strictObject({ saturation: z.number().nonnegative().default(0), hue: z.number().min(0).max(0.5).default(0) })
    .optional(),
});

/** How a model is trained back. Learning rates per step; see the library's `finetune` for units and defaults. */
export const finetuneSchema = z.strictObject({
  train: z.union([z.string(), z.array(z.string())]).optional(),
  epochs: positive.default(1),
  batch: positive.default(64),
  learningRate: z
    .union([z.number().positive(), z.tuple([z.number().positive(), z.number().positive()])])
    .default([1e-5, 6e-5]),
  stepSizeUp: positive.optional(),
  /** With a base and a peak: `triangular2`, or `one-cycle`, which only takes the peak. */
  schedule: z.enum(['triangular2', 'one-cycle']).default('triangular2'),
  weightDecay: z.number().nonnegative().default(0),
  seed: z.number().int().nonnegative().default(42),
  augment: augmentSchema.optional(),
  views: positive.optional(),
  patience: positive.optional(),
});

const explainSchema = z.strictObject({
  layer: z.string().optional(),
  /** Validation images to explain: index in the split, or path (a unique suffix is enough). */
  images: z.array(z.union([z.number().int().nonnegative(), z.string()])).optional(),
});

/** A whole study. */
export const recipeSchema = z.strictObject({
  model: z.string().optional(),
  arch: z.string().optional(),
  data: dataSchema.optional(),
  explain: explainSchema.default({}),
  compress: planSchema,
  finetune: finetuneSchema.optional(),
  compare: z.strictObject({ images: positive.default(16) }).default({ images: 16 }),
  output: z.string().optional(),
});

/** A study, parsed and with its defaults. */
export type Recipe = z.infer<typeof recipeSchema>;
/** A compression plan, parsed. */
export type Plan = z.infer<typeof planSchema>;
/** Fine-tuning as declared in a recipe. */
export type FinetunePlan = z.infer<typeof finetuneSchema>;

/** The keys that a schema knows at a path, for suggestions. */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let current: z.ZodType | undefined = schema;
  for (const key of path) {
    while (current instanceof z.ZodDefault || current instanceof z.ZodOptional) current = current.unwrap() as z.ZodType;
    if (current instanceof z.ZodObject) current = current.shape[String(key)] as z.ZodType | undefined;
    else if (current instanceof z.ZodRecord) current = current.valueType as z.ZodType;
    else return [];
  }
  while (current instanceof z.ZodDefault || current instanceof z.ZodOptional) current = current.unwrap() as z.ZodType;
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}

/**
 * Parses a YAML text against a schema.
 *
 * @throws UsageError with the file, line and column of each mistake, and the nearest key for a mistyped one.
 */
export function parseYaml<S extends z.ZodType>(text: string, file: string, schema: S): z.output<S> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const [syntax] = document.errors;
  if (syntax) throw new UsageError(`${place(syntax.pos[0])}: not valid YAML: ${syntax.message}`);
  // `maxAliasCount` keeps nested aliases from growing into gigabytes.
  const parsed = schema.safeParse(document.toJS({ maxAliasCount: 100 }));
  if (parsed.success) return parsed.data;
  const messages = parsed.error.issues.map((issue) => {
    const names = issue.code === 'unrecognized_keys' ? issue.keys : [];
    const path = issue.path.filter((key): key is string | number => typeof key !== 'symbol');
    const at = [...path, ...names.slice(0, 1)];
    // The mistake itself may be absent (a missing key): then the nearest thing around it is shown.
    for (let depth = at.length; depth >= 0; depth--) {
      const node = depth === 0 ? document.contents : document.getIn(at.slice(0, depth), true);
      if (!isNode(node) || !node.range) continue;
      const key = names[0];
      const hint = key === undefined ? '' : suggestion(key, knownKeys(schema, path));
      return `${place(node.range[0])}: ${at.join('.') || 'the document'}: ${issue.message}.${hint}`;
    }
    return `${file}: ${at.join('.')}: ${issue.message}`;
  });
  throw new UsageError(messages.join('\n'));
}
