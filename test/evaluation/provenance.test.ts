import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { listModelFiles } from '../../src/evaluation/collect-provenance.js';
import { hashFile } from '../../src/io/file-hash.js';
import { openModel } from '../../src/io/models/model-file.js';
import { identityGraph, rawFile } from '../formats/onnx-models.js';

const folder = mkdtempSync(join(tmpdir(), 'shibori-provenance-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('The provenance of a model', () => {
  it('has a SHA-256 of its file and of the files with its external data', async () => {
    const externalData = [{ key: 'location', value: 'm.data' }];
    const tensor = { name: 'w', dataType: 1, dims: [2], dataLocation: 1, externalData };
    writeFileSync(join(folder, 'm.onnx'), rawFile(identityGraph({ initializer: [tensor] })));
    writeFileSync(join(folder, 'm.data'), new Uint8Array(Float32Array.of(1.5, -2).buffer));
    const files = listModelFiles(await openModel(join(folder, 'm.onnx')));
    expect(files.map((file) => file.split('/').at(-1))).toEqual(['m.onnx', 'm.data']);
    // sha256sum of the eight bytes 00 00 c0 3f 00 00 00 c0.
    expect(await hashFile(files[1] ?? '')).toEqual({
      name: 'm.data',
      bytes: 8,
      sha256: '252b3318179cc24998f3670913d52d39085cf65b0dfa98fa523ffeab4b6683fe',
    });
  });

  it('names the file that is not there any more', async () => {
    await expect(hashFile(join(folder, 'gone.onnx'))).rejects.toThrow(/Hashing .*gone\.onnx for the report: .*ENOENT/);
  });
});
