/** Images a second through the whole network. */
import { agree, largestDifference, OUTPUT_TOLERANCE } from './agreement.js';
import { images } from './network.js';

/** `runs` batches make one repetition. */
export const inference = (batch, runs) => ({
  name: `inference${batch}`,
  title: `inference, batch ${batch}`,
  unit: 'images/s',
  amount: batch * runs,
  rounds: 7,
  others: [{ title: 'PyTorch', how: { runs } }],
  async prepare({ engine, network, peer }) {
    const session = await engine.load(network.graph);
    const feeds = { input: images(batch) };
    await peer?.start('inference', network.file, new Map([['images', feeds.input]]));
    return {
      async check() {
        const { output } = await session.run(feeds);
        const difference = largestDifference(output.data, (await peer.check()).get('output').data);
        return { output: agree('Log-probabilities', difference, OUTPUT_TOLERANCE) };
      },
      async run() {
        for (let i = 0; i < runs; i++) await session.run(feeds);
      },
      dispose: () => session.dispose(),
    };
  },
});
