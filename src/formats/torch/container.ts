import type { Fail, PickleValue, Storage } from './pickle-values.js';

/** The advice for a file that is not as it was written. */
export const COPY_AGAIN = 'It is cut short or damaged: copy or download it again.';

/** The content of a PyTorch file: the pickled object, and the bytes of the storages it refers to. */
export interface Container {
  readonly format: 'zip' | 'legacy';
  readonly value: PickleValue;
  /** Names that the pickles call and that nothing here stands for. None was called. */
  readonly called: ReadonlySet<string>;
  /** Exactly the bytes of a storage; each is read once. Throws when the file holds more or fewer. */
  readonly readBytes: (storage: Storage) => Promise<Uint8Array>;
  /** Parts of the file that are not read, for the list of what was ignored. */
  readonly ignored: readonly string[];
}

/** What opens one of the two file formats. */
export type ContainerOpener = (bytes: Uint8Array, fail: Fail) => Promise<Container> | Container;
