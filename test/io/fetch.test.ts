import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type DownloadOptions, download } from '../../src/io/download.js';
import { downloads, fetchNamed, getCacheFolder } from '../../src/io/named-downloads.js';

const content = randomBytes(300_000);
const sha256 = { algorithm: 'sha256', hex: createHash('sha256').update(content).digest('hex') } as const;
const md5 = { algorithm: 'md5', hex: createHash('md5').update(content).digest('hex') } as const;

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
let handle: Handler = () => undefined;
const ranges: (string | undefined)[] = [];
const server = createServer((request, response) => {
  ranges.push(request.headers.range);
  handle(request, response);
});

let url = '';
let folder = '';
let destination = '';
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/weights.bin`;
});
afterAll(() => server.close());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shibori-fetch-'));
  destination = join(folder, 'weights.bin');
  ranges.length = 0;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const options = (more: Partial<DownloadOptions> = {}): DownloadOptions => ({
  url,
  digest: sha256,
  sizeBytes: content.length,
  destination,
  retryDelayMs: 1,
  ...more,
});

/** A well-behaved server of `bytes`, which drops the connection after `dropAfter` bytes of an answer. */
function serving(bytes: Uint8Array, more: { etag?: string; dropAfter?: () => number | undefined } = {}): Handler {
  const etag = more.etag ?? '"one"';
  return (request, response) => {
    const first = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const partial = first > 0 && request.headers['if-range'] === etag;
    const body = bytes.subarray(partial ? first : 0);
    response.writeHead(partial ? 206 : 200, {
      etag,
      'content-length': body.length,
      ...(partial ? { 'content-range': `bytes ${first}-${bytes.length - 1}/${bytes.length}` } : {}),
    });
    const end = more.dropAfter?.();
    if (end === undefined) response.end(body);
    else response.write(body.subarray(0, end), () => setTimeout(() => response.destroy(), 20));
  };
}

/** A drop after 100,000 bytes of the first answer, none later. */
function dropsOnce(): () => number | undefined {
  let drops = 1;
  return () => (drops-- > 0 ? 100_000 : undefined);
}

describe('download', () => {
  it('writes the file whole, tells its progress and leaves nothing beside it', async () => {
    handle = serving(content);
    const seen: number[] = [];
    await download(options({ onProgress: (done, total) => seen.push(done / total) }));
    expect(content.equals(readFileSync(destination))).toBe(true);
    expect(readdirSync(folder)).toEqual(['weights.bin']);
    expect(seen.at(-1)).toBe(1);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  it('goes on by itself when the connection breaks', async () => {
    handle = serving(content, { dropAfter: dropsOnce() });
    await download(options({ digest: md5 }));
    expect(content.equals(readFileSync(destination))).toBe(true);
    expect(ranges).toEqual([undefined, 'bytes=100000-']);
  });

  it('goes on in a later run where an earlier one stopped', async () => {
    handle = serving(content, { dropAfter: dropsOnce() });
    await expect(download(options({ attempts: 1 }))).rejects.toThrow(
      /100,000 bytes of 300,000 bytes have come\). The part downloaded so far is kept: run it again/,
    );
    expect(readdirSync(folder).sort()).toEqual(['weights.bin.part', 'weights.bin.part.json']);
    await download(options());
    expect(content.equals(readFileSync(destination))).toBe(true);
    expect(ranges).toEqual([undefined, 'bytes=100000-']);
    expect(readdirSync(folder)).toEqual(['weights.bin']);
  });

  it('starts over when the server ignores ranges', async () => {
    const drop = dropsOnce();
    handle = (request, response) => {
      delete request.headers.range;
      serving(content, { dropAfter: drop })(request, response);
    };
    await download(options());
    expect(content.equals(readFileSync(destination))).toBe(true);
    expect(ranges).toEqual([undefined, 'bytes=100000-']);
  });

  it('starts over when the file on the server has changed since', async () => {
    handle = serving(randomBytes(content.length), { etag: '"old"', dropAfter: dropsOnce() });
    await expect(download(options({ attempts: 1 }))).rejects.toThrow(/kept/);
    handle = serving(content, { etag: '"new"' });
    await download(options());
    expect(content.equals(readFileSync(destination))).toBe(true);
  });

  it('does not go on with a part whose version is unknown, or with one that is too long', async () => {
    handle = serving(content);
    writeFileSync(`${destination}.part`, 'something else');
    await download(options());
    expect(ranges).toEqual([undefined]);
    rmSync(destination);
    writeFileSync(`${destination}.part`, new Uint8Array(content.length + 1));
    writeFileSync(`${destination}.part.json`, JSON.stringify({ url, validator: '"one"' }));
    await download(options());
    expect(content.equals(readFileSync(destination))).toBe(true);
  });

  it('only checks a part that was complete already', async () => {
    handle = serving(content);
    writeFileSync(`${destination}.part`, content);
    writeFileSync(`${destination}.part.json`, JSON.stringify({ url, validator: '"one"' }));
    await download(options());
    expect(ranges).toEqual([]);
    expect(readdirSync(folder)).toEqual(['weights.bin']);
  });

  it('removes a file of the wrong checksum and says so, also when a part of it was resumed', async () => {
    handle = serving(content, { dropAfter: dropsOnce() });
    const wrong = { algorithm: 'sha256', hex: '0'.repeat(64) } as const;
    await expect(download(options({ digest: wrong }))).rejects.toThrow(
      new RegExp(`sha256 checksum is ${sha256.hex}, expected 0{64}\\. The download was removed`),
    );
    expect(ranges).toHaveLength(2);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('notices a part that was damaged between two runs', async () => {
    handle = serving(content, { dropAfter: dropsOnce() });
    await expect(download(options({ attempts: 1 }))).rejects.toThrow(/kept/);
    const part = readFileSync(`${destination}.part`);
    writeFileSync(`${destination}.part`, part.fill(0, 10, 20));
    await expect(download(options())).rejects.toThrow(/checksum/);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('gives up at once on 404, and after some attempts on 503', async () => {
    handle = (_, response) => response.writeHead(404).end();
    await expect(download(options())).rejects.toThrow(/weights\.bin: the server answered 404 Not Found/);
    expect(ranges).toHaveLength(1);
    handle = (_, response) => response.writeHead(503).end();
    await expect(download(options({ attempts: 3 }))).rejects.toThrow(/answered 503 \(0 bytes of 300,000 bytes/);
    expect(ranges).toHaveLength(4);
  });

  it('starts over when the server says that the range cannot be had', async () => {
    writeFileSync(`${destination}.part`, content.subarray(0, 1000));
    writeFileSync(`${destination}.part.json`, JSON.stringify({ url, validator: '"one"' }));
    const whole = serving(content);
    handle = (request, response) => (request.headers.range ? response.writeHead(416).end() : whole(request, response));
    await download(options());
    expect(content.equals(readFileSync(destination))).toBe(true);
  });

  it('refuses another file: a wrong length, more bytes than there should be, a range that was not asked for', async () => {
    handle = serving(content.subarray(1));
    await expect(download(options())).rejects.toThrow(/offers 299,999 bytes, expected 300,000/);
    handle = (_, response) => {
      response.writeHead(200);
      response.write(content);
      response.end(content);
    };
    await expect(download(options())).rejects.toThrow(/sends more than the 300,000 bytes/);
    expect(readdirSync(folder)).toEqual([]);
    writeFileSync(`${destination}.part`, content.subarray(0, 1000));
    writeFileSync(`${destination}.part.json`, JSON.stringify({ url, validator: '"one"' }));
    handle = (_, response) => response.writeHead(206, { 'content-range': 'bytes 0-299999/300000' }).end(content);
    await expect(download(options())).rejects.toThrow(/asked for the bytes from 1000/);
    expect(existsSync(destination)).toBe(false);
  });

  it('says when nobody answers', async () => {
    await expect(download(options({ url: 'http://127.0.0.1:9/x', attempts: 2 }))).rejects.toThrow(
      /Downloading http:\/\/127\.0\.0\.1:9\/x: .*0 bytes of/,
    );
  });

  it('stops when it is told to, and keeps what has come', async () => {
    const controller = new AbortController();
    handle = serving(content, { dropAfter: () => 100_000 });
    const stopped = download(options({ signal: controller.signal, onProgress: () => controller.abort() }));
    await expect(stopped).rejects.toHaveProperty('name', 'AbortError');
    expect(existsSync(destination)).toBe(false);
    expect(existsSync(`${destination}.part`)).toBe(true);
  });

  it('asks the disk before it asks the server', async () => {
    await expect(download(options({ sizeBytes: 2 ** 60 }))).rejects.toThrow(
      /too full \([\d,]+ bytes needed, [\d,]+ bytes free/,
    );
    expect(ranges).toEqual([]);
  });
});

describe('fetchNamed', () => {
  const table = {
    tiny: { url: 'http://127.0.0.1:9/none', file: 'weights.bin', sizeBytes: content.length, digest: md5 },
  };

  it('loads from a mirror, once', async () => {
    handle = serving(content);
    const baseUrl = url.replace('/weights.bin', '/');
    expect(await fetchNamed('tiny', { table, baseUrl, destination })).toBe(destination);
    expect(await fetchNamed('tiny', { table, baseUrl, destination: folder })).toBe(destination);
    expect(ranges).toHaveLength(1);
  });

  it('never overwrites another file', async () => {
    writeFileSync(destination, 'mine');
    await expect(fetchNamed('tiny', { table, destination })).rejects.toThrow(/exists, but is not that file/);
    expect(readFileSync(destination, 'utf8')).toBe('mine');
  });

  it('knows the data and the model of the study, and helps with typos', async () => {
    expect(downloads['tiny-imagenet']?.sizeBytes).toBe(248_100_043);
    expect(downloads['vgg16-imagenet']?.digest.hex).toMatch(/^397923af[0-9a-f]{56}$/);
    await expect(fetchNamed('tiny-imagnet')).rejects.toThrow(/Did you mean "tiny-imagenet"\? Known names: /);
    await expect(fetchNamed('constructor')).rejects.toThrow(/Nothing to fetch is called "constructor"/);
  });

  it('keeps downloads in the cache folder', () => {
    expect(getCacheFolder({ SHIBORI_HOME: '/data/shibori' })).toBe('/data/shibori');
    expect(getCacheFolder({})).toBe(join(homedir(), '.cache', 'shibori'));
  });
});
