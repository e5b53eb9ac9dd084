/** What a compression keeps of its work, so that it can be resumed: schemas of what is read back, and the way there. */

import { z } from 'zod';
import type { LayerOutcome } from '../compression/layer-outcome.js';
import { schemeNames } from '../compression/schemes/decomposition-scheme.js';
import { schemes } from '../compression/schemes/scheme-table.js';
import type { SensitivityCache } from '../compression/sensitivity-analysis.js';
import type { OriginalMaps } from '../evaluation/original-maps.js';
import type { WorkCache } from '../io/work-cache.js';
import { type Matrix, matrix } from '../linalg/matrix.js';
import { expectFloat32, type Tensor, tensor } from '../tensor/tensor.js';
import { defined } from '../values.js';
import type { MeasuredLoss, ValidationPredictions } from './measured-loss.js';

const schemeName = z.enum(schemeNames);
const numbersSchema = z.array(z.number());
const measuredSchema = z.array(z.object({ predicted: z.number(), measured: z.number() }));
const unfoldingSchema = z.object({ bond: z.enum(['input', 'middle', 'output']), energies: numbersSchema });

const accuracySchema = z.object({
  images: z.number(),
  top1Correct: z.number(),
  top5Correct: z.number(),
  top1: z.number(),
  top5: z.number(),
  nll: z.number(),
});

/** A layer's curve. */
const sensitivitySchema = z.object({
  options: z.array(
    z.object({
      scheme: schemeName.optional(),
      ranks: numbersSchema,
      parameters: z.number(),
      multiplyAdds: z.number(),
      cost: z.number(),
      loss: z.number(),
      alone: z.number(),
    }),
  ),
  measured: measuredSchema,
  spectra: z.array(unfoldingSchema),
  rank: z.number().optional(),
  reason: z.string().optional(),
});

/** What became of each layer. */
export const layerOutcomesSchema = z.array(
  z.object({
    path: z.string(),
    scheme: schemeName.optional(),
    ranks: numbersSchema,
    parametersBefore: z.number(),
    parameters: z.number(),
    multiplyAddsBefore: z.number(),
    multiplyAdds: z.number(),
    predicted: z.number(),
    alone: z.number(),
    measured: measuredSchema,
    spectra: z.array(unfoldingSchema.extend({ rank: z.number().optional() })),
    reason: z.string().optional(),
  }),
);

/** What became of each layer, as it was kept. */
export function toLayerOutcomes(found: z.infer<typeof layerOutcomesSchema>): LayerOutcome[] {
  return found.map(({ scheme, reason, spectra, ...layer }) => ({
    ...layer,
    scheme,
    spectra: spectra.map(({ rank, ...bond }) => ({ ...bond, ...defined({ rank }) })),
    ...defined({ reason }),
  }));
}

const lossSchema = z.object({
  images: z.number(),
  accuracy: accuracySchema.exactOptional(),
  top1Drop: z.number().exactOptional(),
  agreement: z.number(),
  error: z.number(),
  divergence: z.number(),
  maps: z
    .object({
      layer: z.string(),
      images: z.number(),
      pearson: z.object({ mean: z.number(), min: z.number(), median: z.number() }).nullable(),
      undefined: z.number(),
      constantMaps: z.object({ before: z.number(), after: z.number() }),
      lowest: z.object({ file: z.string(), correlation: z.number() }).exactOptional(),
      pointingGame: z.object({ images: z.number(), before: z.number(), after: z.number() }).optional(),
    })
    .optional(),
});

/** A matrix that was kept; `undefined` when there is none. */
function toMatrix(found: Tensor | undefined): Matrix | undefined {
  const [rows = 0, cols = 0] = found?.dims ?? [];
  return found?.dtype === 'float64' ? matrix(rows, cols, found.data) : undefined;
}

const toFloat64Tensor = ({ rows, cols, data }: Matrix): Tensor => tensor('float64', [rows, cols], data);

