import { UsageError } from '../../errors.js';

/** An option that a command cannot do without. Throws a UsageError that says why and names it. */
export function requireOption<T>(value: T | undefined, option: string, why: string): T {
  if (value !== undefined) return value;
  throw new UsageError(`${why}: give ${option}. Add --help for an example.`, option.includes(' ') ? {} : { option });
}
