import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createGzip } from 'node:zlib';
import { itemAt } from '../data/dataset.js';
import type { RgbImage } from '../data/image.js';
import { UsageError } from '../errors.js';
import { defaultLayer } from '../explain/layers.js';
import { findLayer } from '../graph/module-path.js';
import { accuracyOf, addCounts, countCorrect, NO_IMAGES, predictedClasses } from '../metrics/accuracy.js';
import { pearson } from '../metrics/pearson.js';
import { pointingGame } from '../metrics/pointing-game.js';
import { summarize } from '../models/summary.js';
import { writeFileAtomic } from '../node/atomic-file.js';
import { encodeModel, type LoadedModel, type OpenOptions, openModel } from '../node/model-file.js';
import { renderTriptychs } from '../node/triptych.js';
import { type Comparison, type Flip, type MapFigures, type SizeFigures, verdictOf } from '../report/comparison.js';
import { type ReportExtras, reportHtml } from '../report/html.js';
import { range } from '../tensor/dims.js';
import { engineOf, tellNotes, type VerbContext } from './context.js';
import { classCount, type DataOptions, type Dataset, openDataset } from './dataset.js';
import { score } from './evaluate.js';
import { type ExplainedImage, explainImages, triptychRow } from './explain.js';
import { outputNames } from './labels.js';
import { machineOf, measureSpeed, median } from './measure.js';

/** Options of `compare`. */
export interface CompareOptions {
  /** Layer to look at in both models. Default: the first model's last spatial activation. */
  readonly layer?: string;
  /** Images whose maps are compared. Default: 64. */
  readonly mapImages?: number;
  /** Of these, how many are drawn as triptychs. Default: 8. */
  readonly pictures?: number;
  /** Positions in the data set of images to draw first. */
  readonly featured?: readonly number[];
  readonly batch?: number;
  /** Folder for `report.html`, `report.json` and the pictures. Default: `shibori-out/compare`. `null` writes nothing. */
  readonly output?: string | null;
  /** Names of the two models in the report. */
  readonly names?: readonly [string, string];
  /** What else the report shows: training curve, layers. */
  readonly extras?: ReportExtras;
}

async function gzipSize(chunks: readonly Uint8Array[]): Promise<number> {
  const gzip = createGzip({ level: 6 });
  let size = 0;
  gzip.on('data', (chunk: Uint8Array) => {
    size += chunk.length;
  });
  const ended = new Promise<void>((resolve, reject) => gzip.on('end', resolve).on('error', reject));
  for (const chunk of chunks) if (!gzip.write(chunk)) await new Promise((resolve) => gzip.once('drain', resolve));
  gzip.end();
  await ended;
  return size;
}

/** What a model takes as an ONNX file, raw and gzipped. */
export async function sizeOfModel(model: LoadedModel): Promise<SizeFigures> {
  const chunks = await encodeModel(model, 'onnx');
  const { parameters, multAdds } = summarize(model.graph);
  return {
    parameters,
    multAdds,
    onnxBytes: chunks.reduce((sum, chunk) => sum + chunk.length, 0),
    gzipBytes: await gzipSize(chunks),
  };
}

async function compareAccuracy(
  before: LoadedModel,
  after: LoadedModel,
  dataset: Dataset,
  names: readonly string[],
  batch: number,
  context: VerbContext,
): Promise<Pick<Comparison, 'accuracy' | 'flips'>> {
  const total = dataset.source.items.length;
  const predictions = new Map<number, number>();
  const accuracies = [];
  const flips: Flip[] = [];
  let same = 0;
  for (const [which, model] of [before, after].entries()) {
    let counts = NO_IMAGES;
    const stage = which === 0 ? 'evaluate before' : 'evaluate after';
    const onBad = ({ path, reason }: { path: string; reason: string }) => {
      if (which === 0) context.onWarning?.(`skipped ${path}: ${reason}`);
    };
    for await (const { logProbabilities, labels, indices } of score(model, dataset, { batch, onBad }, context)) {
      counts = addCounts(counts, countCorrect(logProbabilities, labels));
      for (const [i, predicted] of predictedClasses(logProbabilities).entries()) {
        const index = indices[i] ?? 0;
        const label = labels[i] ?? 0;
        if (which === 0) predictions.set(index, predicted);
        else if (predictions.get(index) === predicted) same++;
        else {
          const first = predictions.get(index) ?? 0;
          const nameOf = (at: number) => names[at] ?? '';
          flips.push({
            file: itemAt(dataset.source, index).path,
            label,
            labelName: nameOf(label),
            before: first,
            beforeName: nameOf(first),
            after: predicted,
            afterName: nameOf(predicted),
          });
        }
      }
      context.onProgress?.({
        stage,
        done: counts.images,
        total,
        fields: { top1: `${accuracyOf(counts).top1.toFixed(2)} %` },
      });
    }
    accuracies.push(accuracyOf(counts));
  }
  const [a, b] = accuracies;
  if (!a || !b) throw new Error('unreachable: two models were evaluated');
  return { accuracy: { before: a, after: b, top1Drop: a.top1 - b.top1, agreement: (100 * same) / b.images }, flips };
}

interface ComparedMaps {
  readonly figures: MapFigures;
  readonly before: readonly ExplainedImage[];
  readonly after: readonly ExplainedImage[];
  readonly correlations: readonly number[];
}

