/**
 * Tensor trains a second of the 512×25088 layer. Ours measures the error of the train as well, which reconstructs
 * the weight; the plain algorithm does not.
 */
import { decomposeWeight } from '../dist/decompose/tt-weight.js';
import { engineProducts } from '../dist/engine/matrix-products.js';
import { agree, MEAN_TOLERANCE } from './agreement.js';

const NAME = 'vgg16.classifier.0';
const REQUEST = { layout: 'tt', outModes: [16, 32], inModes: [112, 224], bonds: [16, 100, 150] };

export const ttSvd = {
  name: 'ttSvd',
  title: 'TT-SVD of 512×25088, ranks 16, 100, 150',
  unit: 's',
  amount: 1,
  rounds: 3,
  others: [
    { title: 'full SVDs, PyTorch', how: { library: 'torch' } },
    { title: 'full SVDs, NumPy', how: { library: 'numpy' } },
  ],
  async prepare({ engine, network, peer }) {
    const weight = network.state.get(`${NAME}.weight`);
    const [rows, cols] = weight.dims;
    const products = engineProducts(engine);
    const decompose = () => decomposeWeight(NAME, { rows, cols, data: weight.data }, REQUEST, products);
    await peer?.start('tt-svd', network.file, new Map([['weight', weight]]));
    return {
      async check() {
        const { train } = await decompose();
        const theirs = (await peer.check()).get('error').data[0];
        const difference = Math.abs(train.relativeError - theirs) / theirs;
        return { error: agree('Error of the tensor train', difference, MEAN_TOLERANCE) };
      },
      run: decompose,
      dispose: () => products.dispose(),
    };
  },
};
