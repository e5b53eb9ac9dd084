import { lookUp } from './allowed-calls.js';
import { ElementType, type Fail, type PickleValue, quote, Storage } from './pickle-values.js';

/** How protocol 0 writes an identifier: as Python shows the tuple. */
const SHOWN_STORAGE = /^\('storage', <class '([\w.]+)\.(\w+)'>, '([^'\\]*)', '[^'\\]*', (\d{1,16})(, None)?\)$/;

/**
 * The object outside the pickle that a persistent identifier names. Storages: `('storage', class, key, device, length)`,
 * in old files followed by `None`. Classes of modules, in old files: `('module', class, file, source)`.
 *
 * @throws ShiboriError for any other identifier.
 */
export function parsePersistentId(id: PickleValue, fail: Fail): PickleValue {
  const [kind, type = null, key, , length, part = null] = parseStorageParts(id);
  if (kind === 'module') return type;
  const valid =
    kind === 'storage' && type instanceof ElementType && typeof key === 'string' && Number.isSafeInteger(length);
  if (!valid || typeof length !== 'number' || length < 0) {
    throw fail('its pickle refers to something outside it that is not a storage of elements. It is damaged.');
  }
  if (part !== null) throw fail(`its storage ${quote(key)} is a part of another one, which is not supported.`);
  return new Storage(key, type, length);
}

function parseStorageParts(id: PickleValue): readonly PickleValue[] {
  if (Array.isArray(id)) return id;
  const shown = typeof id === 'string' ? SHOWN_STORAGE.exec(id) : null;
  if (shown === null) return [];
  const [, module = '', name = '', key = '', length] = shown;
  return ['storage', lookUp(module, name), key, null, Number(length)];
}

/** Size of a storage in bytes, as the pickle claims it. Throws for elements of unknown size. */
export function countClaimedBytes({ type, length }: Storage, fail: Fail): number {
  if (type.bytes !== undefined) return length * type.bytes;
  throw fail(`elements of type ${type.name} are not supported. Convert the model in Python: model.float().`);
}
