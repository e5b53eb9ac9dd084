/*
 * The zip format of torch.save (PyTorch 1.6 and later): `NAME/data.pkl` and one stored entry `NAME/data/KEY` a storage.
 */
import {
  ERR_INVALID_CRC32,
  ERR_UNSAFE_FILENAME,
  type FileEntry,
  Uint8ArrayReader,
  Uint8ArrayWriter,
  ZipReader,
} from '@zip.js/zip.js';
import { ShiboriError } from '../../errors.js';
import { COPY_AGAIN, type Container } from './container.js';
import { type Fail, type PickleValue, quote } from './pickle-values.js';
import { countClaimedBytes, parsePersistentId } from './storage.js';
import { unpickle } from './unpickle.js';

const STORED = 0;

/** Takes a zip file of torch.save apart. Entries are checked by their CRC when they are read. */
export async function openArchive(bytes: Uint8Array, fail: Fail): Promise<Container> {
  const entries = await listEntries(bytes, fail);
  const root = findArchiveRoot(entries, fail);
  const read = (name: string) =>
    readArchiveEntry(entries.get(`${root}/${name}`), `${root}/${name}`, bytes.length, fail);

  if (entries.has(`${root}/byteorder`)) {
    const order = new TextDecoder().decode(await read('byteorder')).trim();
    if (order !== 'little') throw fail(`its byte order is ${quote(order)}; only "little" is supported. Save it again.`);
  }
  const persistent = (id: PickleValue) => parsePersistentId(id, fail);
  const { value, called } = unpickle(await read('data.pkl'), 0, { fail, persistent });
  return {
    format: 'zip',
    value,
    called,
    ignored: [],
    readBytes: async (storage) => {
      const claimed = countClaimedBytes(storage, fail);
      const found = await read(`data/${storage.key}`);
      if (found.length === claimed) return found;
      throw fail(`storage ${quote(storage.key)} should have ${claimed} bytes, found ${found.length}. ${COPY_AGAIN}`);
    },
  };
}

async function listEntries(bytes: Uint8Array, fail: Fail): Promise<Map<string, FileEntry>> {
  const reader = new ZipReader(new Uint8ArrayReader(bytes), {
    useWebWorkers: false,
    filenameValidation: 'strict',
    checkCrc32: true,
    // Else a small file could hold the same bytes under many names.
    checkOverlappingEntry: true,
  });
  const entries = new Map<string, FileEntry>();
  try {
    for (const entry of await reader.getEntries()) {
      if (entry.directory) continue;
      if (entries.has(entry.filename))
        throw fail(`its zip archive holds ${quote(entry.filename)} twice. Do not trust it.`);
      entries.set(entry.filename, entry);
    }
  } catch (error) {
    throw makeZipError(error, fail);
  }
  return entries;
}

/** The one folder that everything is in. */
function findArchiveRoot(entries: ReadonlyMap<string, FileEntry>, fail: Fail): string {
  const names = [...entries.keys()];
  const pickle = names.find((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickle === undefined) {
    const some = names.slice(0, 3).map(quote).join(', ');
    throw fail(
      `it is a zip archive, but not of torch.save: it has no NAME/data.pkl among its ${names.length} entries ` +
        `(${some}${names.length > 3 ? ', …' : ''}). Give the checkpoint file itself.`,
    );
  }
  const root = pickle.slice(0, pickle.indexOf('/'));
  if (names.some((name) => name === `${root}/constants.pkl` || name.startsWith(`${root}/code/`))) {
    throw fail(
      'it is a TorchScript archive, a program with its weights, and only weights are read. Save them alone in Python: ' +
        'torch.save(torch.jit.load("model.pt").state_dict(), "weights.pt"); or export the model it was made from to ONNX ' +
        'with torch.onnx.export, which keeps the network too.',
    );
  }
  return root;
}

async function readArchiveEntry(
  entry: FileEntry | undefined,
  name: string,
  fileBytes: number,
  fail: Fail,
): Promise<Uint8Array> {
  const what = `entry ${quote(name)} of its zip archive`;
  if (entry === undefined) throw fail(`${what} is missing. ${COPY_AGAIN}`);
  if (entry.compressionMethod !== STORED || entry.encrypted || entry.compressedSize !== entry.uncompressedSize) {
    throw fail(`${what} is compressed or encrypted, which torch.save never does. Save it again with torch.save.`);
  }
  if (entry.uncompressedSize > fileBytes) {
    throw fail(`${what} claims ${entry.uncompressedSize} bytes, but the file has ${fileBytes}. ${COPY_AGAIN}`);
  }
  try {
    return await entry.getData(new Uint8ArrayWriter());
  } catch (error) {
    throw makeZipError(error, fail, what);
  }
}

/** Errors of the zip library, and whatever else damaged bytes make it throw, in the words of this project. */
function makeZipError(error: unknown, fail: Fail, what = 'its zip archive'): ShiboriError {
  if (error instanceof ShiboriError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (message === ERR_UNSAFE_FILENAME) {
    const name = error instanceof Error && 'filename' in error ? String(error.filename) : '';
    return fail(`its zip archive holds an entry ${quote(name)} that points outside the archive. Do not trust it.`);
  }
  if (message === ERR_INVALID_CRC32) return fail(`${what} does not match its checksum. ${COPY_AGAIN}`);
  return fail(`${what} cannot be read (${message}). ${COPY_AGAIN}`);
}
