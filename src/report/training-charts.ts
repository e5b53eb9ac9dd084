/** The history of a training as charts. */
import { drawChart, Plot } from './chart.js';
import type { Chart } from './chart-html.js';
import { MARK, SERIES } from './style.js';

/** One point of a training's history. */
export interface HistoryPoint {
  /** 0 is the model before the training. */
  readonly epoch: number;
  readonly trainLoss?: number | undefined;
  readonly validationLoss?: number | undefined;
  /** Percent. */
  readonly trainTop1?: number | undefined;
  /** Percent. */
  readonly validationTop1?: number | undefined;
}

/** Epochs up to which each has its own tick. */
const MOST_TICKS = 12;

/**
 * Draws loss and top-1 by epoch.
 *
 * @param kept the epoch whose weights were saved.
 */
export function drawHistoryCharts(history: readonly HistoryPoint[], kept: number | undefined): Chart[] {
  const saved = kept === undefined ? '' : ` Dashed: epoch ${kept}, which was saved.`;
  const draw = (
    content: { readonly name: string; readonly title: string; readonly note: string; readonly axis: string },
    train: (point: HistoryPoint) => number | undefined,
    validation: (point: HistoryPoint) => number | undefined,
  ): Chart => {
    const { axis, ...rest } = content;
    const series = [
      { label: 'training', color: SERIES[0], of: train },
      { label: 'validation', color: SERIES[1], of: validation },
    ];
    const rows = series.flatMap(({ label, of }) =>
      history.flatMap((point) => {
        const value = of(point);
        return value === undefined ? [] : [{ epoch: point.epoch, value, label }];
      }),
    );
    const shown = series.filter(({ label }) => rows.some((row) => row.label === label));
    return drawChart({
      ...rest,
      legend: shown,
      data: {
        header: ['epoch', 'training', 'validation'],
        rows: history.map((point) => [point.epoch, train(point), validation(point)]),
      },
      plot: {
        height: 230,
        marginBottom: 38,
        x: {
          label: 'epoch →',
          ticks: history.length > MOST_TICKS ? 10 : history.map(({ epoch }) => epoch),
          tickFormat: 'd',
        },
        y: { label: `↑ ${axis}`, grid: true, nice: true },
        color: { domain: shown.map(({ label }) => label), range: shown.map(({ color }) => color) },
        marks: [
          Plot.ruleX(kept === undefined ? [] : [kept], { stroke: MARK, strokeDasharray: '4 3' }),
          Plot.line(rows, { x: 'epoch', y: 'value', z: 'label', stroke: 'label', strokeWidth: 2, marker: 'dot' }),
        ],
      },
    });
  };
  return [
    draw(
      {
        name: 'loss-by-epoch',
        title: 'Loss by epoch',
        note: `Mean cross-entropy, in nats.${saved}`,
        axis: 'loss, nats',
      },
      ({ trainLoss }) => trainLoss,
      ({ validationLoss }) => validationLoss,
    ),
    draw(
      {
        name: 'top-1-by-epoch',
        title: 'Top-1 accuracy by epoch',
        note: `In percent of the images.${saved}`,
        axis: 'top-1, %',
      },
      ({ trainTop1 }) => trainTop1,
      ({ validationTop1 }) => validationTop1,
    ),
  ];
}
