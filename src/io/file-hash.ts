import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { ShiboriError } from '../errors.js';
import type { FileOrigin } from '../report/provenance-html.js';

/**
 * Hashes a file with SHA-256, without holding it in memory.
 *
 * @throws ShiboriError when it cannot be read.
 */
export async function hashFile(file: string): Promise<FileOrigin> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(file)) {
      hash.update(chunk as Uint8Array);
      bytes += (chunk as Uint8Array).length;
    }
  } catch (error) {
    throw new ShiboriError(
      `Hashing ${file} for the report: ${error instanceof Error ? error.message : String(error)}.`,
      { code: 'file-not-found', file, cause: error },
    );
  }
  return { name: basename(file), bytes, sha256: hash.digest('hex') };
}
