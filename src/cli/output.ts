import pc from 'picocolors';
import { withOldKeys } from './json-keys.js';
import { withFlags, withFlagsInMessages } from './option-names.js';

export { formatInteger, formatPercent } from '../report/format.js';

/** Describes where a command prints. */
export interface Output {
  /** Machine-readable output was asked for: one JSON document on standard output, nothing else. */
  readonly json: boolean;
  /** Prints the JSON document, or the text made of it for people. */
  result<T>(value: T, text: (value: T) => string): void;
  /** A remark for people, on standard error; silent with `--json` or `--quiet`. */
  note(text: string): void;
  /** A warning, on standard error, also with `--json`. */
  warn(text: string): void;
}

/** Prints a remark about a file that is read before the command starts; silent with `--json` or `--quiet`. */
export function noteEarly(options: { readonly json?: boolean; readonly quiet?: boolean }, text: string): void {
  if (options.json !== true && options.quiet !== true) process.stderr.write(`note: ${text}\n`);
}

let hasPrintedJson = false;

/** Prints the JSON document of this process; there is one only: what comes later is not printed. */
export function printJson(value: unknown): void {
  if (hasPrintedJson) return;
  hasPrintedJson = true;
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/**
 * Output to the process's streams.
 *
 * @param printLine writes a line to standard error, above a progress bar.
 */
export function createProcessOutput(
  options: { readonly json?: boolean; readonly quiet?: boolean },
  printLine: (text: string) => void,
): Output {
  const json = options.json === true;
  return {
    json,
    result(value, text) {
      const shown = withFlagsInMessages(value);
      if (json) printJson(withOldKeys(shown));
      else process.stdout.write(`${text(shown)}\n`);
    },
    note(text) {
      if (!json && options.quiet !== true) printLine(withFlags(text));
    },
    warn(text) {
      printLine(`${process.stderr.isTTY ? pc.yellow('warning:') : 'warning:'} ${withFlags(text)}`);
    },
  };
}

/** `111.7 MB` (millions of bytes). */
export function formatByteSize(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 1)} MB`;
}

/** `1.27 G`, `13.8 M`. */
export function formatEngineering(value: number): string {
  for (const [unit, size] of [
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (value >= size) return `${(value / size).toFixed(2)} ${unit}`;
  }
  return String(value);
}
