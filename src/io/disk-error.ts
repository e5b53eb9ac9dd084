import { statfs } from 'node:fs/promises';

const reasonsByCode: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would be larger than this system allows',
  EROFS: 'the disk is read-only',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOENT: 'no such file or folder',
  EEXIST: 'there is a file of that name',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EISDIR: 'it is a folder',
};

/** The code of a failed system call, such as `ENOSPC`; `undefined` for any other error. */
export function getErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Free bytes for an ordinary user on the disk of `folder`, or `undefined` where the system does not tell. */
export async function findFreeBytes(folder: string): Promise<number | undefined> {
  try {
    const disk = await statfs(folder);
    return disk.bavail * disk.bsize;
  } catch {
    return undefined;
  }
}

/** A failed system call in words: `the disk is full`. */
export function describeReason(error: unknown): string {
  return reasonsByCode[getErrorCode(error) ?? ''] ?? (error instanceof Error ? error.message : String(error));
}

/** A failed write in words: `the disk is full (12,000 bytes needed, 4,096 free)`. */
export async function describeWriteError(error: unknown, folder: string, bytesNeeded: string): Promise<string> {
  const code = getErrorCode(error);
  const reason = describeReason(error);
  if (code !== 'ENOSPC' && code !== 'EDQUOT' && code !== 'EFBIG') return reason;
  const free = await findFreeBytes(folder);
  return `${reason} (${bytesNeeded} needed${free === undefined ? '' : `, ${formatBytes(free)} free`})`;
}

/** `1,234,567 bytes`. */
export function formatBytes(bytes: number): string {
  return `${bytes.toLocaleString('en-US')} bytes`;
}
