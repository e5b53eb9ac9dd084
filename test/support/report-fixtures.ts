import sharp from 'sharp';
import type { Comparison } from '../../src/report/comparison.js';
import { buildComparisonReport, type ReportExtras } from '../../src/report/comparison-page.js';
import { type CompressionPage, makeCompressionReport } from '../../src/report/compression-page.js';
import type { Provenance } from '../../src/report/provenance-html.js';
import type { Report } from '../../src/report/report-page.js';
import { describeVerdict } from '../../src/report/verdict.js';

/** The accuracy of so many right of 200. */
export const accuracyOf = (top1Correct: number) => ({
  images: 200,
  top1Correct,
  top5Correct: 190,
  top1: top1Correct / 2,
  top5: 95,
  nll: 1.25,
});

/** Where a made-up report comes from. */
export const provenance: Provenance = {
  command: 'shibori compare original.onnx compressed.onnx --data <val>',
  date: '2026-01-02T03:04:05.678Z',
  versions: { shibori: '0.1.0', onnxruntime: '1.30.0', node: 'v20.1.0' },
  machine: { cpu: 'a CPU', threads: 2, system: 'linux 6.1 x64' },
  seed: 42,
  models: [
    {
      name: 'original',
      files: [{ name: 'original.onnx', bytes: 4000, sha256: 'ab'.repeat(32) }],
      preprocess: '32×32 pixels, rgb; guessed: filter',
    },
    { name: 'compressed <b>', files: [], preprocess: '32×32 pixels, rgb' },
  ],
  data: [{ use: 'measured', name: 'val', part: 'test', images: 200 }],
};

/** The figures of a made-up comparison. */
export const figures: Omit<Comparison, 'verdict'> = {
  warnings: [],
  models: { before: 'original', after: 'compressed <b>' },
  data: 'val',
  part: null,
  accuracy: { before: accuracyOf(160), after: accuracyOf(158), top1Drop: 1 },
  predictions: { images: 200, same: 194, agreement: 97, changed: { lost: 3, gained: 1, wrong: 2 } },
  size: {
    before: { parameters: 1000, onnxBytes: 4000, gzipBytes: 3800, multAdds: 5000 },
    after: { parameters: 600, onnxBytes: 2400, gzipBytes: 2300, multAdds: 4000 },
  },
  speed: [
    { batch: 1, runs: 9, beforeMs: 2, afterMs: 1, ratio: 0.5, ratioInterval: [0.45, 0.55] },
    { batch: 64, runs: 9, beforeMs: 120.5, afterMs: 119, ratio: 0.99, ratioInterval: [0.9, 1.05] },
  ],
  maps: {
    layer: 'features.29',
    images: 3,
    pearson: { mean: 0.88, min: 0.7, median: 0.95 },
    undefined: 0,
    constantMaps: { before: 0, after: 0 },
    lowest: { file: 'val/a-folder-with-a-long-name/n01443537_images_0123.JPEG', correlation: 0.7 },
  },
  flips: [
    {
      file: 'val/a-folder-with-a-long-name/<script>_images_0123456789.JPEG',
      label: 0,
      labelName: 'goldfish, Carassius auratus',
      before: 0,
      beforeName: 'goldfish, Carassius auratus',
      after: 1,
      afterName: 'great white shark, white shark, man-eater',
      probability: { before: 0.9, after: 0.25 },
    },
  ],
  provenance,
};

/** A made-up comparison. */
export const comparison: Comparison = { verdict: describeVerdict(figures), ...figures };

const epoch = (n: number) => ({
  epoch: n,
  trainLoss: 2 / n,
  trainTop1: 30 * n,
  validationLoss: 2.1 / n,
  validationTop1: 29 * n,
});

const extras: ReportExtras = {
  history: [{ epoch: 0, validationLoss: 2.5, validationTop1: 25 }, epoch(1), epoch(2), epoch(3)],
  keptEpoch: 2,
  compressedTop1Percent: 70,
  layers: ['features.0', 'classifier.0'].map((name) => ({
    name,
    layout: 'tt-matrix',
    outModes: [16, 32],
    inModes: [112, 224],
    ranks: [16, 100, 150],
    error: 0.1,
    bound: 0.11,
    parametersBefore: 102_760_448,
    parametersAfter: 1_234_567,
    execution: 'rebuilt',
  })),
};

