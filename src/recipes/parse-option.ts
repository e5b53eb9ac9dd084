import type { z } from 'zod';
import { UsageError } from '../errors.js';

/**
 * Parses the value of an option, and fills in its defaults.
 *
 * @param option name of the option, for the error.
 * @throws UsageError with each mistake, one on a line.
 */
export function parseOption<S extends z.ZodType>(option: string, schema: S, value: unknown): z.output<S> {
  const { data, error } = schema.safeParse(value);
  if (!error) return data;
  throw new UsageError(error.issues.map(({ path, message }) => `${path.join('.')}: ${message}.`).join('\n'), {
    option,
  });
}
