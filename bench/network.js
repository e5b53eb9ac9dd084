/**
 * The network and the numbers that both sides compute with: the study's VGG16 for 64×64 images and 200 classes, with
 * seeded random weights, so that no data is needed. Speed depends on shapes, not on what the weights have learnt.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeTorch } from '../dist/formats/torch/write.js';
import { buildVgg } from '../dist/models/vgg.js';
import { countElements } from '../dist/tensor/dims.js';
import { seeded } from '../dist/tensor/random.js';
import { tensor } from '../dist/tensor/tensor.js';

const SEED = 20;
const BLOCKS = [
  [64, 64],
  [128, 128],
  [256, 256, 256],
  [512, 512, 512],
  [512, 512, 512],
];
const POOLED = 7;
const HIDDEN = [512, 512];
export const CLASSES = 200;
export const SIDE = 64;
const PREFIX = 'vgg16.';

/** Uniform numbers of a stream of their own. */
export function uniform(dims, from, to, stream) {
  const random = seeded(SEED, stream);
  const data = new Float32Array(countElements(dims));
  for (let i = 0; i < data.length; i++) data[i] = random.uniform(from, to);
  return tensor('float32', dims, data);
}

/** Images as they are after normalisation, `[count, 3, 64, 64]`. */
export const images = (count) => uniform([count, 3, SIDE, SIDE], -2, 2, 1000);

/** What a frozen `features` leaves of images, `[count, 512, 2, 2]`. */
export const features = (count) => uniform([count, 512, 2, 2], 0, 2, 1001);

/** A class for each of `count` images, spread over all of them. */
export const labels = (count) => Int32Array.from({ length: count }, (_, i) => (i * 37) % CLASSES);

/** The state dict, with the keys of the study's PyTorch file. */
function stateDict() {
  const state = new Map();
  const add = (name, dims, from, to) => state.set(PREFIX + name, uniform(dims, from, to, state.size));
  // He et al. 2015, arXiv:1502.01852: activations keep their size through the layers.
  const layer = (path, dims) => {
    const bound = Math.sqrt(6 / countElements(dims.slice(1)));
    add(`${path}.weight`, dims, -bound, bound);
    add(`${path}.bias`, dims.slice(0, 1), -0.1, 0.1);
  };
  let [index, inputs] = [0, 3];
  for (const block of BLOCKS) {
    for (const channels of block) {
      layer(`features.${index}`, [channels, inputs, 3, 3]);
      inputs = channels;
      index += 2;
    }
    index++;
  }
  inputs *= POOLED * POOLED;
  for (const [i, width] of HIDDEN.entries()) {
    layer(`classifier.${4 * i}`, [width, inputs]);
    const norm = `classifier.${4 * i + 2}`;
    add(`${norm}.weight`, [width], 0.5, 1.5);
    add(`${norm}.bias`, [width], -0.1, 0.1);
    add(`${norm}.running_mean`, [width], -0.1, 0.1);
    add(`${norm}.running_var`, [width], 0.5, 1.5);
    inputs = width;
  }
  layer(`classifier.${4 * HIDDEN.length}`, [CLASSES, inputs]);
  return state;
}

/** The network as named tensors, as our graph, and as a file that PyTorch loads. */
export async function makeNetwork(folder) {
  const state = stateDict();
  const graph = buildVgg(state, { inputSize: [SIDE, SIDE], execution: () => 'rebuilt' });
  const file = join(folder, 'weights.pt');
  await writeFile(file, await writeTorch(state));
  return { state, graph, file };
}
