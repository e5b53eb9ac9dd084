/*
 * The format of torch.save before PyTorch 1.6: pickles of a magic number, a protocol number, facts about the machine,
 * the object and the keys of its storages; then for each key the number of elements (int64) and the elements.
 */
import { ByteReader } from './byte-reader.js';
import { COPY_AGAIN, type Container } from './container.js';
import { type Fail, type PickleValue, quote, Storage } from './pickle-values.js';
import { countClaimedBytes, parsePersistentId } from './storage.js';
import { unpickle } from './unpickle.js';

const TORCH_MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

/** How the magic number begins: as protocols 2 and later write it, or as a line of text. */
const STARTS = ['\x80', 'L119547037146038801333356L'];

/** Whether a file begins as one of the old format, or as another pickle. */
export function isLegacyFile(bytes: Uint8Array): boolean {
  const start = String.fromCharCode(...bytes.subarray(0, 32));
  return STARTS.some((text) => start.startsWith(text));
}

/** Reads a file of the old format. */
export function openLegacy(bytes: Uint8Array, fail: Fail): Container {
  let position = 0;
  const storages = new Map<string, Storage>();
  const called = new Set<string>();
  const next = (persistent: (id: PickleValue) => PickleValue): PickleValue => {
    const { value, end, called: names } = unpickle(bytes, position, { fail, persistent });
    for (const name of names) called.add(name);
    position = end;
    return value;
  };
  const nothingOutside = () => {
    throw fail('it refers to storages before the object that has them. It is damaged.');
  };

  if (next(nothingOutside) !== TORCH_MAGIC) {
    throw fail(
      'it is a Python pickle, but not of torch.save. Save it in Python: torch.save(state_dict, "weights.pt").',
    );
  }
  const protocol = next(nothingOutside);
  if (protocol !== PROTOCOL) throw fail(`it is of protocol ${quote(String(protocol))}; only ${PROTOCOL} is known.`);
  const machine = next(nothingOutside);
  if (!(machine instanceof Map) || machine.get('little_endian') !== true) {
    throw fail('it was not written on a little-endian machine, which is not supported. Save it again on another one.');
  }
  const value = next((id) => {
    const storage = parsePersistentId(id, fail);
    if (!(storage instanceof Storage)) return storage;
    const known = storages.get(storage.key);
    if (known === undefined) storages.set(storage.key, storage);
    else if (known.length !== storage.length || known.type !== storage.type) {
      throw fail(`its storage ${quote(storage.key)} is described in two ways. It is damaged.`);
    }
    return known ?? storage;
  });
  const keys = next(nothingOutside);
  if (!Array.isArray(keys)) throw fail(`its list of storages is missing. ${COPY_AGAIN}`);

  const reader = new ByteReader(bytes, position, fail);
  const elements = new Map<string, Uint8Array>();
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined;
    if (storage === undefined || elements.has(storage.key)) throw fail(`its list of storages is wrong. ${COPY_AGAIN}`);
    const length = reader.int64();
    if (length !== BigInt(storage.length)) {
      throw fail(
        `storage ${quote(storage.key)} should have ${storage.length} elements, found ${length}. ${COPY_AGAIN}`,
      );
    }
    elements.set(storage.key, reader.slice(countClaimedBytes(storage, fail)));
  }
  const rest = bytes.length - reader.position;
  return {
    format: 'legacy',
    value,
    called,
    ignored: rest > 0 ? [`${rest} bytes after the last storage`] : [],
    readBytes: async (storage) => {
      const found = elements.get(storage.key);
      if (found === undefined) throw fail(`the elements of storage ${quote(storage.key)} are missing. ${COPY_AGAIN}`);
      // Views of elements need an aligned start.
      return found.slice();
    },
  };
}
