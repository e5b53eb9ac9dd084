import { describe, expect, it } from 'vitest';
import { binCorrelations } from '../../src/report/comparison-charts.js';
import { makeCompressionReport } from '../../src/report/compression-page.js';
import { writeCsv } from '../../src/report/format.js';
import { describeVerdict } from '../../src/report/verdict.js';
import { accuracyOf, comparison, figures, madeComparison, madeSqueeze, squeezed } from '../support/report-fixtures.js';

describe('the verdict of a comparison', () => {
  it('says what is left, what is predicted, how well, and which image has the lowest agreement', () => {
    expect(comparison.verdict).toBe(
      '60.0 % of the parameters and 60.0 % of the file are left, at 2.00x the speed at batch 1. ' +
        '6 of 200 predictions changed (97.0 % are the same). Top-1 falls 1.00 points to 79.00 %. ' +
        "The maps correlate 0.880 with the original's on average, 0.700 at the lowest (val/a-folder-with-a-long-name/n01443537_images_0123.JPEG).",
    );
  });

  it('does not call the accuracy unchanged where it says nothing', () => {
    const none = { ...accuracyOf(0), top5Correct: 0, top5: 0 };
    const verdict = describeVerdict({
      ...figures,
      accuracy: { before: none, after: none, top1Drop: 0, doubt: 'the classes of the data set were not found' },
      predictions: { images: 31, same: 5, agreement: (100 * 5) / 31, changed: { lost: 0, gained: 0, wrong: 26 } },
    });
    expect(verdict).toContain('26 of 31 predictions changed (16.1 % are the same).');
    expect(verdict).toContain(
      'Its accuracy is not meaningful on these images (top-1 0.00 % before, 0.00 % after): the classes of the data set were not found.',
    );
    expect(verdict).not.toContain('unchanged');
  });

  it('does not speak of an accuracy where images have no labels', () => {
    const { accuracy: _, ...unlabelled } = figures;
    expect(describeVerdict(unlabelled)).toContain('The images have no labels: the accuracy was not measured.');
  });

  it('leaves maps out of which the agreement is not defined, and says so', () => {
    const { lowest: _, ...maps } = figures.maps;
    const undefinedMaps = { ...maps, pearson: null, undefined: 3, constantMaps: { before: 3, after: 3 } };
    expect(describeVerdict({ ...figures, maps: undefinedMaps })).toContain(
      'The agreement of the maps is not defined (a constant map on each of 3 images).',
    );
  });
});

