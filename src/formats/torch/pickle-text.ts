/* Numbers and texts as protocol 0 of Python's pickle writes them: a line of ASCII each. */
import type { PickleMachine } from './pickle-machine.js';

/** Longer integers mean nothing in a model file, and take quadratic time to parse. */
const MOST_DIGITS = 1000;

/** `INT` and `LONG`: `12`, `12L`; `00` and `01` are booleans. */
export function parsePickleInteger(line: string, machine: PickleMachine): number | bigint | boolean {
  if (line === '00' || line === '01') return line === '01';
  const text = line.endsWith('L') ? line.slice(0, -1) : line;
  if (!/^[+-]?\d+$/.test(text) || text.length > MOST_DIGITS) throw machine.malformed('an integer is no integer');
  const small = Number(text);
  return Number.isSafeInteger(small) ? small : BigInt(text.replace(/^\+/, ''));
}

/** `FLOAT`: as Python shows one. */
export function parsePickleFloat(line: string, machine: PickleMachine): number {
  const special: Readonly<Record<string, number>> = { inf: Infinity, '-inf': -Infinity, nan: NaN };
  const value = Object.hasOwn(special, line) ? special[line] : Number(line);
  if (value === undefined || line === '' || (Number.isNaN(value) && line !== 'nan')) {
    throw machine.malformed('a number is no number');
  }
  return value;
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '\\': '\\', "'": "'", '"': '"' };

/** `STRING`: quoted and escaped as Python 2 shows one. */
export function parseQuotedText(line: string, machine: PickleMachine): string {
  const quoted = /^(['"])(.*)\1$/s.exec(line.trim());
  if (quoted === null) throw machine.malformed('a text is not quoted');
  return (quoted[2] as string).replace(/\\(x[0-9a-fA-F]{2}|.)/gs, (whole, code: string) =>
    code.length === 3 ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : (escapes[code] ?? whole),
  );
}

/** `UNICODE`: Latin-1, where `\uXXXX` and `\UXXXXXXXX` stand for every other character. */
export function parseUnicodeText(line: string, machine: PickleMachine): string {
  return line.replace(/\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g, (_, short?: string, long?: string) => {
    const code = Number.parseInt(short ?? long ?? '', 16);
    if (code > 0x10ffff) throw machine.malformed('a text has a character that does not exist');
    return String.fromCodePoint(code);
  });
}