/** What is known of the layers of one analysis. */
export function createSensitivityCache(memory: WorkCache, key: string): SensitivityCache {
  const buildName = (path: string) => `layer-${key}-${path.replace(/[^\w.-]/g, '_')}`;
  return {
    async read(path) {
      const found = await memory.read(buildName(path), sensitivitySchema);
      if (!found) return undefined;
      const { options, reason, rank, ...rest } = found.value;
      const [root, inverse] = [toMatrix(found.tensors.get('root')), toMatrix(found.tensors.get('inverse'))];
      return {
        ...rest,
        output: root && inverse && rank !== undefined ? { root, inverse, rank } : undefined,
        options: options.map(({ scheme, ...option }) => ({ ...option, scheme: scheme && schemes[scheme] })),
        ...defined({ reason }),
      };
    },
    async write({ layer, options, measured, spectra, output, reason }) {
      const tensors = new Map<string, Tensor>();
      if (output) tensors.set('root', toFloat64Tensor(output.root)).set('inverse', toFloat64Tensor(output.inverse));
      const plain = options.map(({ scheme, ...option }) => ({ ...option, scheme: scheme?.name }));
      await memory.write(
        buildName(layer.path),
        { options: plain, measured, spectra, rank: output?.rank, reason },
        tensors,
      );
    },
  };
}

/** Predictions that were kept under a name, or are made now. */
export async function readOrComputePredictions(
  memory: WorkCache,
  name: string,
  compute: () => Promise<ValidationPredictions>,
): Promise<ValidationPredictions> {
  const found = await memory.read(
    name,
    z.object({ images: z.number(), accuracy: accuracySchema.exactOptional(), batches: z.number() }),
  );
  if (found) {
    const { images, accuracy, batches } = found.value;
    const logProbabilities = Array.from({ length: batches }, (_, i) =>
      expectFloat32(found.tensors.get(`${i}`), `Predictions of batch ${i}`),
    );
    return { images, ...defined({ accuracy }), logProbabilities };
  }
  const made = await compute();
  const tensors = new Map<string, Tensor>(made.logProbabilities.map((batch, i) => [`${i}`, batch]));
  await memory.write(name, { images: made.images, accuracy: made.accuracy, batches: tensors.size }, tensors);
  return made;
}

const mapsSchema = z.object({
  layer: z.string(),
  images: z.array(z.object({ index: z.number(), file: z.string(), target: z.number() })),
});

/** Reads the maps that were kept under a name, or computes and keeps them. */
export async function readOrComputeMaps(
  memory: WorkCache,
  name: string,
  compute: () => Promise<OriginalMaps>,
): Promise<OriginalMaps> {
  const found = await memory.read(name, mapsSchema);
  if (found) {
    const { layer, images } = found.value;
    const getMap = (i: number) => expectFloat32(found.tensors.get(`${i}`), `Map ${i}`);
    return { layer, images: images.map((image, i) => ({ ...image, map: getMap(i) })) };
  }
  const { layer, images } = await compute();
  const tensors = new Map<string, Tensor>(images.map(({ map }, i) => [`${i}`, map]));
  const plain = images.map(({ index, file, target }) => ({ index, file, target }));
  await memory.write(name, { layer, images: plain }, tensors);
  return { layer, images };
}

/** What a candidate lost, kept under a name or measured now. */
export async function readOrMeasureLoss(
  memory: WorkCache,
  name: string,
  compute: () => Promise<MeasuredLoss>,
): Promise<MeasuredLoss> {
  const found = await memory.read(name, lossSchema);
  if (found) {
    const { maps, ...rest } = found.value;
    if (!maps) return rest;
    const { pointingGame, ...others } = maps;
    return { ...rest, maps: { ...others, ...defined({ pointingGame }) } };
  }
  const made = await compute();
  await memory.write(name, made);
  return made;
}

/** Amounts that were asked for under a key. */
export async function readTriedAmounts(memory: WorkCache, key: string): Promise<readonly number[]> {
  return (await memory.read(`tried-${key}`, numbersSchema))?.value ?? [];
}

/** Keeps an amount that was asked for. */
export async function writeTriedAmount(memory: WorkCache, key: string, amount: number): Promise<void> {
  const amounts = await readTriedAmounts(memory, key);
  if (!amounts.includes(amount)) await memory.write(`tried-${key}`, [...amounts, amount]);
}
