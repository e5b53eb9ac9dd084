import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Report } from '../../src/report/report-page.js';
import { hasBrowser, launchBrowser } from '../support/browser.js';
import { comparison, madeComparison, madeSqueeze } from '../support/report-fixtures.js';
import { requires } from '../support/requires.js';

const WIDTHS = [390, 820, 1280];
/** Content of an A4 page in CSS pixels: 210 mm less margins of 13 mm. */
const PAPER_WIDTH = Math.floor(((210 - 2 * 13) / 25.4) * 96);
/** Lowest contrast of text that WCAG 2.1 AA allows. */
const CONTRAST = 4.5;

const pages: Readonly<Record<string, () => Promise<Report>>> = {
  comparison: () => madeComparison(),
  squeeze: async () => madeSqueeze(),
};

/** Elements that lie outside of the page, and in no box that scrolls. */
function findOverflowing(limit: number): string[] {
  const found: string[] = [];
  for (const element of Array.from(document.body.querySelectorAll('*'))) {
    if (element.closest('svg')) continue;
    const box = element.getBoundingClientRect();
    if (box.width > 0 && box.right > limit + 1) found.push(`${element.tagName}.${element.className} ${box.right}`);
  }
  return found;
}

/** Lowest contrast of the texts of a page with the ground behind them (WCAG 2.1). */
function lowestContrast(): { ratio: number; text: string } {
  const parse = (color: string) => (color.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = ([r = 0, g = 0, b = 0]: number[]) => {
    const [lr = 0, lg = 0, lb = 0] = [r, g, b].map((value) => {
      const s = value / 255;
      return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * lr + 0.7152 * lg + 0.0722 * lb;
  };
  const groundOf = (element: Element | null): number[] => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || (color[3] ?? 0) > 0.99) return color;
    }
    return [255, 255, 255];
  };
  let lowest = { ratio: Number.POSITIVE_INFINITY, text: '' };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    const text = node.textContent?.trim() ?? '';
    if (!parent || text === '' || parent.closest('style, title')) continue;
    const style = getComputedStyle(parent);
    const ink = parse(parent.closest('svg') ? style.fill : style.color);
    if (ink.length < 3) continue;
    const [a, b] = [luminance(ink), luminance(groundOf(parent))].sort((x, y) => y - x);
    const ratio = ((a ?? 0) + 0.05) / ((b ?? 0) + 0.05);
    if (ratio < lowest.ratio) lowest = { ratio, text };
  }
  return lowest;
}

