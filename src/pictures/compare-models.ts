import { collectWarnings, getEngine, type RunContext } from '../context/run-context.js';
import { UsageError } from '../errors.js';
import { buildDataOrigin, collectProvenance } from '../evaluation/collect-provenance.js';
import { compareMaps, type MapOptions } from '../evaluation/compare-maps.js';
import { comparePredictions } from '../evaluation/compare-predictions.js';
import { listOutputNames } from '../evaluation/label-map.js';
import { chooseTimedBatches, measureSpeed } from '../evaluation/measure-speed.js';
import { measureModelSize } from '../evaluation/model-size.js';
import { countClasses, type Dataset, requirePreprocess } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { writeReport } from '../io/report-files.js';
import type { Comparison } from '../report/comparison.js';
import { buildComparisonReport, type ReportExtras } from '../report/comparison-page.js';
import { describeVerdict } from '../report/verdict.js';
import { defined } from '../values.js';
import { drawPictures } from './comparison-pictures.js';
import { drawScale } from './panel.js';

/** Lists the options of {@link compareModels}. */
export interface ComparisonOptions extends MapOptions {
  /** Images that are drawn: half of them for the maps that agree least, half for changed predictions. Default: 8. */
  readonly pictures?: number;
  /** Positions in the data set of images to draw besides. */
  readonly featured?: readonly number[];
  readonly batch?: number;
  /** Folder for `report.html`, `report.json` and `figures/`. Default: nothing is written. */
  readonly output?: string;
  /** Names of the two models in the report. */
  readonly names?: readonly [before: string, after: string];
  /** Files of the two models, whose hashes the report shows. */
  readonly files?: readonly [before: readonly string[], after: readonly string[]];
  /** What else the report shows: training curve, layers. */
  readonly extras?: ReportExtras;
}

/** Compares two loaded models on an opened data set, and writes the report. */
export async function compareModels(
  before: LoadedModel,
  after: LoadedModel,
  dataset: Dataset,
  options: ComparisonOptions = {},
  context: RunContext = {},
): Promise<Comparison> {
  const classes = countClasses(before);
  if (countClasses(after) !== classes) {
    throw new UsageError(
      `The first model has ${classes} classes, the second ${countClasses(after)}: they cannot be compared.`,
    );
  }
  const [first, second] = [before, after].map(({ graph, info }) => requirePreprocess(graph, info).size.join('×'));
  if (first !== second) {
    throw new UsageError(
      `The first model takes images of ${first} pixels (height × width), the second of ${second}: their maps cannot be compared. Where a size is not in the file, \`inputSize\` states it.`,
      { option: 'inputSize' },
    );
  }
  const [firstName, secondName] = options.names ?? ['before', 'after'];
  const models = { before, after, names: { before: firstName, after: secondName } };
  const { warnings, context: listening } = collectWarnings(context);
  const names = listOutputNames(before, dataset.source);
  const found = await comparePredictions(models, dataset, names, options.batch ?? 64, listening);
  context.onProgress?.({ phase: 'maps', done: 0, total: 1 });
  const maps = await compareMaps(before, after, dataset, names, options, context);
  const engine = getEngine(context);
  const speed = [];
  const timed = chooseTimedBatches(before.graph, after.graph);
  for (const [i, batch] of timed.entries()) {
    context.onProgress?.({ phase: 'speed', done: i, total: timed.length, fields: { batch } });
    speed.push(await measureSpeed(engine, before.graph, after.graph, { batch }));
  }
  const data = buildDataOrigin('measured', dataset, found.predictions.images);
  const reported = [
    { name: firstName, model: before, files: options.files?.[0] ?? [] },
    { name: secondName, model: after, files: options.files?.[1] ?? [] },
  ];
  const figures: Omit<Comparison, 'verdict'> = {
    warnings,
    models: models.names,
    data: dataset.source.name,
    part: dataset.source.part ?? null,
    ...found,
    size: { before: await measureModelSize(before), after: await measureModelSize(after) },
    speed,
    maps: maps.figures,
    provenance: await collectProvenance({ models: reported, data: [data] }, context),
  };
  const comparison: Comparison = { verdict: describeVerdict(figures), ...figures };
  const { output } = options;
  if (output !== undefined) {
    const { featured = [], pictures: count = 8, extras = {} } = options;
    const pictures = await drawPictures(models, dataset, { maps, flips: found.flips, featured, count }, names, context);
    const pairs = maps.pairs.map(({ before: { file, targetName }, correlation }) => ({
      file,
      className: targetName,
      ...defined({ correlation }),
    }));
    await writeReport(
      output,
      buildComparisonReport(comparison, extras, { pairs, pictures, scale: await drawScale() }),
      comparison,
    );
  }
  return comparison;
}