/** Looks at the same layer of both models on images spread over a data set. */
export async function compareMaps(
  before: LoadedModel,
  after: LoadedModel,
  dataset: Dataset,
  names: readonly string[],
  options: CompareOptions,
  context: VerbContext,
): Promise<ComparedMaps> {
  const layer = options.layer ?? defaultLayer(before.graph).path;
  // The same layer must be there to look at in both.
  findLayer(after.graph, findLayer(before.graph, layer).path);
  const count = Math.min(options.mapImages ?? 64, dataset.source.items.length);
  // Spread over the data set, which may be sorted by class; the featured images come first.
  const stride = dataset.source.items.length / count;
  const spread = range(count).map((i) => Math.floor(i * stride));
  const indices = [...new Set([...(options.featured ?? []), ...spread])].slice(
    0,
    Math.max(count, options.featured?.length ?? 0),
  );
  const entries: { index: number; file: string; image: RgbImage }[] = [];
  for (const index of indices) {
    const { path } = itemAt(dataset.source, index);
    try {
      entries.push({ index, file: path, image: await dataset.decode(await dataset.source.read(index), path) });
    } catch {
      // Told of already when the accuracy was measured.
    }
  }
  const first = await explainImages(before, entries, { layer, names }, { ...context, onProgress: () => {} });
  const targeted = entries.map((entry, i) => ({ ...entry, target: first.images[i]?.predicted ?? 0 }));
  const second = await explainImages(after, targeted, { layer, names }, { ...context, onProgress: () => {} });
  const correlations = first.images.map(({ map }, i) => pearson(map.data, second.images[i]?.map.data ?? map.data));
  const { box } = dataset;
  const inside = (images: readonly ExplainedImage[]) =>
    images.filter(({ map }, i) => box && pointingGame(map, box(entries[i]?.index ?? 0))).length / images.length;
  const figures: MapFigures = {
    layer: first.layer,
    images: correlations.length,
    pearson: {
      mean: correlations.reduce((sum, value) => sum + value, 0) / correlations.length,
      min: Math.min(...correlations),
      median: median(correlations),
    },
    ...(box
      ? { pointingGame: { images: entries.length, before: inside(first.images), after: inside(second.images) } }
      : {}),
  };
  return { figures, before: first.images, after: second.images, correlations };
}

/** Compares two loaded models on an opened data set, and writes the report. */
export async function compareModels(
  before: LoadedModel,
  after: LoadedModel,
  dataset: Dataset,
  options: CompareOptions = {},
  context: VerbContext = {},
): Promise<Comparison> {
  const classes = classCount(before.graph);
  if (classCount(after.graph) !== classes) {
    throw new UsageError(
      `The models tell ${classes} and ${classCount(after.graph)} classes apart: they cannot be compared.`,
    );
  }
  const names = outputNames(before, dataset.source);
  const { accuracy, flips } = await compareAccuracy(before, after, dataset, names, options.batch ?? 64, context);
  const maps = await compareMaps(before, after, dataset, names, options, context);
  const engine = engineOf(context);
  const speed = [];
  for (const batch of [1, 64]) speed.push(await measureSpeed(engine, before.graph, after.graph, { batch }));
  const figures: Omit<Comparison, 'verdict'> = {
    models: { before: options.names?.[0] ?? 'before', after: options.names?.[1] ?? 'after' },
    data: dataset.source.name,
    accuracy,
    size: { before: await sizeOfModel(before), after: await sizeOfModel(after) },
    speed,
    maps: maps.figures,
    flips,
    machine: machineOf(context.threads),
  };
  const comparison: Comparison = { verdict: verdictOf(figures), ...figures };
  const output = options.output === undefined ? join('shibori-out', 'compare') : options.output;
  if (output !== null) {
    await mkdir(output, { recursive: true });
    const pictures = [];
    for (let i = 0; i < Math.min(options.pictures ?? 8, maps.before.length); i++) {
      const [a, b] = [maps.before[i], maps.after[i]];
      if (!a || !b) continue;
      const rows = [
        triptychRow(a, 'before'),
        triptychRow(b, `after · correlation ${(maps.correlations[i] ?? 0).toFixed(3)}`),
      ];
      pictures.push({ title: a.file, png: await renderTriptychs(rows, { layer: maps.figures.layer }) });
    }
    await writeFileAtomic(join(output, 'report.json'), `${JSON.stringify(comparison, null, 2)}\n`);
    await writeFileAtomic(
      join(output, 'report.html'),
      reportHtml(comparison, { pictures, correlations: maps.correlations, ...(options.extras ?? {}) }),
    );
  }
  return comparison;
}

/**
 * Compares two model files on a data set: accuracy, sizes, speed, maps, flipped predictions; writes `report.html` and
 * `report.json`.
 */
export async function compare(
  beforeFile: string,
  afterFile: string,
  options: CompareOptions & DataOptions & OpenOptions,
  context: VerbContext = {},
): Promise<Comparison> {
  const before = await openModel(beforeFile, options);
  const after = await openModel(afterFile, options);
  for (const model of [before, after]) tellNotes(model, context);
  const names = options.names ?? ([basename(beforeFile), basename(afterFile)] as const);
  return compareModels(before, after, await openDataset(options), { ...options, names }, context);
}
