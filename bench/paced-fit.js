/** `fit` itself, held before each step until it is released: what is timed is what a training really does. */
import { tensor } from '../dist/tensor/tensor.js';
import { fit } from '../dist/train/fit.js';
import { adam } from '../dist/train/optimizers.js';
import { constant } from '../dist/train/schedules.js';

const STOPPED = Symbol('stopped');

/**
 * Starts a training without end.
 *
 * @param inputs what the graph takes, `[count, …]`.
 * @returns `run(epochs)`, which trains for so long, and `stop()`.
 */
export function pacedFit(graph, { engine, trains, inputs, labels, batch, learningRate }) {
  const [count, ...dims] = inputs.dims;
  const elements = inputs.data.length / count;
  const stepsPerEpoch = Math.ceil(count / batch);
  let allowed = 0;
  let stepsLeft = 0;
  let stopped = false;
  let gate;
  let finished;

  const data = {
    count,
    labels,
    // A step starts when its images have come.
    async images(indices) {
      if (allowed === 0 && !stopped) {
        await new Promise((resolve) => {
          gate = resolve;
        });
      }
      if (stopped) throw STOPPED;
      allowed--;
      const rows = new Float32Array(indices.length * elements);
      indices.forEach((index, row) => {
        rows.set(inputs.data.subarray(index * elements, (index + 1) * elements), row * elements);
      });
      return tensor('float32', [indices.length, ...dims], rows);
    },
  };
  const training = fit(graph, {
    engine,
    data,
    trains,
    optimizer: adam(),
    schedule: constant(learningRate),
    epochs: Number.MAX_SAFE_INTEGER,
    batch,
    onProgress({ phase }) {
      if (phase === 'train' && --stepsLeft === 0) finished();
    },
  });
  // A failure is reported by whoever waits next, in `run` or `stop`.
  training.catch(() => {});

  return {
    run(epochs) {
      allowed = epochs * stepsPerEpoch;
      stepsLeft = allowed;
      gate?.();
      const done = new Promise((resolve) => {
        finished = resolve;
      });
      return Promise.race([done, training]);
    },
    async stop() {
      stopped = true;
      gate?.();
      await training.catch((error) => {
        if (error !== STOPPED) throw error;
      });
    },
  };
}
