/** The page of a sweep over sizes. */
import type { Accuracy } from '../../metrics/accuracy.js';
import { counted, integer, percent, signed } from '../../report/format.js';
import type { Provenance } from '../../report/provenance.js';
import type { CurvePoint, SqueezePage } from '../../report/squeeze.js';
import type { ByHand } from './by-hand.js';
import { share } from './layer-cells.js';
import { byHandPoint, goalText } from './report.js';
import type { SweepPoint } from './sweep-point.js';

/** Columns after the first two, of which a size that cannot be reached has none. */
const MEASURED = ['parameters left', 'file left', 'gzip left', 'mult-adds left', 'top-1', 'points', 'KL, nats', 'maps'];

/** Describes the page of a sweep. */
export function describeSweep(
  sweep: { readonly before: Accuracy; readonly points: readonly SweepPoint[]; readonly byHand?: ByHand },
  name: string,
  provenance: Provenance,
): SqueezePage {
  const { before, points, byHand } = sweep;
  const found = points.flatMap(({ reached }) => reached ?? []);
  const curve: CurvePoint[] = [
    { size: 1, top1: before.top1, maps: 1, kind: 'original', label: 'original' },
    ...found.map(({ maps, size, accuracy }): CurvePoint => {
      const agreement = maps?.pearson ? { maps: maps.pearson.mean } : {};
      const { parameters } = size.ratio;
      return { size: parameters, top1: accuracy.top1, ...agreement, kind: 'squeezed', label: share(parameters) };
    }),
    ...(byHand ? [byHandPoint(byHand)] : []),
  ];
  const sizes = found.map(({ size, accuracy }) => `${percent(accuracy.top1)} at ${share(size.ratio.parameters)}`);
  return {
    title: `${name}: accuracy and maps by size`,
    verdict: `Top-1 is ${percent(before.top1)} for the original${sizes.length > 0 ? `; ${sizes.join(', ')} of the parameters` : '; no size was reached'}.`,
    warnings: points.flatMap(({ goal, smallest }) =>
      smallest === undefined ? [] : [`${goalText(goal)} cannot be reached: the smallest is ${integer(smallest)}.`],
    ),
    keys: [],
    curve,
    tables: [
      {
        name: 'points',
        title: 'Points',
        header: ['goal', 'parameters', ...MEASURED],
        rows: points.map(({ goal, smallest, reached }) =>
          reached
            ? [
                goalText(goal),
                integer(reached.size.after.parameters),
                share(reached.size.ratio.parameters),
                share(reached.size.ratio.onnxBytes),
                share(reached.size.ratio.gzipBytes),
                share(reached.size.ratio.multAdds),
                percent(reached.accuracy.top1),
                signed(-reached.top1Drop, 2),
                reached.divergence.toPrecision(3),
                reached.maps?.pearson?.mean.toFixed(3) ?? '–',
              ]
            : [goalText(goal), `not below ${integer(smallest ?? 0)}`, ...MEASURED.map(() => '–')],
        ),
        notes: ["Points: change of top-1. Maps: mean of Pearson's correlation with the maps of the original."],
      },
    ],
    layers: [],
    notes: [
      `Measured on ${counted(before.images, 'image')}. Latency is not measured where several points are made at once.`,
    ],
    provenance,
  };
}
