import { type ErrorCode, type ErrorSubject, ShiboriError, UsageError } from '../errors.js';
import { defined } from '../values.js';

/** Holds an error on its way from one thread to another, which would lose its class. */
export interface PackedError extends ErrorSubject {
  readonly kind: 'usage' | 'shibori' | 'other';
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code?: ErrorCode;
}

/** Packs an error as plain data. */
export function packError(error: unknown): PackedError {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  if (!(error instanceof ShiboriError)) return { kind: 'other', name, message, stack };
  const { code, file, node, option } = error;
  return { kind: error instanceof UsageError ? 'usage' : 'shibori', name, message, stack, code, file, node, option };
}

/** Unpacks an error; one of another class keeps its name and the stack of its own thread. */
export function unpackError({ kind, name, message, stack, code, file, node, option }: PackedError): Error {
  if (kind === 'usage') return new UsageError(message, { file, node, option });
  if (kind === 'shibori' && code) return new ShiboriError(message, { code, file, node, option });
  return Object.assign(new Error(message), { name, ...defined({ stack }) });
}
