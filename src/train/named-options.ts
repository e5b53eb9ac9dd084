import { z } from 'zod';
import { formatSuggestion, UsageError } from '../errors.js';

/** A row of a table of things that are made by name: the options that it takes, and how it is made of them. */
export interface NamedOptions<Made, Context extends readonly unknown[]> {
  readonly options: z.ZodObject;
  /** @throws ZodError when the options are not those. */
  create(options: Readonly<Record<string, unknown>>, ...context: Context): Made;
}

/** Makes a row of a table. */
export function buildNamedOptions<Shape extends z.ZodRawShape, Made, Context extends readonly unknown[]>(
  options: z.ZodObject<Shape, z.core.$strict>,
  create: (options: z.output<z.ZodObject<Shape, z.core.$strict>>, ...context: Context) => Made,
): NamedOptions<Made, Context> {
  return { options, create: (given, ...context) => create(options.parse(given), ...context) };
}

/** A choice from a table: `{ name: 'sgd', momentum: 0.9 }`. */
export interface Choice extends Readonly<Record<string, unknown>> {
  readonly name: string;
}

/**
 * The row of a table with this name.
 *
 * @param what what the table holds, for the message: `optimizer`.
 * @throws UsageError naming the nearest one.
 */
export function requireRow<Row>(what: string, table: Readonly<Record<string, Row>>, name: string): Row {
  const row = Object.hasOwn(table, name) ? table[name] : undefined;
  if (row !== undefined) return row;
  const names = Object.keys(table);
  throw new UsageError(`No ${what} is called "${name}".${formatSuggestion(name, names)} Known: ${names.join(', ')}.`);
}

/**
 * The schema of a choice as people write it: `sgd`, or `{ name: sgd, momentum: 0.9 }`. An unknown name or option is reported
 * of with the nearest known one.
 */
export function buildChoiceSchema(what: string, table: Readonly<Record<string, NamedOptions<unknown, never>>>) {
  const written = z.union([z.string(), z.looseObject({ name: z.string() })], {
    error: `expected the name of an ${what}, or its name and options`.replace('an s', 'a s'),
  });
  return written.transform((value, context): Choice => {
    const { name, ...options } = typeof value === 'string' ? { name: value } : value;
    const path = typeof value === 'string' ? [] : ['name'];
    const row = Object.hasOwn(table, name) ? table[name] : undefined;
    if (!row) {
      const names = Object.keys(table);
      const message = `no ${what} is called "${name}".${formatSuggestion(name, names)} Known: ${names.join(', ')}`;
      context.issues.push({ code: 'custom', message, path, input: value });
      return z.NEVER;
    }
    const parsed = row.options.safeParse(options);
    for (const issue of parsed.error?.issues ?? []) {
      const [key] = issue.code === 'unrecognized_keys' ? issue.keys : [];
      const known = Object.keys(row.options.shape);
      const message =
        key === undefined
          ? issue.message
          : `"${key}" is no option of ${name}.${formatSuggestion(key, known)} Known: ${known.join(', ')}`;
      context.issues.push({ code: 'custom', message, path: key === undefined ? issue.path : [key], input: options });
    }
    return { name, ...options };
  });
}
