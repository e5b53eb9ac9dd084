/**
 * Maps a second. Ours is one graph that differentiates from the score to the layer; in PyTorch hooks keep activation and
 * gradient of a backward pass through everything, as the field's tools do it, one image at a time or batched. What
 * PyTorch can do at best stands beside it: a gradient to the layer only.
 */
import { gradCam as explainerOf } from '../dist/explain/grad-cam.js';
import { int64 } from '../dist/tensor/tensor.js';
import { agree, largestDifference, MAP_TOLERANCE } from './agreement.js';
import { images, labels, SIDE } from './network.js';

const BATCH = 32;

export const gradCam = {
  name: 'gradCam',
  title: `Grad-CAM, batch ${BATCH}`,
  unit: 'images/s',
  amount: BATCH,
  rounds: 5,
  others: [
    { title: 'PyTorch, full backward', how: { batched: true, toTheLayerOnly: false } },
    { title: 'PyTorch, full backward, one by one', how: { batched: false } },
    { title: 'PyTorch, gradient to the layer', how: { batched: true, toTheLayerOnly: true } },
  ],
  async prepare({ engine, network, peer }) {
    const explainer = await explainerOf(engine, network.graph);
    const batch = images(BATCH);
    const targets = Array.from(labels(BATCH));
    const inputs = new Map([
      ['images', batch],
      ['targets', int64(targets)],
    ]);
    await peer?.start('grad-cam', network.file, inputs);
    return {
      async check() {
        const explained = await explainer.explain(batch, targets);
        const theirs = (await peer.check()).get('maps').data;
        const size = SIDE * SIDE;
        const differences = explained.map(({ map }, i) =>
          largestDifference(map.data, theirs.subarray(i * size, (i + 1) * size)),
        );
        return { maps: agree('Grad-CAM maps', Math.max(...differences), MAP_TOLERANCE) };
      },
      run: () => explainer.explain(batch, targets),
      dispose: () => explainer.dispose(),
    };
  },
};
