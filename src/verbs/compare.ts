import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { UsageError } from '../errors.js';
import { writeFileAtomic } from '../node/atomic-file.js';
import { type LoadedModel, type OpenOptions, openModel, optionsForEach } from '../node/model-file.js';
import { type Comparison, verdictOf } from '../report/comparison.js';
import { type ReportExtras, reportHtml } from '../report/html.js';
import { compareMaps, type MapOptions } from './compare/maps.js';
import { drawPictures } from './compare/pictures.js';
import { compareAccuracy } from './compare/predictions.js';
import { sizeOfModel } from './compare/size.js';
import { engineOf, tellNotes, type VerbContext } from './context.js';
import { classCount, type DataOptions, type Dataset, openDataset } from './dataset.js';
import { outputNames } from './labels.js';
import { batchesToTime, machineOf, measureSpeed } from './measure.js';

/** Options of `compare`. */
export interface CompareOptions extends MapOptions {
  /** Images that are drawn. Default: 8. */
  readonly pictures?: number;
  readonly batch?: number;
  /** Folder for `report.html`, `report.json` and the pictures. Default: `shibori-out/compare`. `null` writes nothing. */
  readonly output?: string | null;
  /** Names of the two models in the report. */
  readonly names?: readonly [string, string];
  /** What else the report shows: training curve, layers. */
  readonly extras?: ReportExtras;
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
  for (const batch of batchesToTime(before.graph, after.graph)) {
    speed.push(await measureSpeed(engine, before.graph, after.graph, { batch }));
  }
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
    const pictures = await drawPictures(maps, options.pictures ?? 8);
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
  const [forBefore, forAfter] = optionsForEach([beforeFile, afterFile], options);
  const before = await openModel(beforeFile, forBefore);
  const after = await openModel(afterFile, forAfter);
  for (const model of [before, after]) tellNotes(model, context);
  const names = options.names ?? ([basename(beforeFile), basename(afterFile)] as const);
  return compareModels(before, after, await openDataset(options), { ...options, names }, context);
}
