import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { formatSuggestion, ShiboriError, UsageError } from '../errors.js';
import { defined } from '../values.js';
import { type Digest, download, fileHasDigest } from './download.js';

/** Describes a file that can be downloaded by name. */
export interface NamedDownload {
  readonly url: string;
  /** What it is called on disk. */
  readonly file: string;
  readonly sizeBytes: number;
  readonly digest: Digest;
}

/** Lists the files that can be downloaded by name. */
export const downloads: Readonly<Record<string, NamedDownload>> = {
  'tiny-imagenet': {
    url: 'http://cs231n.stanford.edu/tiny-imagenet-200.zip',
    file: 'tiny-imagenet-200.zip',
    sizeBytes: 248_100_043,
    digest: { algorithm: 'md5', hex: '90528d7ca1a48142e341f4ef8d21d0de' },
  },
  'vgg16-imagenet': {
    url: 'https://download.pytorch.org/models/vgg16-397923af.pth',
    file: 'vgg16-397923af.pth',
    sizeBytes: 553_433_881,
    digest: { algorithm: 'sha256', hex: '397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0' },
  },
};

/** Where downloads and caches live: `$SHIBORI_HOME`, by default `~/.cache/shibori`. */
export function getCacheFolder(env: Readonly<Record<string, string | undefined>> = process.env): string {
  return env.SHIBORI_HOME || join(homedir(), '.cache', 'shibori');
}

/** Options of {@link fetchNamed}. */
export interface FetchOptions {
  /** A file, or a folder to put it in. Default: the cache folder. */
  readonly destination?: string;
  /** Reports how many bytes are there, of how many. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  readonly signal?: AbortSignal;
  /**
   * Another place to load from (a mirror): a URL that the file's name is appended to. Default: the environment variable
   * `SHIBORI_DOWNLOADS`, else the file's own address.
   */
  readonly baseUrl?: string;
  /** What is known by name. Default: `downloads`. */
  readonly table?: Readonly<Record<string, NamedDownload>>;
}

/**
 * Downloads a file by name unless it is there already, and checks its digest. An interrupted download is resumed where it
 * stopped when it is asked for again.
 *
 * @returns The path of the file.
 * @throws UsageError for an unknown name, ShiboriError when the file cannot be had whole and right.
 */
export async function fetchNamed(name: string, options: FetchOptions = {}): Promise<string> {
  const table = options.table ?? downloads;
  const known = Object.hasOwn(table, name) ? table[name] : undefined;
  if (!known) {
    const names = Object.keys(table);
    throw new UsageError(
      `Nothing to fetch is called "${name}".${formatSuggestion(name, names)} Known names: ${names.join(', ')}.`,
    );
  }
  const { file, sizeBytes, digest } = known;
  let destination = options.destination ?? join(getCacheFolder(), file);
  let existing = await stat(destination).catch(() => undefined);
  if (existing?.isDirectory()) {
    destination = join(destination, file);
    existing = await stat(destination).catch(() => undefined);
  }
  if (existing) {
    if (existing.size === sizeBytes && (await fileHasDigest(destination, digest))) return destination;
    throw new ShiboriError(
      `Fetching ${name}: ${destination} exists, but is not that file (its size or checksum differs). ` +
        'Delete it, or choose another destination.',
      { code: 'download-failed', file: destination },
    );
  }
  const base = options.baseUrl ?? process.env.SHIBORI_DOWNLOADS;
  await download({
    url: base ? `${base.replace(/\/$/, '')}/${file}` : known.url,
    digest,
    sizeBytes,
    destination,
    ...defined({ onProgress: options.onProgress, signal: options.signal }),
  });
  return destination;
}
