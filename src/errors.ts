/**
 * Lists what a ShiboriError may be about. Codes are stable: a program may branch on them, messages may change.
 *
 * | code                   | what happened                                                                    |
 * | ---------------------- | -------------------------------------------------------------------------------- |
 * | `invalid-option`       | an option has a wrong value, or names something that does not exist              |
 * | `file-not-found`       | a file or folder does not exist or cannot be opened                              |
 * | `invalid-file`         | a file is damaged, or is not of the format that it claims                        |
 * | `unsupported-file`     | a file is valid, but has a form that is not read                                 |
 * | `invalid-graph`        | a graph, node or tensor breaks a rule of ONNX                                    |
 * | `unsupported-operator` | an operator, an attribute or an operator set is not supported                    |
 * | `unsupported-model`    | a model is valid, but lacks what the task needs: images, classes, a layer        |
 * | `no-gradient`          | an operator has no gradient, or a value does not depend on what is asked for     |
 * | `invalid-data`         | images or labels cannot be read, or do not fit the model                         |
 * | `goal-unreachable`     | a goal of compression cannot be reached                                          |
 * | `slower`               | a compressed model runs slower than its original                                 |
 * | `not-finite`           | a number is NaN or infinite where it must not be                                 |
 * | `training-failed`      | a training cannot continue                                                         |
 * | `write-failed`         | a file cannot be written; what was there is unchanged                            |
 * | `download-failed`      | a download failed or has the wrong content                                       |
 * | `engine-failed`        | ONNX Runtime refused a graph or failed to run it                                 |
 */
export type ErrorCode =
  | 'invalid-option'
  | 'file-not-found'
  | 'invalid-file'
  | 'unsupported-file'
  | 'invalid-graph'
  | 'unsupported-operator'
  | 'unsupported-model'
  | 'no-gradient'
  | 'invalid-data'
  | 'goal-unreachable'
  | 'slower'
  | 'not-finite'
  | 'training-failed'
  | 'write-failed'
  | 'download-failed'
  | 'engine-failed';

/** Names what an error is about, for programs. */
export interface ErrorSubject {
  /** File that was read or written. */
  readonly file?: string | undefined;
  /** Node of a graph, by name. */
  readonly node?: string | undefined;
  /** Option of the function that was called, by its name in the library. */
  readonly option?: string | undefined;
}

/**
 * Reports a fault that a person can act on: what was being done, with which file or node, what was expected, what was
 * found, what to do next. The command line prints the message alone, without a stack.
 *
 * @example
 * ```ts
 * try {
 *   await openModel('missing.onnx');
 * } catch (error) {
 *   if (error instanceof ShiboriError) console.log(error.code, error.file); // file-not-found missing.onnx
 * }
 * ```
 */
export class ShiboriError extends Error {
  override readonly name: string = 'ShiboriError';
  readonly code: ErrorCode;
  readonly file: string | undefined;
  readonly node: string | undefined;
  readonly option: string | undefined;

  constructor(message: string, options: ErrorSubject & { readonly code: ErrorCode; readonly cause?: unknown }) {
    super(message, 'cause' in options ? { cause: options.cause } : {});
    this.code = options.code;
    this.file = options.file;
    this.node = options.node;
    this.option = options.option;
  }
}

/** Reports a mistake in a call: an unknown layer, a value out of range. The command line exits with 2. */
export class UsageError extends ShiboriError {
  override readonly name = 'UsageError';

  constructor(message: string, options: ErrorSubject & { readonly cause?: unknown } = {}) {
    super(message, { ...options, code: 'invalid-option' });
  }
}

/** Returns the same error with the file that was being read at the front of its message, where it names no file yet. */
export function addFileToError(file: string, error: unknown): unknown {
  if (!(error instanceof ShiboriError) || error.file !== undefined) return error;
  const { code, node, option } = error;
  const message = `Reading ${file}: ${error.message}`;
  if (error instanceof UsageError) return new UsageError(message, { cause: error, file, node, option });
  return new ShiboriError(message, { cause: error, code, file, node, option });
}

/** Levenshtein distance between two strings, in edits. */
function computeEditDistance(a: string, b: string): number {
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
 * @example findNearestName('clasifier.0', ['features.0', 'classifier.0']) // 'classifier.0'
 */
export function findNearestName(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = computeEditDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best !== undefined && bestDistance <= Math.max(2, Math.ceil(best.length / 2)) ? best : undefined;
}

/** `" Did you mean "x"?"` when a candidate is near, otherwise an empty string: to be appended to an error message. */
export function formatSuggestion(name: string, candidates: Iterable<string>): string {
  const near = findNearestName(name, candidates);
  return near === undefined ? '' : ` Did you mean "${near}"?`;
}
