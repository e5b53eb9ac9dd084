/** Pages of what a squeeze came to. */

import { join } from 'node:path';
import { agreementText } from '../../metrics/agreement.js';
import { writeFileAtomic } from '../../node/atomic-file.js';
import { describeSpeed, milliseconds } from '../../report/comparison.js';
import { integer, percent } from '../../report/page.js';
import { type CurvePoint, type LayerSpectra, type SqueezePage, squeezePage } from '../../report/squeeze.js';
import type { SqueezedLayer } from '../../squeeze/squeezed-layer.js';
import type { VerbContext } from '../context.js';
import { machineOf } from '../measure.js';
import type { ByHand } from './by-hand.js';
import type { LayerFigures, SizeChange } from './figures.js';
import type { SqueezeGoal } from './goal.js';
import { LAYER_COLUMNS, layerCells, predictedDivergence, share } from './layer-cells.js';
import type { Squeezing } from './squeezing.js';

/** What the bonds of `tails.ts` divide. */
const bondNames = { input: 'in | rest', middle: 'height | width', output: 'rest | out' } as const;

/** A goal in words. */
export function goalText(goal: SqueezeGoal): string {
  if (goal.kind === 'accuracyDrop') return `at most ${goal.most} points of top-1 lost`;
  if (goal.kind === 'error') return `outputs within ${share(goal.most)}`;
  const names = { params: 'parameters', size: 'bytes', macs: 'multiply-adds' } as const;
  return 'share' in goal.most
    ? `${share(goal.most.share)} of the ${names[goal.kind]}`
    : `${integer(goal.most.amount)} ${names[goal.kind]}`;
}

/** The spectra of layers, with what was chosen. */
function spectraOf(layers: readonly SqueezedLayer[]): LayerSpectra[] {
  return layers.map(({ path, scheme, ranks, spectra }) => ({
    path,
    choice: scheme ? `${scheme} ${ranks.join(', ')}` : 'dense',
    spectra: spectra.map(({ bond, energies, rank }) => ({
      bond: bondNames[bond],
      energies,
      ...(rank === undefined ? {} : { rank }),
    })),
  }));
}

/** A model with hand-chosen ranks as a point of the curve. */
export function byHandPoint({ size, accuracy, maps, name }: ByHand): CurvePoint {
  const correlation = maps?.pearson ? { maps: maps.pearson.mean } : {};
  return { size: size.ratio.parameters, top1: accuracy.top1, ...correlation, kind: 'by hand', label: name };
}

function sizeTable({ before, after, ratio }: SizeChange) {
  const row = (label: string, key: keyof typeof before) => [
    label,
    integer(before[key]),
    integer(after[key]),
    share(ratio[key]),
  ];
  return {
    title: 'Sizes',
    header: ['', 'before', 'after', 'left'],
    rows: [
      row('parameters', 'parameters'),
      row('file, bytes', 'onnxBytes'),
      row('file, gzipped', 'gzipBytes'),
      row('multiply-adds', 'multAdds'),
    ],
  };
}

function layerTable(layers: readonly LayerFigures[]) {
  return {
    title: 'Layers',
    header: ['layer', 'scheme', 'ranks', ...LAYER_COLUMNS, 'predicted KL'],
    rows: layers.map((layer) => [
      layer.path,
      layer.scheme ?? `dense: ${layer.reason ?? ''}`,
      layer.ranks.join(', '),
      ...layerCells(layer),
    ]),
    notes: ['Latency of a layer alone at batch 1, in percent of what it was. KL in nats, by the second moments.'],
  };
}

