import { readFile } from 'node:fs/promises';
import { isNode, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { formatSuggestion, UsageError } from '../errors.js';
import { defined } from '../values.js';
import { describeOldNames } from './old-names.js';
import { finetuneSchema, positiveIntegerSchema } from './training-schema.js';

export {
  type FinetunePlan,
  type FinetunePlanInput,
  finetuneSchema,
  type TrainPlan,
  type TrainPlanInput,
  trainSchema,
} from './training-schema.js';

/** Describes how one layer is decomposed. */
export const layerPlanSchema = z
  .strictObject({
    layout: z.enum(['tt', 'tt-matrix']).default('tt'),
    in: z.array(positiveIntegerSchema).min(1),
    out: z.array(positiveIntegerSchema).min(1),
    /** Inner ranks; left out: full rank. */
    ranks: z.array(positiveIntegerSchema).optional(),
    /** The old name of `ranks`. */
    bonds: z.array(positiveIntegerSchema).optional(),
  })
  .refine(({ ranks, bonds }) => ranks === undefined || bonds === undefined, {
    error: 'bonds is the old name of ranks: give one of them',
  })
  .transform(({ ranks, bonds = ranks, ...rest }) => ({ ...rest, ...defined({ bonds }) }));

const executions = {
  factorised: 'factored',
  reconstructed: 'rebuilt',
  auto: 'auto',
  // Old names.
  factored: 'factored',
  rebuilt: 'rebuilt',
} as const;
const executionSchema = z
  .enum(Object.keys(executions) as (keyof typeof executions)[])
  .transform((name) => executions[name]);

/** A compression plan: layers by module path or unique suffix. */
export const rankPlanSchema = z.strictObject({
  layers: z.record(z.string(), layerPlanSchema),
  execution: executionSchema.prefault('auto'),
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

const explainSchema = z.strictObject({
  layer: z.string().optional(),
  /** Validation images to explain: index in the split, or path (a unique suffix is enough). */
  images: z.array(z.union([z.number().int().nonnegative(), z.string()])).optional(),
});

/** Describes a whole recipe. */
export const recipeSchema = z.strictObject({
  model: z.string().optional(),
  arch: z.string().optional(),
  /** Key of the weights to take from a checkpoint that holds several. */
  weights: z.string().optional(),
  data: dataSchema.optional(),
  explain: explainSchema.default({}),
  compress: rankPlanSchema,
  finetune: finetuneSchema.optional(),
  compare: z.strictObject({ images: positiveIntegerSchema.default(16) }).default({ images: 16 }),
  output: z.string().optional(),
});

/** Describes a recipe, parsed and with its defaults. */
export type Recipe = z.infer<typeof recipeSchema>;
/** Describes a recipe as it is written: what has a default may be left out. */
export type RecipeInput = z.input<typeof recipeSchema>;
/** A compression plan, parsed. */
export type RankPlan = z.infer<typeof rankPlanSchema>;

/** A schema without what is wrapped around it: defaults, and what comes before or after it. */
function unwrapSchema(schema: unknown): unknown {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodOptional) return unwrapSchema(schema.unwrap());
  if (!(schema instanceof z.ZodPipe)) return schema;
  return unwrapSchema(schema.in instanceof z.ZodTransform ? schema.out : schema.in);
}

/** Lists the keys that a schema has at a path, for suggestions. */
function listKnownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let current = unwrapSchema(schema);
  for (const key of path) {
    if (current instanceof z.ZodObject) current = unwrapSchema(current.shape[String(key)]);
    else if (current instanceof z.ZodRecord) current = unwrapSchema(current.valueType);
    else if (current instanceof z.ZodArray) current = unwrapSchema(current.element);
    else return [];
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}

/**
 * Parses a YAML text against a schema.
 *
 * @param onNote is called for each old name that the text uses.
 * @throws UsageError with the file, line and column of each mistake, and the nearest key for a mistyped one.
 */
export function parseYaml<S extends z.ZodType>(
  text: string,
  file: string,
  schema: S,
  onNote?: (text: string) => void,
): z.output<S> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const formatPosition = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const [syntax] = document.errors;
  if (syntax) throw new UsageError(`${formatPosition(syntax.pos[0])}: not valid YAML: ${syntax.message}`);
  // `maxAliasCount` keeps nested aliases from growing into gigabytes.
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  const parsed = schema.safeParse(value);
  if (parsed.success) {
    for (const note of onNote ? describeOldNames(value, file) : []) onNote?.(note);
    return parsed.data;
  }
  const messages = parsed.error.issues.map((issue) => {
    const names = issue.code === 'unrecognized_keys' ? issue.keys : [];
    const path = issue.path.filter((key): key is string | number => typeof key !== 'symbol');
    const at = [...path, ...names.slice(0, 1)];
    // The mistake itself may be absent (a missing key): then the nearest thing around it is shown.
    for (let depth = at.length; depth >= 0; depth--) {
      const node = depth === 0 ? document.contents : document.getIn(at.slice(0, depth), true);
      if (!isNode(node) || !node.range) continue;
      const key = names[0];
      const hint = key === undefined ? '' : formatSuggestion(key, listKnownKeys(schema, path));
      return `${formatPosition(node.range[0])}: ${at.join('.') || 'the document'}: ${issue.message}.${hint}`;
    }
    return `${file}: ${at.join('.')}: ${issue.message}`;
  });
  throw new UsageError(messages.join('\n'));
}

/**
 * Reads a YAML file against a schema.
 *
 * @param what the file is: `plan`, `recipe`.
 * @param onNote is called for each old name that the file uses.
 * @throws UsageError when it cannot be read, and as `parseYaml`.
 */
export async function readYaml<S extends z.ZodType>(
  file: string,
  what: string,
  schema: S,
  onNote?: (text: string) => void,
): Promise<z.output<S>> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw new UsageError(`The ${what} "${file}" cannot be read.`, { file });
  });
  return parseYaml(text, file, schema, onNote);
}