/** The report of a made-up comparison, with pictures of which one shows a changed prediction. */
export async function madeComparison(of: Comparison = comparison): Promise<Report> {
  const image = new Uint8Array(
    await sharp({ create: { width: 64, height: 64, channels: 3, background: '#336699' } })
      .webp()
      .toBuffer(),
  );
  const panel = (probability: number, isPredicted: boolean) => ({ overlay: image, probability, isPredicted });
  const same = {
    file: 'val/goldfish/1.JPEG',
    label: 'goldfish',
    image,
    rows: [{ className: 'goldfish', before: panel(0.9, true), after: panel(0.8, true), correlation: 0.95 }],
  };
  const changed = {
    file: 'val/goldfish/2.JPEG',
    label: 'goldfish',
    image,
    rows: [
      { className: 'goldfish', before: panel(0.9, true), after: panel(0.1, false), correlation: -0.25 },
      { className: 'shark', before: panel(0.05, false), after: panel(0.85, true) },
    ],
  };
  return buildComparisonReport(of, extras, {
    pairs: [
      { file: 'val/goldfish/1.JPEG', className: 'goldfish', correlation: 0.95 },
      { file: 'val/goldfish/2.JPEG', className: 'goldfish', correlation: 0.7 },
      { file: 'val/goldfish/3.JPEG', className: 'goldfish', correlation: 0.99 },
    ],
    pictures: [
      { title: 'Lowest agreement', pictures: [same, same, changed] },
      { title: 'Changed predictions', pictures: [changed] },
    ],
    scale: image,
  });
}

const energies = (count: number, rate: number) => Array.from({ length: count }, (_, k) => Math.exp(-rate * k));
const wide = [
  'layer',
  'scheme',
  'ranks',
  'parameters',
  'left',
  'bytes',
  'gzip',
  'mult-adds',
  'latency',
  'predicted KL',
];

/** A made-up page of a compressed model, with a table of ten columns. */
export const squeezed: CompressionPage = {
  title: 'net <b>, compressed',
  verdict: '10 % of the parameters are left.',
  warnings: ['a warning'],
  keys: [{ label: 'Parameters left', value: '10.0 %', detail: '1,000 → 100' }],
  curve: [
    { parameterShare: 1, top1: 40.1, maps: 1, kind: 'original', label: 'original' },
    { parameterShare: 0.05, top1: 36, maps: 0.9, kind: 'tried' },
    { parameterShare: 0.1, top1: 39.2, maps: 0.92, kind: 'chosen', label: '10.0 %' },
    { parameterShare: 0.598, top1: 38.16, kind: 'by hand', label: 'study' },
  ],
  tables: [
    {
      name: 'layers',
      title: 'Layers',
      header: wide,
      rows: Array.from({ length: 30 }, (_, k) => [
        `features.block${k}.conv1 <script>`,
        k % 2 === 0 ? 'tucker2' : 'dense: no scheme is smaller than the layer itself',
        '8, 16',
        '2,359,296 → 123,456',
        '5.2 %',
        '5.3 %',
        '5.1 %',
        '7.9 %',
        '81.0 %',
        '0.00012',
      ]),
      notes: ['a note'],
    },
  ],
  layers: [
    {
      path: 'features.0',
      choice: 'tucker2 8, 16',
      spectra: [
        { unfolding: 'in | rest', energies: energies(64, 0.1), rank: 8 },
        { unfolding: 'rest | out', energies: energies(64, 0.2), rank: 16 },
      ],
    },
    { path: 'fc', choice: 'dense', spectra: [] },
  ],
  notes: ['measured somewhere'],
  provenance,
};

/** The report of {@link squeezed}. */
export const madeSqueeze = (): Report => makeCompressionReport(squeezed);
