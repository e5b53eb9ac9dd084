/** Code in doc comments and documents, made into modules that are type-checked and run. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { saveModel } from '../../src/io/models/save-model.js';
import { buildInitialVgg } from '../../src/models/initial-vgg.js';
import { tinyShape, writeImages } from '../support/tiny-recipe.js';

export const root = resolve(import.meta.dirname, '../..');
const exec = promisify(execFile);

/** A piece of code, and where it stands. */
export interface Snippet {
  /** `src/ops/builder.ts:26` */
  readonly where: string;
  readonly code: string;
}

const listFiles = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file));

/** Lists the code of every `@example` in `src/`. */
export function listExamples(): Snippet[] {
  return listFiles('src')
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const text = readFileSync(join(root, file), 'utf8');
      return [...text.matchAll(/@example\b([\s\S]*?)(?=\n\s*\* @|\n?\s*\*\/)/g)].map((match) => {
        const line = text.slice(0, match.index).split('\n').length;
        const code = (match[1] ?? '').replace(/^\s*\* ?/gm, '').replace(/^```\w*$/gm, '');
        return { where: `${file}:${line}`, code: code.trim() };
      });
    });
}

/** Lists the TypeScript blocks of a Markdown file. */
export function listBlocks(file: string): Snippet[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map((match) => ({
    where: `${file}:${text.slice(0, match.index).split('\n').length}`,
    code: (match[1] ?? '').trim(),
  }));
}

/** What a snippet may use without saying where it comes from. */
const given: Readonly<Record<string, string>> = {
  model: "const model = await openModel('model.onnx');",
  graph: "const { graph } = await openModel('model.onnx');",
  images: 'const images = float32(Float32Array.from({ length: 384 }, (_, i) => Math.sin(i)), [2, 3, 8, 8]);',
  engine: 'const engine = nodeEngine();',
  image: 'const image = { width: 8, height: 8, data: new Uint8Array(192) };',
};

/** Finds the module that exports each name: the first of the public ones, else the file that the snippet stands in. */
async function findModules(): Promise<Map<string, string>> {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, { default: string } | string>;
  };
  const modules = new Map<string, string>();
  for (const [key, target] of Object.entries(exports)) {
    if (typeof target === 'string') continue;
    const found: object = await import(join(root, target.default));
    for (const name of Object.keys(found)) if (!modules.has(name)) modules.set(name, key.replace('.', 'shibori'));
  }
  return modules;
}

const uses = (code: string, name: string): boolean =>
  new RegExp(`(?<![.\\w'"/-])${name}\\b(?!['"]|\\s*:(?!:))`).test(code);
const declares = (code: string, name: string): boolean =>
  new RegExp(`(const|let|function|class|import)\\b[^=;\\n]*\\b${name}\\b(?!\\s*:\\s*\\w+\\s*[,}])`).test(code);

/** Makes a comparison of a line that ends with the value that it has: `count(3) // 6`. */
function assertValues(code: string): string {
  return code.replace(
    /^(?!const|let|\/\/)(.+?);? \/\/ (\[.*\]|'.*'|-?\d[\d._]*|\{.*\}|true|false|undefined)$/gm,
    (_, line, value) => {
      const expression = /^console\.log\((.*)\)$/.exec(line)?.[1] ?? line;
      return `assert.deepEqual(${expression}, ${value});`;
    },
  );
}

/** Builds a module of a snippet: with the imports that it leaves out, and what it is given. */
function buildModule({ where, code }: Snippet, modules: ReadonlyMap<string, string>, folder: string): string {
  let body = assertValues(code);
  for (const [name, line] of Object.entries(given)) {
    if (uses(body, name) && !declares(body, name)) body = `${line}\n${body}`;
  }
  const imports = [...modules]
    .filter(([name]) => uses(body, name) && !declares(body, name))
    .map(([name, from]) => `import { ${name} } from '${from}';`);
  const file = where
    .replace(/:\d+$/, '')
    .replace(/^src\//, 'dist/')
    .replace(/\.ts$/, '.js');
  const own = existsSync(join(root, file)) && file.startsWith('dist/') ? relative(folder, join(root, file)) : undefined;
  const text = own === undefined ? '' : readFileSync(join(root, file.replace(/\.js$/, '.d.ts')), 'utf8');
  for (const [, name] of text.matchAll(/^export declare (?:async )?(?:function|const|class) (\w+)/gm)) {
    if (name && !modules.has(name) && uses(body, name) && !declares(body, name)) {
      imports.push(`import { ${name} } from '${own}';`);
    }
  }
  return [...imports, "import assert from 'node:assert/strict';", body, 'void assert;', 'export {};', ''].join('\n');
}

/** The result of one snippet. */
export interface Outcome {
  readonly where: string;
  /** What the compiler or the run reported; `undefined` where it passed. */
  readonly error: string | undefined;
}

/** Writes what snippets work on: `model.onnx`, a data set `photos` with three classes, and `photo.png` of one of them. */
export async function writeFixture(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const graph = buildInitialVgg(tinyShape, 7);
  await saveModel({ graph, info: { architecture: 'vgg' } }, join(folder, 'model.onnx'));
  await writeImages(join(folder, 'photos'), 12);
  await writeFile(join(folder, 'photo.png'), readFileSync(join(folder, 'photos/star/0.png')));
}

/** Type-checks snippets against the built package and runs each, in a folder with a small model and pictures. */
export async function runSnippets(snippets: readonly Snippet[]): Promise<Outcome[]> {
  const modules = await findModules();
  // Inside of the package, so that `shibori` is this package.
  const folder = await mkdtemp(join(root, '.examples-'));
  try {
    const work = join(folder, 'work');
    await writeFixture(work);
    for (const [i, snippet] of snippets.entries()) {
      await writeFile(join(folder, `snippet${i}.mts`), buildModule(snippet, modules, folder));
    }
    const files = snippets.map((_, i) => `snippet${i}.mts`);
    const options = ['--module', 'nodenext', '--target', 'es2023', '--strict', '--skipLibCheck', '--types', 'node'];
    const compiled = await exec(
      process.execPath,
      [join(root, 'node_modules/typescript/bin/tsc'), ...options, ...files],
      {
        cwd: folder,
      },
    ).catch((error: { stdout: string }) => error);
    // What loads ONNX Runtime Web runs in a browser; the tests of examples do that.
    const browserOnly = snippets.flatMap(({ code }, i) => (code.includes('onnxruntime-web') ? [i] : []));
    const runner = `
      const failures = [];
      const skipped = ${JSON.stringify(browserOnly)};
      for (let i = 0; i < ${snippets.length}; i++) {
        if (skipped.includes(i)) continue;
        try { await import('../snippet' + i + '.mjs'); } catch (error) { failures.push([i, String(error?.stack ?? error)]); }
      }
      console.error('\\n@@' + JSON.stringify(failures));
      process.exit(0);`;
    await writeFile(join(work, 'run.mjs'), runner);
    const { stderr } = await exec(process.execPath, ['run.mjs'], { cwd: work, maxBuffer: 1 << 26 });
    const failures = new Map(JSON.parse(stderr.slice(stderr.lastIndexOf('@@') + 2)) as [number, string][]);
    return snippets.map(({ where }, i) => {
      const types = compiled.stdout.split('\n').filter((line) => line.startsWith(`snippet${i}.mts`));
      return { where, error: types.length > 0 ? types.join('\n') : failures.get(i) };
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
