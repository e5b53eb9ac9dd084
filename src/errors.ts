/**
 * An error whose message a person can act on: what was being done, with which file or node, what was expected, what
 * was found, what to do next. The command line prints the message alone, without a stack.
 */
export class ShiboriError extends Error {
  override readonly name: string = 'ShiboriError';
  /** The file that the message names, where one is known. */
  readonly file: string | undefined;

  constructor(message: string, options: { readonly cause?: unknown; readonly file?: string } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : {});
    this.file = options.file;
  }
}

/** A mistake in how a verb was called (unknown option value, unknown layer): the command line exits with 2. */
export class UsageError extends ShiboriError {
  override readonly name = 'UsageError';
}

/** The same error with the file that was being read at the front of its message, where it names no file yet. */
export function whileReading(file: string, error: unknown): unknown {
  if (!(error instanceof ShiboriError) || error.file !== undefined) return error;
  const Same = error instanceof UsageError ? UsageError : ShiboriError;
  return new Same(`Reading ${file}: ${error.message}`, { cause: error, file });
}

/** Levenshtein distance between two strings, in edits. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}

/**
 * The candidate closest to a mistyped name, or `undefined` when none is close (more than half of its letters differ).
 *
 * @example nearest('clasifier.0', ['features.0', 'classifier.0']) // 'classifier.0'
 */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best !== undefined && bestDistance <= Math.max(2, Math.ceil(best.length / 2)) ? best : undefined;
}

/** `" Did you mean "x"?"` when a candidate is near, otherwise an empty string: to be appended to an error message. */
export function suggestion(name: string, candidates: Iterable<string>): string {
  const near = nearest(name, candidates);
  return near === undefined ? '' : ` Did you mean "${near}"?`;
}
