import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { ShiboriError } from '../errors.js';
import type { FileOrigin } from '../report/provenance-html.js';

/** Computes the digest (hexadecimal) and the size of a file, without holding it in memory. */
export async function digestFile(
  file: string,
  algorithm: string,
): Promise<{ readonly digest: string; readonly bytes: number }> {
  const hash = createHash(algorithm);
  let bytes = 0;
  for await (const chunk of createReadStream(file)) {
    hash.update(chunk as Uint8Array);
    bytes += (chunk as Uint8Array).length;
  }
  return { digest: hash.digest('hex'), bytes };
}

/**
 * Hashes a file with SHA-256, without holding it in memory.
 *
 * @throws ShiboriError when it cannot be read.
 */
export async function hashFile(file: string): Promise<FileOrigin> {
  try {
    const { digest, bytes } = await digestFile(file, 'sha256');
    return { name: basename(file), bytes, sha256: digest };
  } catch (error) {
    throw new ShiboriError(
      `Hashing ${file} for the report: ${error instanceof Error ? error.message : String(error)}.`,
      { code: 'file-not-found', file, cause: error },
    );
  }
}
