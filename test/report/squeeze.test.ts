import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type SqueezePage, squeezePage } from '../../src/report/squeeze.js';
import { hasBrowser, launchBrowser } from '../support/browser.js';

const energies = (count: number, rate: number) => Array.from({ length: count }, (_, k) => Math.exp(-rate * k));
const drawn: SqueezePage = {
  title: 'net <b>, squeezed',
  verdict: '10 % of the parameters are left.',
  curve: [
    { size: 1, top1: 40.1, maps: 1, kind: 'original', label: 'original' },
    { size: 0.05, top1: 36, maps: 0.9, kind: 'tried' },
    { size: 0.1, top1: 39.2, maps: 0.92, kind: 'chosen', label: '10.0 %' },
    { size: 0.598, top1: 38.16, kind: 'by hand', label: 'study' },
  ],
  tables: [
    { title: 'Layers', header: ['layer', 'ranks'], rows: [['features.0 <script>', '8, 16']], notes: ['a note'] },
  ],
  layers: [
    {
      path: 'features.0',
      choice: 'tucker2 8, 16',
      spectra: [
        { bond: 'in | rest', energies: energies(64, 0.1), rank: 8 },
        { bond: 'rest | out', energies: energies(64, 0.2), rank: 16 },
      ],
    },
    { path: 'fc', choice: 'dense', spectra: [] },
  ],
  foot: 'measured somewhere',
};

describe('the page of a squeeze', () => {
  it('draws curves of accuracy and maps, and the spectra of each layer with a cut for each rank', () => {
    const html = squeezePage(drawn);
    // Two curves, one layer with spectra, and a swatch for every entry of their legends.
    expect(html.match(/<figure/g)?.length).toBeGreaterThanOrEqual(3);
    expect(html.match(/stroke-dasharray="4 3"/g)).toHaveLength(1);
    expect(html).toContain('tucker2 8, 16');
    expect(html).toContain('net &lt;b&gt;');
    expect(html).not.toContain('<script');
    expect(html).not.toMatch(/(src|href)="(?!data:|#)/);
  });

  it('has no curve where there is one model, and no spectra where nothing was seen', () => {
    const html = squeezePage({ ...drawn, curve: drawn.curve.slice(0, 1), layers: [] });
    expect(html).not.toContain('<svg');
  });

  it.skipIf(!hasBrowser)('renders in a browser: no errors, no requests, nothing wider than the window', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'shibori-squeeze-page-'));
    const file = join(folder, 'report.html');
    await writeFile(file, squeezePage(drawn));
    const browser = await launchBrowser();
    try {
      const tab = await browser.newPage({ viewport: { width: 1000, height: 800 } });
      const problems: string[] = [];
      tab.on('pageerror', (error) => problems.push(String(error)));
      tab.on('request', (request) => {
        if (!/^(file|data):/.test(request.url())) problems.push(request.url());
      });
      await tab.goto(pathToFileURL(file).href);
      expect(await tab.locator('h2').allTextContents()).toEqual([
        'Size against what survived',
        'Layers',
        'What each bond is worth',
      ]);
      const box = await tab.locator('figure svg').last().boundingBox();
      expect(box?.width).toBeGreaterThan(250);
      expect(await tab.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth)).toBe(true);
      expect(problems).toEqual([]);
    } finally {
      await browser.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
