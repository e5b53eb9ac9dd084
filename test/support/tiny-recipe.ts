import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { saveModel } from '../../src/io/models/save-model.js';
import { buildInitialVgg } from '../../src/models/initial-vgg.js';
import { seeded } from '../../src/tensor/random.js';

/** Side of the tiny study's images. */
export const SIDE = 8;
const CLASSES = ['circle', 'square', 'star'];

/** A tiny network for the tiny images: one block, a classifier of 64 → 12 → 3. */
export const tinyShape = {
  channels: [[4]],
  classifier: [12],
  classes: CLASSES.length,
  inputSize: SIDE,
  prefix: 'net.',
};

/** Writes an ImageFolder of noisy PNGs whose brightest channel is their class; `count` images a class. */
export async function writeImages(folder: string, count: number): Promise<void> {
  for (const [label, name] of CLASSES.entries()) {
    await mkdir(join(folder, name), { recursive: true });
    for (let i = 0; i < count; i++) {
      const random = seeded(label, i);
      const data = Uint8Array.from(
        { length: SIDE * SIDE * 3 },
        (_, at) => random.integer(120) + (at % 3 === label ? 120 : 0),
      );
      await sharp(data, { raw: { width: SIDE, height: SIDE, channels: 3 } })
        .png()
        .toFile(join(folder, name, `${i}.png`));
    }
  }
}

/** Writes the tiny network as `net.pt`, `net.onnx` and a plan for it; returns the folder's files. */
export async function writeTinyStudy(
  folder: string,
  count = 12,
): Promise<{ model: string; onnx: string; images: string; plan: string }> {
  const files = {
    model: join(folder, 'net.pt'),
    onnx: join(folder, 'net.onnx'),
    images: join(folder, 'images'),
    plan: join(folder, 'plan.yaml'),
  };
  const model = { graph: buildInitialVgg(tinyShape, 7), info: { architecture: 'vgg' } };
  await saveModel(model, files.model);
  await saveModel(model, files.onnx);
  await writeImages(files.images, count);
  await writeFile(files.plan, 'layers:\n  classifier.0: { layout: tt, in: [8, 8], out: [3, 4], bonds: [3, 6, 8] }\n');
  return files;
}