describe.each(Object.keys(pages))('the page of a %s in a browser', requires('Chromium', hasBrowser), (kind) => {
  let folder: string;
  let file: string;
  let browser: Browser;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shibori-page-'));
    file = join(folder, 'report.html');
    await writeFile(file, (await pages[kind]?.())?.html ?? '');
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  });
  const open = async (width: number, scheme: 'light' | 'dark' = 'light'): Promise<Page> => {
    const tab = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: scheme });
    await tab.goto(pathToFileURL(file).href);
    return tab;
  };

  it('has no errors and asks nothing of the network', async () => {
    const tab = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const problems: string[] = [];
    tab.on('pageerror', (error) => problems.push(String(error)));
    tab.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    tab.on('request', (request) => {
      if (!/^(file|data):/.test(request.url())) problems.push(request.url());
    });
    await tab.goto(pathToFileURL(file).href);
    expect(problems).toEqual([]);
    const broken = await tab.evaluate(
      () => Array.from(document.images).filter(({ naturalWidth }) => naturalWidth === 0).length,
    );
    expect(broken).toBe(0);
    await tab.close();
  });

  it.each(WIDTHS)('does not scroll sideways at %d pixels; wide tables scroll in a box that says so', async (width) => {
    const tab = await open(width);
    const [scrollWidth, clientWidth] = await tab.evaluate(() => {
      const { scrollingElement } = document;
      return [scrollingElement?.scrollWidth ?? 0, scrollingElement?.clientWidth ?? 0] as const;
    });
    expect(scrollWidth).toBeLessThanOrEqual(clientWidth);
    const boxes = await tab.evaluate(() =>
      Array.from(document.querySelectorAll('.scroll')).map((box) => ({
        scrolls: box.scrollWidth > box.clientWidth,
        focusable: (box as HTMLElement).tabIndex === 0,
        named: (box.getAttribute('aria-label') ?? '') !== '' && box.getAttribute('role') === 'region',
        hint: getComputedStyle(box.parentElement?.querySelector('.hint') as Element).display !== 'none',
      })),
    );
    expect(boxes.length).toBeGreaterThan(0);
    for (const box of boxes) expect(box).toMatchObject({ focusable: true, named: true, hint: box.scrolls });
    await tab.close();
  });

  it.each(['light', 'dark'] as const)('is legible in %s mode, charts included', async (scheme) => {
    const tab = await open(1280, scheme);
    const ground = await tab.evaluate(() => getComputedStyle(document.body).backgroundColor);
    expect(ground).toBe(scheme === 'dark' ? 'rgb(20, 24, 29)' : 'rgb(255, 255, 255)');
    const lowest = await tab.evaluate(lowestContrast);
    expect(lowest.ratio, lowest.text).toBeGreaterThanOrEqual(CONTRAST);
    await tab.close();
  });

  it('loses no column on A4: nothing is wider than the paper, nothing scrolls, every heading is printed', async () => {
    const tab = await open(PAPER_WIDTH);
    await tab.emulateMedia({ media: 'print', colorScheme: 'dark' });
    expect(await tab.evaluate(findOverflowing, PAPER_WIDTH)).toEqual([]);
    const styles = await tab.evaluate(() => ({
      overflow: Array.from(document.querySelectorAll('.scroll')).map((box) => getComputedStyle(box).overflowX),
      ground: getComputedStyle(document.body).getPropertyValue('--ground').trim(),
      columns: Array.from(document.querySelectorAll('.pictures')).map(
        (grid) => getComputedStyle(grid).gridTemplateColumns.split(' ').length,
      ),
    }));
    expect(new Set(styles.overflow)).toEqual(new Set(['visible']));
    expect(styles.ground).toBe('#ffffff');
    for (const columns of styles.columns) expect(columns).toBe(2);
    const pdf = join(folder, `${kind}.pdf`);
    await tab.pdf({ path: pdf, preferCSSPageSize: true });
    const headings = await tab.locator('th[scope=col]').allTextContents();
    let text: string;
    try {
      text = execFileSync('pdftotext', ['-layout', pdf, '-'], { encoding: 'utf8' });
    } catch {
      console.warn('SKIPPED: the text of printed pages, pdftotext is not installed.');
      return;
    } finally {
      await tab.close();
    }
    for (const word of headings.flatMap((heading) => heading.split(/[\s-]/))) expect(text).toContain(word);
  });

  it('keeps every mark of a chart inside its axes, and every chart has a title and a description', async () => {
    const tab = await open(1280);
    const charts = await tab.evaluate(() =>
      Array.from(document.querySelectorAll('figure.chart')).map((figure) => {
        const svg = figure.querySelector('svg') as SVGSVGElement;
        const { left, right, top, bottom } = svg.getBoundingClientRect();
        const marks = Array.from(
          svg.querySelectorAll('[aria-label] rect, [aria-label] circle, [aria-label] path, text'),
        );
        return {
          title: figure.querySelector('figcaption strong')?.textContent ?? '',
          label: svg.getAttribute('aria-label') ?? '',
          role: svg.getAttribute('role'),
          files: Array.from(figure.querySelectorAll('a[download]')).map((link) => link.getAttribute('download') ?? ''),
          outside: marks
            .filter((mark) => !mark.closest('marker'))
            .map((mark) => ({ box: mark.getBoundingClientRect(), text: mark.textContent || mark.tagName }))
            .filter(
              ({ box }) => box.left < left - 1 || box.right > right + 1 || box.top < top - 1 || box.bottom > bottom + 1,
            )
            .map(({ text }) => text),
        };
      }),
    );
    expect(charts.length).toBeGreaterThan(1);
    for (const chart of charts) {
      expect(chart.title).not.toBe('');
      expect(chart.label).toContain(chart.title);
      expect(chart).toMatchObject({ role: 'img', outside: [] });
      expect(chart.files).toEqual([expect.stringMatching(/\.csv$/), expect.stringMatching(/\.svg$/)]);
    }
    await tab.close();
  });

  it('gives charts and tables as files, from the page alone', async () => {
    const tab = await open(1280);
    const links = tab.locator('a[download$=".csv"]');
    const [download] = await Promise.all([tab.waitForEvent('download'), links.first().click()]);
    expect(download.suggestedFilename()).toMatch(/\.csv$/);
    await tab.close();
  });
});

describe('the verdict', requires('Chromium', hasBrowser), () => {
  it('is the first thing on the page, followed by what speaks against it', async () => {
    const browser = await launchBrowser();
    try {
      const tab = await browser.newPage();
      await tab.setContent((await madeComparison({ ...comparison, warnings: ['labels <do not> fit'] })).html);
      expect((await tab.locator('.verdict').textContent())?.replaceAll('\u00a0', ' ')).toBe(comparison.verdict);
      expect(await tab.locator('.warning').allTextContents()).toEqual(['Warning: labels <do not> fit']);
    } finally {
      await browser.close();
    }
  });
});
