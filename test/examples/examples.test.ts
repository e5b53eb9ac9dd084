import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasBrowser, launchBrowser } from '../support/browser.js';
import { root, writeFixture } from './snippets.js';

const exec = promisify(execFile);
const examples = join(root, 'examples');
const programs = readdirSync(examples).filter((file) => file.endsWith('.js'));
/** What each program prints: a line that shows that it did its work. */
const printed: Readonly<Record<string, RegExp>> = {
  'first-gradient.js': /gradient of dimensions 1×3×8×8/,
  'grad-cam.js': /photo\.png: .*map of \S+: 8×8 in .*\.png/,
  'compress-to-a-goal.js': /\d+ parameters, now \d+, in small\.onnx/,
  'compress-with-given-ranks.js': /classifier\.0: ranks 3, 6, 8, relative error 0\.\d{3}/,
  'finetune-with-a-teacher.js': /top-1 [\d.]+ % before, [\d.]+ % after/,
  'write-a-pass.js': /(\d+) nodes, now \d+\n(?:removed Dropout .*\n)+/,
  'operator-with-gradient.js': /d\/dx: off by \d/,
};

describe('examples', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shibori-examples-'));
    await writeFixture(folder);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('are all type-checked', async () => {
    const options = ['--allowJs', '--checkJs', '--noEmit', '--strict', '--skipLibCheck', '--types', 'node'];
    const target = ['--module', 'nodenext', '--target', 'es2023'];
    const files = programs.map((file) => join('examples', file));
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const { stdout } = await exec(process.execPath, [tsc, ...options, ...target, ...files], { cwd: root }).catch(
      (error: { stdout: string }) => error,
    );
    expect(stdout).toBe('');
  });

  it('are all listed, and all run here', async () => {
    const list = await readFile(join(examples, 'README.md'), 'utf8');
    for (const file of readdirSync(examples)) if (file !== 'README.md') expect(list).toContain(`(${file})`);
    expect(programs.filter((file) => !(file in printed))).toEqual(['explain-in-an-http-server.js']);
  });

  it.each(Object.entries(printed))('%s runs', async (file, text) => {
    const { stdout } = await exec(process.execPath, [join(examples, file)], { cwd: folder });
    expect(stdout).toMatch(text);
  });

  it('explain-in-an-http-server.js answers pictures, and refuses what is none', async () => {
    const server = spawn(process.execPath, [join(examples, 'explain-in-an-http-server.js'), 'model.onnx', '0'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const [line] = (await once(server.stdout, 'data')) as [Buffer];
      const url = line.toString().trim();
      const good = await fetch(url, { method: 'POST', body: await readFile(join(folder, 'photo.png')) });
      expect(await good.json()).toMatchObject({ class: expect.any(String), dims: [8, 8] });
      const bad = await fetch(url, { method: 'POST', body: 'no picture' });
      expect([bad.status, (await bad.text()).length > 0]).toEqual([400, true]);
    } finally {
      server.kill();
    }
  });

  it.runIf(hasBrowser)('grad-cam-in-a-browser.html draws a heatmap, and says what is wrong with a file', async () => {
    const types: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript' };
    const server = createServer(async (request, response) => {
      const path = join(root, decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname));
      const bytes = await readFile(path).catch(() => undefined);
      response.writeHead(bytes ? 200 : 404, { 'content-type': types[extname(path)] ?? 'application/wasm' }).end(bytes);
    });
    server.listen(0);
    await once(server, 'listening');
    const address = server.address();
    const browser = await launchBrowser();
    try {
      const page = await browser.newPage();
      const port = typeof address === 'object' ? address?.port : 0;
      await page.goto(`http://localhost:${port}/examples/grad-cam-in-a-browser.html`);
      await page.setInputFiles('#picture', join(folder, 'photo.png'));
      await page.setInputFiles('#model', join(folder, 'photo.png'));
      await page.waitForFunction(() => /ONNX/.test(document.getElementById('result')?.textContent ?? ''));
      await page.setInputFiles('#model', join(folder, 'model.onnx'));
      await page.waitForFunction(() => /^Class \d/.test(document.getElementById('result')?.textContent ?? ''));
      expect(await page.textContent('#result')).toMatch(/^Class [012], explained at \S+\.$/);
    } finally {
      await browser.close();
      server.close();
    }
  });
});
