import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { requires } from '../support/requires.js';
import { caseFile, hasCases, numberAt, runJson, runText, scratch } from './support.js';

const file = (name: string) => caseFile('checkpoints', name);
const IMAGE = caseFile('scores', 'i.png');

describe('checkpoints', requires('cases', hasCases), () => {
  it('model_and_ema.pt: every verb says that model_ema is there', async () => {
    const folder = scratch();
    const model = file('model_and_ema.pt');
    const data = ['--data', caseFile('val')];
    const input = ['--input', '3,16,16'];
    const verbs = [
      ['summary', model],
      ['export', model, join(folder, 'out.onnx'), ...input],
      ['explain', model, IMAGE, '--no-picture', ...input],
      ['evaluate', model, ...data, ...input],
      ['compare', model, model, ...data, ...input],
    ];
    for (const args of verbs) {
      const { code, stdout, stderr } = await runText(args, folder);
      expect(code, `${args[0]}: ${stderr}`).toBe(0);
      expect(stdout + stderr, args[0]).toMatch(/model_ema/);
    }
  });

  it('model_and_ema.pt: --weights model_ema takes other weights than --weights model', async () => {
    const folder = scratch();
    const probability = async (key: string) => {
      const { code, json, stderr } = await runJson(
        ['explain', file('model_and_ema.pt'), IMAGE, '--no-picture', '--input', '3,16,16', '--weights', key],
        folder,
      );
      expect(code, stderr).toBe(0);
      return numberAt(json, 'images', 0, 'probability');
    };
    expect(await probability('model_ema')).not.toBe(await probability('model'));
  });

  it('model_and_ema.pt: an unknown key is refused with the nearest', async () => {
    const { code, stderr } = await runText(['summary', file('model_and_ema.pt'), '--weights', 'model_em']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/Did you mean "model_ema"/);
  });

  for (const name of ['ndarray.pt', 'path.pt', 'config.pt']) {
    it(`${name}: what is no tensor is left alone, the weights are read`, async () => {
      const { code, json, stderr } = await runJson(['summary', file(name)]);
      expect(code, stderr).toBe(0);
      expect(numberAt(json, 'parameters')).toBeGreaterThan(800);
    });
  }

  it('from_type_v2b.pt: the tensor is read; what cannot be built is the architecture, not the trust', async () => {
    const { code, stderr } = await runText(['summary', file('from_type_v2b.pt')]);
    expect(stderr).not.toMatch(/Do not trust/);
    if (code !== 0) expect(stderr).toMatch(/ONNX/);
  });

  it('weight_norm.pt: weight norm is folded', async () => {
    const { code, json, stderr } = await runJson(['summary', file('weight_norm.pt')]);
    expect(code, stderr).toBe(0);
    expect(numberAt(json, 'parameters')).toBeGreaterThan(800);
  });

  it('dup.safetensors: a key that stands twice is refused by its name', async () => {
    const { code, stderr } = await runText(['summary', file('dup.safetensors')]);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/"a"/);
    expect(stderr).toMatch(/twice|duplicate/i);
  });

  it('a Hugging Face cache: links to blobs are followed, for the model and its external data', async () => {
    const folder = scratch();
    const [blobs, snapshot] = [join(folder, 'blobs'), join(folder, 'snapshots', 'x')];
    for (const made of [blobs, snapshot]) mkdirSync(made, { recursive: true });
    cpSync(caseFile('inputs', 'nchw.onnx'), join(blobs, '1'));
    symlinkSync('../../blobs/1', join(snapshot, 'm.onnx'));
    writeFileSync(join(blobs, '3'), JSON.stringify({ id2label: { 0: 'a', 1: 'b', 2: 'c', 3: 'd', 4: 'e' } }));
    symlinkSync('../../blobs/3', join(snapshot, 'config.json'));
    const { code, json, stderr } = await runJson(['summary', join(snapshot, 'm.onnx')]);
    expect(code, stderr).toBe(0);
    expect(numberAt(json, 'classes', 'count')).toBe(5);
  });
});
