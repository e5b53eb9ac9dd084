/**
 * Trains the whole network for some steps and prints the bytes held at most:
 * `node memory-of-steps.js WEIGHTS THREADS STEPS`.
 */
import { nodeEngine } from '../dist/engine/node.js';
import { openModel } from '../dist/io/models/model-file.js';
import { images, labels } from './network.js';
import { pacedFit } from './paced-fit.js';
import { FULL_BATCH } from './training.js';

const [weights = '', threads = '1', steps = '1'] = process.argv.slice(2);
const { graph } = await openModel(weights);
const training = pacedFit(graph, {
  engine: nodeEngine({ threads: Number(threads) }),
  trains: () => true,
  inputs: images(FULL_BATCH),
  labels: labels(FULL_BATCH),
  batch: FULL_BATCH,
  learningRate: 1e-5,
});
await training.run(Number(steps));
await training.stop();
process.stdout.write(`${process.resourceUsage().maxRSS * 1024}\n`);
