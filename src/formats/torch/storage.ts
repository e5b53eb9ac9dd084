import { bytesPerElement } from '../../tensor/dtype.js';
import { ElementType, type Fail, quote, Storage, type Value } from './values.js';

/**
 * The storage that a persistent identifier names: `('storage', class, key, device, length)`, in old files followed by
 * `None`.
 *
 * @throws ShiboriError for any other identifier.
 */
export function storageOf(id: Value, fail: Fail): Storage {
  const [kind, type, key, , length, part = null] = Array.isArray(id) ? id : [];
  if (kind === 'module') {
    throw fail(
      'a whole model was pickled, code included; only tensors are read, and nothing in a file is run. ' +
        'Save the weights alone in Python: torch.save(model.state_dict(), "weights.pt").',
    );
  }
  const valid =
    kind === 'storage' && type instanceof ElementType && typeof key === 'string' && Number.isSafeInteger(length);
  if (!valid || typeof length !== 'number' || length < 0) {
    throw fail('its pickle refers to something outside it that is not a storage of elements. It is damaged.');
  }
  if (part !== null) throw fail(`its storage ${quote(key)} is a part of another one, which is not supported.`);
  return new Storage(key, type, length);
}

/** Size of a storage in bytes, as the pickle claims it. Throws for elements that tensors here cannot hold. */
export function claimedBytes(storage: Storage, fail: Fail): number {
  if (storage.type.dtype !== undefined) return storage.length * bytesPerElement(storage.type.dtype);
  throw fail(`elements of type ${storage.type.name} are not supported. Convert the model in Python: model.float().`);
}
