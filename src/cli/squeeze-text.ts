import type { SqueezedLayer } from '../squeeze/squeeze.js';
import type { Squeezing } from '../verbs/squeeze/squeeze.js';
import { engineering, integer, megabytes, percent, table } from './output.js';

/** The table of the layers, and why those that stayed did. */
export function layersText(layers: readonly SqueezedLayer[]): string {
  return table(
    ['layer', 'scheme', 'ranks', 'before', 'after', 'predicted KL', 'why dense'],
    layers.map((layer) => [
      layer.path,
      layer.scheme ?? 'dense',
      layer.ranks.join(',') || '–',
      integer(layer.parametersBefore),
      integer(layer.parameters),
      layer.scheme ? layer.expected.toPrecision(2) : '–',
      layer.reason ?? '',
    ]),
  );
}

/** Sizes before and after, each with its own ratio. */
export function sizeText({ size: { before, after, ratio } }: Pick<Squeezing, 'size'>): string {
  const row = (label: string, a: string, b: string, share: number) => [label, a, b, percent(100 * share, 1)];
  return table(
    ['', 'before', 'after', 'left'],
    [
      row('parameters', integer(before.parameters), integer(after.parameters), ratio.parameters),
      row('file', megabytes(before.onnxBytes), megabytes(after.onnxBytes), ratio.onnxBytes),
      row('file, gzipped', megabytes(before.gzipBytes), megabytes(after.gzipBytes), ratio.gzipBytes),
      row('multiply-adds', engineering(before.multAdds), engineering(after.multAdds), ratio.multAdds),
    ],
  );
}

/** What a squeeze came to, for people. */
export function squeezeText(result: Squeezing & { readonly output: string }): string {
  const { accuracy, data, maps, speed, folds, refused } = result;
  return [
    layersText(result.layers),
    ...refused.map(({ path, reason }) => `${path} was left alone: ${reason}.`),
    ...folds.filter(({ folded }) => folded).map(({ node, text }) => `Folded ${node}: ${text}`),
    '',
    sizeText(result),
    '',
    `Top-1    ${percent(accuracy.before.top1)} → ${percent(accuracy.after.top1)} on ${integer(accuracy.after.images)} images (${data.validation})`,
    `Outputs  differ by ${percent(100 * result.error)}, mean KL ${result.divergence.toPrecision(3)} nats`,
    ...(maps ? [`Maps     correlate at ${maps.pearson.mean.toFixed(3)} on ${maps.images} images (${maps.layer})`] : []),
    ...speed.map(
      ({ batch, beforeMs, afterMs, ratio }) =>
        `Speed    batch ${batch}: ${beforeMs.toFixed(2)} → ${afterMs.toFixed(2)} ms (${ratio.toFixed(2)} of it)`,
    ),
    `Took     ${result.seconds.toFixed(0)} s`,
    `Written to ${result.output}`,
  ].join('\n');
}
