import { statSync } from 'node:fs';
import { UsageError } from '../errors.js';

/** What identifies a file under all of its names and links; `undefined` where no file can be seen. */
function findFileIdentity(path: string): string | undefined {
  try {
    const found = statSync(path, { bigint: true });
    return found.isFile() ? `${found.dev}:${found.ino}` : undefined;
  } catch {
    return undefined; // Opening or saving it says why.
  }
}

/**
 * Refuses an output that is one of the models that are read, under whatever name or link: the original would be lost, and
 * with it what the result is compared with and resumed from.
 *
 * @throws UsageError before anything is computed or written.
 */
export function refuseInputAsOutput(output: string, models: readonly (string | undefined)[]): void {
  const identity = findFileIdentity(output);
  if (identity === undefined) return;
  const same = models.find((model) => model !== undefined && findFileIdentity(model) === identity);
  if (same === undefined) return;
  throw new UsageError(
    `${output} is the model that is read (${same}) and would be overwritten. Give the result another name with -o.`,
  );
}
