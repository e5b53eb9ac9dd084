import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { type Comparison, verdictOf } from '../../src/report/comparison.js';
import { reportHtml } from '../../src/report/html.js';
import { hasBrowser, launchBrowser } from '../support/browser.js';

const accuracy = (top1Correct: number) => ({
  images: 200,
  top1Correct,
  top5Correct: 190,
  top1: top1Correct / 2,
  top5: 95,
  nll: 1.25,
});
const figures: Omit<Comparison, 'verdict'> = {
  models: { before: 'original', after: 'squeezed <b>' },
  data: 'val',
  accuracy: { before: accuracy(160), after: accuracy(158), top1Drop: 1, agreement: 97 },
  size: {
    before: { parameters: 1000, onnxBytes: 4000, gzipBytes: 3800, multAdds: 5000 },
    after: { parameters: 600, onnxBytes: 2400, gzipBytes: 2300, multAdds: 4000 },
  },
  speed: [{ batch: 1, runs: 9, beforeMs: 2, afterMs: 1, ratio: 0.5, ratioInterval: [0.4, 0.6] }],
  maps: {
    layer: 'features.29',
    images: 3,
    pearson: { mean: 0.9, min: 0.7, median: 0.95 },
    undefined: 0,
    constantMaps: { before: 0, after: 0 },
  },
  flips: [
    {
      file: 'a/<script>.png',
      label: 0,
      labelName: 'goldfish',
      before: 0,
      beforeName: 'goldfish',
      after: 1,
      afterName: 'carp',
    },
  ],
  machine: { cpu: 'a CPU', threads: 2, node: 'v20' },
};
const comparison: Comparison = { verdict: verdictOf(figures), ...figures };

async function page(): Promise<string> {
  const png = await sharp({ create: { width: 300, height: 100, channels: 3, background: '#336699' } })
    .png()
    .toBuffer();
  const epoch = (n: number) => ({
    epoch: n,
    trainLoss: 2 / n,
    trainTop1: 30 * n,
    validationLoss: 2.1 / n,
    validationTop1: 29 * n,
  });
  return reportHtml(comparison, {
    pictures: [{ title: 'a/goldfish.png', png }],
    correlations: [0.7, 0.95, 0.99],
    history: [epoch(1), epoch(2), epoch(3)],
    squeezedTop1: 70,
    layers: [
      {
        name: 'classifier.0',
        layout: 'tt',
        outModes: [16, 32],
        inModes: [112, 224],
        bonds: [16, 100, 150],
        error: 0.1,
        bound: 0.1,
        parametersBefore: 1000,
        parametersAfter: 600,
        execution: 'rebuilt',
      },
    ],
  });
}

describe('the report', () => {
  it('says the verdict in one sentence', () => {
    expect(comparison.verdict).toBe(
      "60.0 % of the parameters and 60.5 % of the download, top-1 down 1.00 points to 79.00 %, 2.00x the speed at batch 1; the maps correlate 0.900 with the original's.",
    );
  });

  it('is one self-contained page: nothing from the network, names escaped', async () => {
    const html = await page();
    expect(html).not.toMatch(/(src|href)="(?!data:|#)/);
    expect(html).not.toContain('<script');
    expect(html).toContain('a/&lt;script&gt;.png');
    expect(html).toContain('squeezed &lt;b&gt;');
    expect(html.match(/<svg/g)?.length).toBeGreaterThanOrEqual(4);
  });

  it.skipIf(!hasBrowser)(
    'renders in a browser: no errors, no requests, pictures loaded, nothing wider than the window',
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'shibori-report-'));
      const file = join(folder, 'report.html');
      await writeFile(file, await page());
      const instance = await launchBrowser();
      try {
        const tab = await instance.newPage({ viewport: { width: 1000, height: 800 } });
        const problems: string[] = [];
        tab.on('pageerror', (error) => problems.push(String(error)));
        tab.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
        tab.on('request', (request) => {
          if (!/^(file|data):/.test(request.url())) problems.push(request.url());
        });
        await tab.goto(pathToFileURL(file).href);
        expect(await tab.locator('.verdict').textContent()).toBe(comparison.verdict);
        expect(await tab.locator('h2').allTextContents()).toEqual([
          'In figures',
          'Layers',
          'Fine-tuning',
          'Explanations',
          'Flipped predictions: 1 of 200',
        ]);
        const width = await tab
          .locator('.maps img')
          .first()
          .evaluate((image) => (image as HTMLImageElement).naturalWidth);
        expect(width).toBe(300);
        expect(await tab.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth)).toBe(true);
        expect(problems).toEqual([]);
      } finally {
        await instance.close();
        await rm(folder, { recursive: true });
      }
    },
  );
});
