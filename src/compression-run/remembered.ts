/** What a squeeze keeps of its work, so that it can be gone on with: schemas of what is read back, and the way there. */
import { z } from 'zod';
import { schemeNames } from '../compression/schemes/scheme.js';
import { schemes } from '../compression/schemes/schemes.js';
import type { SqueezedLayer } from '../compression/squeezed-layer.js';
import type { StudyMemory } from '../compression/study.js';
import type { WorkMemory } from '../io/work-memory.js';
import { type Matrix, matrix } from '../linalg/matrix.js';
import { expectFloat32, type Tensor, tensor } from '../tensor/tensor.js';
import type { Loss, Predictions } from './measure.js';

const schemeName = z.enum(schemeNames);
const numbers = z.array(z.number());
const measuredSchema = z.array(z.object({ predicted: z.number(), measured: z.number() }));
const bondSchema = z.object({ bond: z.enum(['input', 'middle', 'output']), energies: numbers });

const accuracySchema = z.object({
  images: z.number(),
  top1Correct: z.number(),
  top5Correct: z.number(),
  top1: z.number(),
  top5: z.number(),
  nll: z.number(),
});

/** A layer's curve. */
const studiedSchema = z.object({
  options: z.array(
    z.object({
      scheme: schemeName.optional(),
      ranks: numbers,
      parameters: z.number(),
      multiplyAdds: z.number(),
      cost: z.number(),
      loss: z.number(),
      alone: z.number(),
    }),
  ),
  measured: measuredSchema,
  spectra: z.array(bondSchema),
  rank: z.number().optional(),
  reason: z.string().optional(),
});

/** What became of each layer. */
export const layersSchema = z.array(
  z.object({
    path: z.string(),
    scheme: schemeName.optional(),
    ranks: numbers,
    parametersBefore: z.number(),
    parameters: z.number(),
    multiplyAddsBefore: z.number(),
    multiplyAdds: z.number(),
    predicted: z.number(),
    alone: z.number(),
    measured: measuredSchema,
    spectra: z.array(bondSchema.extend({ rank: z.number().optional() })),
    reason: z.string().optional(),
  }),
);

/** What became of each layer, as it was kept. */
export function layersOf(found: z.infer<typeof layersSchema>): SqueezedLayer[] {
  return found.map(({ scheme, reason, spectra, ...layer }) => ({
    ...layer,
    scheme,
    spectra: spectra.map(({ rank, ...bond }) => ({ ...bond, ...(rank === undefined ? {} : { rank }) })),
    ...(reason === undefined ? {} : { reason }),
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
function matrixOf(found: Tensor | undefined): Matrix | undefined {
  const [rows = 0, cols = 0] = found?.dims ?? [];
  return found?.dtype === 'float64' ? matrix(rows, cols, found.data) : undefined;
}

const kept = ({ rows, cols, data }: Matrix): Tensor => tensor('float64', [rows, cols], data);

/** What is known of the layers of one study. */
export function studyMemory(memory: WorkMemory, key: string): StudyMemory {
  const nameOf = (path: string) => `layer-${key}-${path.replace(/[^\w.-]/g, '_')}`;
  return {
    async recall(path) {
      const found = await memory.recall(nameOf(path), studiedSchema);
      if (!found) return undefined;
      const { options, reason, rank, ...rest } = found.value;
      const [root, inverse] = [matrixOf(found.tensors.get('root')), matrixOf(found.tensors.get('inverse'))];
      return {
        ...rest,
        output: root && inverse && rank !== undefined ? { root, inverse, rank } : undefined,
        options: options.map(({ scheme, ...option }) => ({ ...option, scheme: scheme && schemes[scheme] })),
        ...(reason === undefined ? {} : { reason }),
      };
    },
    async keep({ layer, options, measured, spectra, output, reason }) {
      const tensors = new Map<string, Tensor>();
      if (output) tensors.set('root', kept(output.root)).set('inverse', kept(output.inverse));
      const plain = options.map(({ scheme, ...option }) => ({ ...option, scheme: scheme?.name }));
      await memory.keep(nameOf(layer.path), { options: plain, measured, spectra, rank: output?.rank, reason }, tensors);
    },
  };
}

/** Predictions that were kept under a name, or are made now. */
export async function rememberedPredictions(
  memory: WorkMemory,
  name: string,
  compute: () => Promise<Predictions>,
): Promise<Predictions> {
  const found = await memory.recall(
    name,
    z.object({ images: z.number(), accuracy: accuracySchema.exactOptional(), batches: z.number() }),
  );
  if (found) {
    const { images, accuracy, batches } = found.value;
    const logProbabilities = Array.from({ length: batches }, (_, i) =>
      expectFloat32(found.tensors.get(`${i}`), `Predictions of batch ${i}`),
    );
    return { images, ...(accuracy && { accuracy }), logProbabilities };
  }
  const made = await compute();
  const tensors = new Map<string, Tensor>(made.logProbabilities.map((batch, i) => [`${i}`, batch]));
  await memory.keep(name, { images: made.images, accuracy: made.accuracy, batches: tensors.size }, tensors);
  return made;
}

/** What a candidate lost, kept under a name or measured now. */
export async function rememberedLoss(memory: WorkMemory, name: string, compute: () => Promise<Loss>): Promise<Loss> {
  const found = await memory.recall(name, lossSchema);
  if (found) {
    const { maps, ...rest } = found.value;
    if (!maps) return rest;
    const { pointingGame, ...others } = maps;
    return { ...rest, maps: { ...others, ...(pointingGame ? { pointingGame } : {}) } };
  }
  const made = await compute();
  await memory.keep(name, made);
  return made;
}

/** Amounts that were asked for under a key. */
export async function triedAmounts(memory: WorkMemory, key: string): Promise<readonly number[]> {
  return (await memory.recall(`tried-${key}`, numbers))?.value ?? [];
}

/** Keeps an amount that was asked for. */
export async function rememberTried(memory: WorkMemory, key: string, amount: number): Promise<void> {
  const amounts = await triedAmounts(memory, key);
  if (!amounts.includes(amount)) await memory.keep(`tried-${key}`, [...amounts, amount]);
}
