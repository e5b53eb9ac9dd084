import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { readModelConfigs } from '../../../src/io/models/config-files.js';
import { openModel } from '../../../src/io/models/model-file.js';
import { identityGraph, rawFile } from '../../formats/onnx-models.js';
import { refusalOf } from '../../support/refusal.js';

const all = mkdtempSync(join(tmpdir(), 'shibori-links-'));
afterAll(() => rmSync(all, { recursive: true, force: true }));
let count = 0;
let folder = all;
beforeEach(() => {
  folder = join(all, String(count++));
});

const put = (path: string, content: Uint8Array | string) => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), content);
};
const link = (path: string, target: string) => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  symlinkSync(target, join(folder, path));
};

/** A model of one weight that is in the file of this name. */
function modelWith(location: string): Uint8Array {
  const externalData = [{ key: 'location', value: location }];
  return rawFile(
    identityGraph({ initializer: [{ name: 'w', dataType: 1, dims: [2], dataLocation: 1, externalData }] }),
  );
}
const weights = new Uint8Array(Float32Array.of(1.5, -2).buffer);

const open = async (path: string) => openModel(join(folder, path));
async function refusal(path: string): Promise<string> {
  return (await refusalOf(open(path))).message;
}

describe('A model behind links', () => {
  it('in the cache of a hub takes its data and its configuration from the links next to it', async () => {
    put('blobs/1', modelWith('m.onnx.data'));
    put('blobs/2', weights);
    put('blobs/3', JSON.stringify({ image_mean: [0.1, 0.2, 0.3], image_std: [1, 1, 1] }));
    link('snapshots/x/m.onnx', '../../blobs/1');
    link('snapshots/x/m.onnx.data', '../../blobs/2');
    link('snapshots/x/preprocessor_config.json', '../../blobs/3');
    expect((await open('snapshots/x/m.onnx')).notes.join()).not.toContain('link');
    const [layer] = readModelConfigs(join(folder, 'snapshots/x/m.onnx')).layers;
    expect(layer?.from).toBe(join(folder, 'snapshots/x/preprocessor_config.json'));
    expect(layer?.parts.normalization).toMatchObject({ mean: [0.1, 0.2, 0.3] });
    put('blobs/4', modelWith('onnx/w.bin'));
    link('snapshots/x/n.onnx', '../../blobs/4');
    link('snapshots/x/onnx/w.bin', '../../../blobs/2');
    await open('snapshots/x/n.onnx');
  });

  it('takes its data from next to the real file, through as many links as there are', async () => {
    put('models/m.onnx', modelWith('m.data'));
    put('models/m.data', weights);
    link('mine/first.onnx', '../models/m.onnx');
    link('second.onnx', 'mine/first.onnx');
    await open('second.onnx');
    link('other/m.data', '../models/m.data');
    link('other/m.onnx', '../models/copy.onnx');
    put('models/copy.onnx', modelWith('m.data'));
    rmSync(join(folder, 'models/m.data'));
    expect(await refusal('other/m.onnx')).toMatch(/"m\.data" is a link to a file that is not there/);
  });

  it('may have data that the person linked to from elsewhere: a note says where', async () => {
    put('disk/weights.bin', weights);
    put('model/m.onnx', modelWith('m.data'));
    link('model/m.data', '../disk/weights.bin');
    const { notes } = await open('model/m.onnx');
    expect(notes.join()).toMatch(/External data "m\.data" of the model are a link to .*disk\/weights\.bin/);
  });

  it('may not reach out of its folder by a path of its own', async () => {
    put('secret/w.bin', weights);
    put('model/m.onnx', modelWith('../secret/w.bin'));
    expect(await refusal('model/m.onnx')).toMatch(/"\.\.\/secret\/w\.bin", leads out of the folder/);
    put('model/n.onnx', modelWith(join(folder, 'secret/w.bin')));
    expect(await refusal('model/n.onnx')).toMatch(/is absolute/);
    link('model/sub', '../secret');
    put('model/o.onnx', modelWith('sub/w.bin'));
    expect(await refusal('model/o.onnx')).toMatch(/"sub\/w\.bin" lies outside.*the folder "sub" in it is a link/);
  });

  it('is refused where its data are a device or a folder', async () => {
    put('m.onnx', modelWith('m.data'));
    link('m.data', '/dev/zero');
    expect(await refusal('m.onnx')).toMatch(/"m\.data" is no file but a device or pipe: \/.*m\.data/);
    rmSync(join(folder, 'm.data'));
    mkdirSync(join(folder, 'm.data'));
    expect(await refusal('m.onnx')).toMatch(/no file but a folder/);
  });
});
