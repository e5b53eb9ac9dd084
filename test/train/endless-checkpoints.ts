import { openCheckpointFile } from '../../src/io/training-checkpoint-file.js';

/**
 * A program that is to be killed: it saves checkpoint after checkpoint, each of `ELEMENTS` times its number. Argument:
 * the file.
 */
const file = process.argv[2] ?? '';
const ELEMENTS = 300_000;
const store = openCheckpointFile(file);
for (let step = 1; ; step++) {
  const progress = {
    fingerprint: '',
    step,
    epoch: 0,
    stepOfEpoch: step,
    lossSum: 0,
    correct: 0,
    images: 0,
    seconds: 0,
  };
  const tensors = new Map([
    ['weight', new Float32Array(ELEMENTS).fill(step)],
    ['adam/m/weight', new Float32Array(ELEMENTS).fill(-step)],
  ]);
  await store.save({ progress: { ...progress, history: [] }, tensors });
  process.stdout.write('.');
}
