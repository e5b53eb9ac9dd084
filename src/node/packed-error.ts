import { ShiboriError, UsageError } from '../errors.js';

/** An error on its way from one thread to another, which would lose its class. */
export interface PackedError {
  readonly kind: 'usage' | 'shibori' | 'other';
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
}

/** An error as plain data. */
export function packError(error: unknown): PackedError {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  const kind = error instanceof UsageError ? 'usage' : error instanceof ShiboriError ? 'shibori' : 'other';
  return { kind, name, message, stack };
}

/** The error again; one that is not ours keeps its name and the stack of its own thread. */
export function unpackError({ kind, name, message, stack }: PackedError): Error {
  if (kind === 'usage') return new UsageError(message);
  if (kind === 'shibori') return new ShiboriError(message);
  return Object.assign(new Error(message), { name, ...(stack === undefined ? {} : { stack }) });
}
