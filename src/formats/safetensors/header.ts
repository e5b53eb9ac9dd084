/*
 * The JSON header of a safetensors file. `JSON.parse` lets the last of two equal keys win, which would drop a tensor
 * silently, so the text is looked through for them.
 */
import type { ShiboriError } from '../../errors.js';

type Fail = (problem: string) => ShiboriError;

const DAMAGED = 'It is damaged: copy or download it again.';

/**
 * The header as an object.
 *
 * @throws ShiboriError for text that is not UTF-8, not a JSON object, or has a key twice: naming the entry.
 */
export function parseHeader(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  const text = decodeHeaderText(bytes, fail);
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    throw fail(`its header is not JSON text (${String(error)}). ${DAMAGED}`);
  }
  // Not zod's record: it drops names like __proto__, and nothing may be dropped silently.
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw fail(`its header is not a JSON object. ${DAMAGED}`);
  }
  const twice = findDuplicateKey(text);
  if (twice === undefined) return { ...header };
  const [entry, ...inner] = twice;
  const what =
    inner.length === 0
      ? `its header has the tensor ${JSON.stringify(entry)} twice`
      : `the description of ${JSON.stringify(entry)} in its header has ${JSON.stringify(inner.join('.'))} twice`;
  throw fail(`${what}, and it is unclear which of the two counts. Do not trust it; write it again where it was made.`);
}

function decodeHeaderText(bytes: Uint8Array, fail: Fail): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // The text before the first broken character, for the entry that it is in.
    const start = new TextDecoder().decode(bytes).split('\ufffd', 1)[0] ?? '';
    const entry = /"([^"\\]{1,200})"\s*:\s*\{[^{}]*$/.exec(start.slice(-1000))?.[1];
    const where = entry === undefined ? '' : `, in or after the entry ${JSON.stringify(entry)}`;
    throw fail(`its header is not JSON text: it is not UTF-8 at character ${start.length}${where}. ${DAMAGED}`);
  }
}

/** The path to a key that an object of a JSON text has twice; `undefined` where there is none. `text` must be valid. */
export function findDuplicateKey(text: string): string[] | undefined {
  /** The objects and lists (`undefined`) around the position, with the keys seen so far. */
  const keys: (Set<string> | undefined)[] = [];
  const path: string[] = [];
  let isKeyNext = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '{' || character === '[') {
      isKeyNext = character === '{';
      keys.push(isKeyNext ? new Set() : undefined);
      path.push('');
    } else if (character === '}' || character === ']') {
      keys.pop();
      path.pop();
      isKeyNext = false;
    } else if (character === ',') isKeyNext = keys.at(-1) !== undefined;
    else if (character === '"') {
      const end = findStringEnd(text, at);
      const known = keys.at(-1);
      if (isKeyNext && known) {
        const key: string = JSON.parse(text.slice(at, end));
        path[path.length - 1] = key;
        if (known.has(key)) return path;
        known.add(key);
        isKeyNext = false;
      }
      at = end - 1;
    }
  }
  return undefined;
}

/** The position after a string that begins at `start`. */
function findStringEnd(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}
