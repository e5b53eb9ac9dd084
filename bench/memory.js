/**
 * The most memory that a process of its own holds while it trains the whole network for a few steps: everything that is
 * loaded, the weights, activations, gradients and Adam's moments.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { images, labels } from './network.js';
import { Peer } from './peer.js';
import { FULL_BATCH, fullStepInputs } from './training.js';

const run = promisify(execFile);
const STEPS = 3;

/**
 * @returns `{ title, shibori, pytorch, ratio }`, bytes of resident memory; `pytorch` and `ratio` are `null` without it.
 */
export async function peakMemory({ network, python, threads, folder, hasTorch }) {
  const script = fileURLToPath(new URL('memory-of-steps.js', import.meta.url));
  const { stdout } = await run(process.execPath, [script, network.file, `${threads}`, `${STEPS}`]);
  const shibori = Number(stdout);
  let pytorch = null;
  if (hasTorch) {
    const peer = new Peer(python, threads, folder);
    await peer.start('training', network.file, fullStepInputs(images(FULL_BATCH), labels(FULL_BATCH)));
    await peer.time({ epochs: STEPS });
    pytorch = await peer.peakBytes();
    await peer.stop();
  }
  const ratio = pytorch === null ? null : shibori / pytorch;
  return { title: `peak memory of training, batch ${FULL_BATCH}`, shibori, pytorch, ratio };
}