/** What was predicted for each layer alone, and what replacing it alone cost the predictions. */
function predictionTable(layers: readonly SqueezedLayer[]) {
  const most = Math.max(0, ...layers.map(({ measured }) => measured.length));
  const pair = (point: SqueezedLayer['measured'][number] | undefined) =>
    point ? `${point.predicted.toPrecision(2)} / ${point.measured.toPrecision(2)}` : '–';
  return {
    title: 'Predicted against measured',
    header: ['layer', ...Array.from({ length: most }, (_, k) => `point ${k + 1}`)],
    rows: layers
      .filter(({ measured }) => measured.length > 0)
      .map(({ path, measured }) => [path, ...Array.from({ length: most }, (_, k) => pair(measured[k]))]),
    notes: [
      'KL in nats: by the second moments / measured with the layer replaced alone, nothing fitted. Layers are compared by the first: fitting them one after another takes out most of what the second adds.',
    ],
  };
}

function survivalTable({ accuracy, maps, error, divergence, layers, speed, control }: Squeezing) {
  const rows: (readonly string[])[] = [
    ['top-1', percent(accuracy.before.top1), percent(accuracy.after.top1)],
    ['top-5', percent(accuracy.before.top5), percent(accuracy.after.top5)],
    ['mean NLL, nats', accuracy.before.nll.toFixed(4), accuracy.after.nll.toFixed(4)],
    ['outputs differ by', '', share(error)],
    ['mean KL, nats', '', `${divergence.toPrecision(3)} (predicted ${predictedDivergence(layers).toPrecision(2)})`],
  ];
  if (maps) rows.push([`maps correlate (${maps.images} images)`, '', agreementText(maps)]);
  for (const figures of speed) {
    const { batch, beforeMs, afterMs } = figures;
    rows.push([
      `latency, batch ${batch}`,
      milliseconds(beforeMs),
      `${milliseconds(afterMs)}, ${describeSpeed(figures)}`,
    ]);
  }
  if (control) {
    const kept = control.maps ? `, maps ${agreementText(control.maps)}` : '';
    rows.push(['control: dense, trained alike', '', `top-1 ${percent(control.accuracy.top1)}${kept}`]);
  }
  return { title: 'What survived', header: ['', 'before', 'after'], rows };
}

/** The page of one squeeze. */
export function pageOf(result: Squeezing, name: string, context: VerbContext): SqueezePage {
  const { accuracy, size, maps, data, trials, byHand } = result;
  const curve: CurvePoint[] = [
    { size: 1, top1: accuracy.before.top1, maps: 1, kind: 'original', label: 'original' },
    ...trials.flatMap(({ share: left, top1, mapSimilarity }): CurvePoint[] => {
      const correlation = mapSimilarity === undefined ? {} : { maps: mapSimilarity };
      return left === undefined || top1 === undefined ? [] : [{ size: left, top1, ...correlation, kind: 'tried' }];
    }),
    {
      size: size.ratio.parameters,
      top1: accuracy.after.top1,
      ...(maps?.pearson ? { maps: maps.pearson.mean } : {}),
      kind: 'chosen',
      label: share(size.ratio.parameters),
    },
    ...(byHand ? [byHandPoint(byHand)] : []),
  ];
  const { cpu, threads, node } = machineOf(context.threads);
  return {
    title: `${name}, squeezed`,
    verdict: `Asked for: ${goalText(result.goal)}. ${share(size.ratio.parameters)} of the parameters and ${share(size.ratio.gzipBytes)} of the gzipped file are left; top-1 ${percent(accuracy.before.top1)} → ${percent(accuracy.after.top1)}${maps ? `, maps correlate at ${agreementText(maps)}` : ''}.`,
    curve,
    tables: [survivalTable(result), sizeTable(size), layerTable(result.layers), predictionTable(result.layers)],
    layers: spectraOf(result.layers),
    foot: `Measured on ${accuracy.after.images} images of ${data.validation}, calibrated on ${data.calibrationImages} of ${data.train}; ${cpu}, ${threads} threads, Node ${node}.`,
  };
}

/** Writes a page and its figures into a folder. */
export async function writePage(folder: string, drawn: SqueezePage, figures: unknown): Promise<string> {
  const file = join(folder, 'report.html');
  await writeFileAtomic(join(folder, 'report.json'), `${JSON.stringify(figures, null, 2)}\n`);
  await writeFileAtomic(file, squeezePage(drawn));
  return file;
}
