import { readFileSync } from 'node:fs';

/** What PyTorch found in a file that make.py wrote: dimensions and elements by name. */
export type Described = Readonly<
  Record<string, { readonly dims: readonly number[]; readonly values: readonly number[] }>
>;

const folder = new URL('../golden/checkpoints/', import.meta.url);
const all: Readonly<Record<string, Described>> = JSON.parse(readFileSync(new URL('expected.json', folder), 'utf8'));

/** A file that make.py wrote. */
export function checkpoint(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(name, folder)));
}

/** What PyTorch found in it. */
export function expectedIn(name: string): Described {
  const found = all[name];
  if (found === undefined) throw new Error(`expected.json has no "${name}"`);
  return found;
}