describe('a report', () => {
  it('is one self-contained page: nothing from the network, no script, names escaped', async () => {
    for (const { html } of [await madeComparison(), madeSqueeze()]) {
      expect(html).not.toMatch(/(src|href)="(?!data:|#)/);
      expect(html).not.toMatch(/url\((?!#)/);
      expect(html).not.toContain('<script');
      expect(html).toContain('&lt;script&gt;');
      expect(html).toContain('&lt;b&gt;');
    }
  });

  it('shows the true label under each picture, and the maps of both classes where the prediction changed', async () => {
    const { html } = await madeComparison();
    const [, ...shown] = html.split('<figure class="picture">');
    expect(shown).toHaveLength(4);
    for (const picture of shown) expect(picture).toContain('true label: <strong>goldfish</strong>');
    expect(shown[0]?.match(/<img/g)).toHaveLength(3);
    const changed = shown[2] ?? '';
    expect(changed.match(/<img/g)).toHaveLength(5);
    for (const text of ['goldfish 90.0\u00a0% ✓', 'goldfish 10.0\u00a0%', 'shark 5.0\u00a0%', 'shark 85.0\u00a0%'])
      expect(changed).toContain(text);
    expect(changed).toContain('Prediction changed. Maps for goldfish correlate −0.250; maps for shark: a constant map');
  });

  it('names what its figures depend on', async () => {
    const { html } = await madeComparison();
    for (const text of [
      'ab'.repeat(32),
      'shibori compare original.onnx compressed.onnx --data &lt;val&gt;',
      '2026-01-02T03:04:05.678Z',
      'onnxruntime 1.30.0',
      'guessed: filter',
      'val, test, 200 images',
      'a CPU, 2 threads, linux 6.1 x64',
    ]) {
      expect(html).toContain(text);
    }
  });

  it('comes with its charts as SVG and its numbers as CSV', async () => {
    const { files } = await madeComparison();
    expect(files.map(({ path }) => path).sort()).toEqual([
      'figures/changed-predictions.csv',
      'figures/figures.csv',
      'figures/layers.csv',
      'figures/left-of-the-original.csv',
      'figures/left-of-the-original.svg',
      'figures/loss-by-epoch.csv',
      'figures/loss-by-epoch.svg',
      'figures/map-correlations.csv',
      'figures/map-correlations.svg',
      'figures/top-1-by-epoch.csv',
      'figures/top-1-by-epoch.svg',
    ]);
    const read = (name: string) => files.find(({ path }) => path === `figures/${name}`)?.text ?? '';
    expect(read('map-correlations.csv')).toBe(
      'image,class,correlation\r\nval/goldfish/1.JPEG,goldfish,0.95\r\nval/goldfish/2.JPEG,goldfish,0.7\r\nval/goldfish/3.JPEG,goldfish,0.99\r\n',
    );
    expect(read('loss-by-epoch.csv').split('\r\n').slice(0, 3)).toEqual([
      'epoch,training,validation',
      '0,,2.5',
      '1,2,2.1',
    ]);
    const svg = read('map-correlations.svg');
    expect(svg).toMatch(/^<\?xml version="1.0" encoding="UTF-8"\?>\n<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(svg).toContain('<title>Agreement of the maps</title>');
    expect(svg).not.toMatch(/var\(|currentColor/);
  });

  it('draws curves of accuracy and maps, and the spectrum of each layer with a cut for each rank', () => {
    const { html, files } = madeSqueeze();
    expect(files.filter(({ path }) => path.endsWith('.svg')).map(({ path }) => path)).toEqual([
      'figures/size-top-1.svg',
      'figures/size-maps.svg',
      'figures/spectrum-features.0.svg',
    ]);
    expect(html).toContain('tucker2 8, 16');
    expect(html).toContain('<p class="warning" role="note"><strong>Warning:</strong> a warning</p>');
  });

  it('has no curve where there is one model, and no spectra where nothing was seen', () => {
    const { html } = makeCompressionReport({ ...squeezed, curve: squeezed.curve.slice(0, 1), layers: [] });
    expect(html).not.toContain('<svg');
  });
});

describe('the histogram of correlations', () => {
  it.each([[[0.7, 0.95, 0.99]], [[1, 1, 1]], [[-1, -0.34, 0.056, 1]], [[0.9999999, 1]], [[0.3]]])(
    'has each of %j in one bin, and no bin outside of the axis',
    (correlations) => {
      const bins = binCorrelations(correlations);
      expect(bins.reduce((sum, { count }) => sum + count, 0)).toBe(correlations.length);
      expect(bins.at(-1)?.to).toBe(1);
      expect(bins[0]?.from).toBeGreaterThanOrEqual(-1.2);
      expect(bins[0]?.from).toBeLessThanOrEqual(Math.min(...correlations));
      expect(bins.length).toBeGreaterThanOrEqual(10);
      expect(bins.length).toBeLessThanOrEqual(25);
      for (const [k, bin] of bins.entries()) {
        expect(bin.to).toBeGreaterThan(bin.from);
        if (k > 0) expect(bin.from).toBeCloseTo(bins[k - 1]?.to ?? Number.NaN, 12);
        // Where rounding puts a value that lies on an edge is of no interest.
        const inside = correlations.filter((r) => r > bin.from + 1e-9 && r < bin.to - 1e-9).length;
        expect(bin.count).toBeGreaterThanOrEqual(inside);
      }
    },
  );
});

describe('a CSV file', () => {
  it('quotes what must be, leaves missing numbers empty and never begins a formula', () => {
    expect(
      writeCsv(
        ['a', 'b,c'],
        [
          ['x "y"', 1.5],
          ['line\nbreak', undefined],
          ['=1+1', Number.NaN],
          ['-0.5', '@x'],
          ['–', '-x'],
        ],
      ),
    ).toBe('a,"b,c"\r\n"x ""y""",1.5\r\n"line\nbreak",\r\n\'=1+1,\r\n-0.5,\'@x\r\n–,\'-x\r\n');
  });
});
