import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requires } from '../support/requires.js';
import { writeTinyStudy } from '../support/tiny-recipe.js';

const root = resolve(import.meta.dirname, '../..');
const exec = promisify(execFile);
/** Installing asks the registry for every dependency. */
const INSTALL_TIMEOUT_MS = 300_000;

/** Whether the registry answers: an installation asks it for every dependency. */
const hasRegistry =
  spawnSync('npm', ['view', 'onnxruntime-common@1.30', 'version', '--fetch-retries=0', '--fetch-timeout=10000'], {
    cwd: tmpdir(),
  }).status === 0;
const options = { timeout: INSTALL_TIMEOUT_MS, ...requires('npm registry', hasRegistry) };

describe('the package, installed from its tarball as users do', options, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shibori-package-'));
    await writeTinyStudy(folder, 1);
    // `npm test` has built dist/ already; building again would pull it from under the other tests.
    const { stdout } = await exec('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
      cwd: root,
    });
    const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
    await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
    const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' };
    await exec('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', join(folder, filename)], {
      cwd: folder,
      env,
    });
  }, INSTALL_TIMEOUT_MS);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('runs `shibori summary`', async () => {
    const { stdout } = await exec(join(folder, 'node_modules/.bin/shibori'), ['summary', 'net.pt', '--json'], {
      cwd: folder,
    });
    expect(JSON.parse(stdout)).toMatchObject({ architecture: 'vgg', layers: expect.any(Array) });
  });

  it('is imported with types, from both entries', async () => {
    await writeFile(
      join(folder, 'use.ts'),
      [
        "import { float32, summarize, type Tensor } from 'shibori';",
        "import { gradient } from 'shibori/autodiff';",
        "import { referenceEngine } from 'shibori/engine';",
        "import { GraphBuilder } from 'shibori/ops';",
        'const b = new GraphBuilder();',
        "const x = b.input('x', 'float32', [2]);",
        "b.output(b.op('ReduceSum', [b.op('Mul', [x, x])], { keepdims: 0 }));",
        "const { graph } = gradient(b.build('square'), { wrt: [x] });",
        'const session = await referenceEngine().load(graph);',
        'const results: Record<string, Tensor> = await session.run({ x: float32([3, 4]) });',
        "const { parameters }: { parameters: number } = await summarize({ model: 'net.pt' });",
        'console.log(JSON.stringify([Object.values(results).map((t) => Array.from(t.data, Number)), parameters]));',
        '// @ts-expect-error: a typo in an attribute does not compile (and is refused when it runs)',
        "export const typo = () => b.op('Softmax', [x], { axsi: 1 });",
      ].join('\n'),
    );
    const options = [
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--strict',
      '--types',
      'node',
      '--skipLibCheck',
      'false',
      '--typeRoots',
      join(root, 'node_modules/@types'),
      'use.ts',
    ];
    await exec(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...options], { cwd: folder });
    const { stdout } = await exec(process.execPath, ['use.js'], { cwd: folder });
    const [results, parameters] = JSON.parse(stdout) as [number[][], number];
    // d(x1² + x2²) = 2x.
    expect(results).toEqual([[25], [6, 8]]);
    // Conv 3→4 (3×3), two linear layers 64→12 and 12→3, one batch norm.
    expect(parameters).toBe(4 * 27 + 4 + 64 * 12 + 12 + 24 + 12 * 3 + 3);
  });

  it('is imported with types where neither the types of Node nor those of the charts are installed', async () => {
    await writeFile(
      join(folder, 'page.ts'),
      "export { gradient } from 'shibori/autodiff';\nexport { gradCam } from 'shibori/web';",
    );
    const options = [
      '--target',
      'es2023',
      '--module',
      'esnext',
      '--moduleResolution',
      'bundler',
      '--lib',
      'es2023,dom',
      '--strict',
      '--noEmit',
    ];
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const { stdout } = await exec(process.execPath, [tsc, ...options, '--skipLibCheck', 'false', 'page.ts'], {
      cwd: folder,
    });
    expect(stdout).toBe('');
  });

  it('ships what it promises and nothing from the tests', async () => {
    const shipped = await readdir(join(folder, 'node_modules/shibori'));
    expect(shipped.sort()).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'dist', 'package.json', 'recipes']));
    expect(shipped).not.toContain('test');
    const { license } = JSON.parse(await readFile(join(folder, 'node_modules/shibori/package.json'), 'utf8'));
    expect(license).toBe('Apache-2.0');
  });
});
