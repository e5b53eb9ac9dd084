import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fitImage, IMAGENET_MEAN, IMAGENET_STD, type Preprocess, toTensor } from '../../src/data/preprocess.js';
import { nodeEngine } from '../../src/engine/node.js';
import { type Explainer, type Explanation, gradCam } from '../../src/explain/grad-cam.js';
import { decodeImage } from '../../src/images/decode-image.js';
import { openModel, readWholeFile } from '../../src/io/models/model-file.js';
import { pointingGame } from '../../src/metrics/pointing-game.js';
import { requires } from '../support/requires.js';
import { shared } from '../support/shared-data.js';

const file = shared('models', 'squeezenet1_1.onnx');
const isHere = existsSync(file);

/** What torchvision's evaluation of this model does. */
const imagenet: Preprocess = {
  size: [224, 224],
  resize: 'shorter-side',
  shorterSide: 256,
  mean: IMAGENET_MEAN,
  std: IMAGENET_STD,
};

/** Where things are in the 224×224 pixels that the model sees, read off the pictures. */
const boxes = {
  espresso: { x0: 51, y0: 45, x1: 155, y1: 108 },
  cup: { x0: 32, y0: 0, x1: 181, y1: 165 },
  rocket: { x0: 104, y0: 60, x1: 122, y1: 215 },
  sky: { x0: 0, y0: 0, x1: 223, y1: 45 },
} as const;

describe('SqueezeNet 1.1, a real ONNX file, on photographs', requires('shared data', isHere), () => {
  let explainer: Explainer;
  beforeAll(async () => {
    explainer = await gradCam(nodeEngine(), (await openModel(file)).graph);
  });
  afterAll(async () => explainer?.dispose());

  const explain = async (name: string, target?: number): Promise<Explanation> => {
    const image = await decodeImage(await readWholeFile(shared('models', name), 'image'), name);
    const [explained] = await explainer.explain(toTensor([fitImage(image, imagenet)], imagenet), [target]);
    if (!explained) throw new Error('one image has one explanation');
    return explained;
  };
  const mean = ({ map }: Explanation, { x0, y0, x1, y1 }: (typeof boxes)[keyof typeof boxes]) => {
    const inside = [...map.data].filter((_, i) => {
      const [x, y] = [i % 224, Math.floor(i / 224)];
      return x >= x0 && x <= x1 && y >= y0 && y <= y1;
    });
    return inside.reduce((sum, value) => sum + value, 0) / inside.length;
  };
  const top5 = ({ scores }: Explanation) =>
    Array.from(scores, (score, index) => ({ score, index }))
      .sort((a, b) => b.score - a.score)
      .slice(0, 5)
      .map(({ index }) => index);

  it('looks at the last Fire module, before the convolution that scores classes', () => {
    expect(explainer.layer).toBe('features.12');
  });

  it('sees a cat: its face fills the picture, so there is no place that the map must avoid', async () => {
    const { predicted } = await explain('chelsea.png');
    expect([281, 282, 283, 284, 285, 286, 287]).toContain(predicted);
  });

  it('sees an espresso, and looks into the cup', async () => {
    const explained = await explain('coffee.png');
    expect([967, 504, 968]).toContain(explained.predicted);
    expect(pointingGame(explained.map, boxes.espresso)).toBe(true);
    // The class is the drink, not its vessel: a map that lay evenly over the cup would not do.
    expect(mean(explained, boxes.espresso)).toBeGreaterThan(1.5 * mean(explained, boxes.cup));
  });

  // The lattice towers beside it make the model say pole; asked for the missile, it must leave them.
  it('has missile and projectile among its first five, and finds the rocket', async () => {
    expect(top5(await explain('rocket.jpg'))).toEqual(expect.arrayContaining([657, 744]));
    for (const target of [657, 744]) {
      const explained = await explain('rocket.jpg', target);
      expect(explained.target).toBe(target);
      expect(pointingGame(explained.map, boxes.rocket), `class ${target}`).toBe(true);
      expect(mean(explained, boxes.rocket)).toBeGreaterThan(2 * mean(explained, boxes.sky));
    }
  });
});
